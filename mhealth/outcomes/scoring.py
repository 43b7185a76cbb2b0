"""Scores of questionnaires: pure functions over a definition. No Django.

An answer is an int in the instrument's range or None (missing); answers come in item order, item 1 first.
Definition files: fixtures/instruments/<slug>/<version>/instrument.json.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Answers = Sequence[int | None]


class InvalidAnswers(Exception):
    """What was answered is not possible for this instrument. `item` is the 1-based number, None for the whole."""

    def __init__(self, message: str, item: int | None = None) -> None:
        super().__init__(message)
        self.item = item


@dataclass(frozen=True)
class Norm:
    """Of a reference population, in the units of the scale's value (for DASS-21: doubled)."""

    sd: float
    reliability: float
    source: str
    mean: float | None = None


@dataclass(frozen=True)
class Scale:
    """items and reversed: 1-based numbers; bands: (name, lower bound of the value), ascending."""

    slug: str
    items: tuple[int, ...]
    reversed: frozenset[int] = frozenset()
    multiplier: float = 1
    max_missing: int = 0
    from_zero: bool = False
    bands: tuple[tuple[str, float], ...] = ()
    higher_is_worse: bool = True
    norm: Norm | None = None

    def band_of(self, value: float) -> str:
        """Lower bounds, so that a fractional (prorated) value between two integers falls into the lower band."""
        return next((name for name, lower in reversed(self.bands) if value >= lower), "")


@dataclass(frozen=True)
class Instrument:
    slug: str
    version: str
    rule_version: str
    n_items: int
    minimum: int
    maximum: int
    scales: tuple[Scale, ...]

    def scale(self, slug: str) -> Scale:
        return next(scale for scale in self.scales if scale.slug == slug)


@dataclass(frozen=True)
class Score:
    """raw: the (prorated) sum; value: raw times the multiplier (DASS-21: doubled). Both None where not scorable."""

    scale: str
    raw: float | None
    value: float | None
    band: str
    n_missing: int
    prorated: bool
    rule_version: str

    @property
    def doubled(self) -> float | None:
        return self.value


def check(instrument: Instrument, answers: Answers) -> None:
    """Raises InvalidAnswers unless there is one int in range, or None, per item."""
    if len(answers) != instrument.n_items:
        raise InvalidAnswers(f"{instrument.n_items} answers are needed, one per item, null where there is none.")
    for number, answer in enumerate(answers, start=1):
        if answer is None:
            continue
        if type(answer) is not int or not instrument.minimum <= answer <= instrument.maximum:
            raise InvalidAnswers(
                f"Item {number} must be a whole number from {instrument.minimum} to {instrument.maximum}, or null.",
                item=number,
            )


def score(instrument: Instrument, answers: Answers) -> dict[str, Score]:
    """Score every scale. Raises InvalidAnswers."""
    check(instrument, answers)
    return {scale.slug: score_scale(instrument, scale, answers) for scale in instrument.scales}


def score_scale(instrument: Instrument, scale: Scale, answers: Answers) -> Score:
    """At most `max_missing` missing items are prorated by n / answered; with more the scale has no score."""
    given = [
        _keyed(instrument, scale, item, answers[item - 1]) for item in scale.items if answers[item - 1] is not None
    ]
    n_missing = len(scale.items) - len(given)
    if not given or n_missing > scale.max_missing:
        return Score(scale.slug, None, None, "", n_missing, False, instrument.rule_version)
    # Products before the one division: an integral result is exact and cannot slip under a band's bound.
    raw = sum(given) * len(scale.items) / len(given)
    value = sum(given) * len(scale.items) * scale.multiplier / len(given)
    return Score(
        scale.slug,
        raw,
        value,
        scale.band_of(value),
        n_missing,
        prorated=n_missing > 0,
        rule_version=instrument.rule_version,
    )


def _keyed(instrument: Instrument, scale: Scale, item: int, answer: int) -> int:
    keyed = instrument.minimum + instrument.maximum - answer if item in scale.reversed else answer
    return keyed - instrument.minimum if scale.from_zero else keyed


Z_95 = 1.96
Change = Literal["improved", "unchanged", "deteriorated"]


def reliable_change(scale: Scale, before: float, after: float) -> tuple[float, Change]:
    """The reliable change index and its class (Jacobson & Truax 1991, J Consult Clin Psychol 59:12-19).

    RCI = (after - before) / (sd * sqrt(2) * sqrt(1 - reliability)); beyond +-1.96 it is more than measurement error.
    before, after: values in the scale's units. Needs `scale.norm`; raises ValueError without one.
    """
    if scale.norm is None:
        raise ValueError(f"{scale.slug} has no norms: reliable change is not defined")
    error = scale.norm.sd * math.sqrt(2) * math.sqrt(1 - scale.norm.reliability)
    index = (after - before) / error
    if abs(index) <= Z_95:
        return index, "unchanged"
    return index, "deteriorated" if (index > 0) == scale.higher_is_worse else "improved"


@dataclass(frozen=True)
class PrePost:
    """One row of a pre/post table: people with both values. SDs have n - 1; None where n is too small."""

    n: int
    mean_before: float | None
    sd_before: float | None
    mean_after: float | None
    sd_after: float | None
    mean_change: float | None
    sd_change: float | None


def pre_post(pairs: Sequence[tuple[float | None, float | None]]) -> PrePost:
    """Describe (before, after) pairs; a pair with a missing side is left out."""
    whole = [(before, after) for before, after in pairs if before is not None and after is not None]
    before, after = [b for b, _ in whole], [a for _, a in whole]
    change = [a - b for b, a in whole]
    return PrePost(len(whole), _mean(before), _sd(before), _mean(after), _sd(after), _mean(change), _sd(change))


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _sd(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = _mean(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def cronbach_alpha(items: Sequence[Sequence[float]]) -> float:
    """Internal consistency of complete rows (people by items): k/(k-1) * (1 - sum of item variances / total variance).

    Cronbach 1951, Psychometrika 16:297-334. Raises ValueError with fewer than two people or items.
    """
    if len(items) < 2 or len(items[0]) < 2:
        raise ValueError("alpha needs two people and two items")
    k = len(items[0])
    item_variance = math.fsum(_sd([row[i] for row in items]) ** 2 for i in range(k))
    total_variance = _sd([math.fsum(row) for row in items]) ** 2
    return k / (k - 1) * (1 - item_variance / total_variance)


def parse(data: dict) -> Instrument:
    """The definition from the JSON of an instrument.json. Raises KeyError or ValueError where it is not whole."""
    n_items = data["n_items"]
    order = data.get("scale_order", data["scales"])
    scales = tuple(_parse_scale(slug, data["scales"][slug]) for slug in order)
    for scale in scales:
        outside = [item for item in (*scale.items, *scale.reversed) if not 1 <= item <= n_items]
        if outside or not scale.reversed <= set(scale.items) or len(set(scale.items)) != len(scale.items):
            raise ValueError(f"scale {scale.slug} of {data['slug']} names items that are not there, or one twice")
    return Instrument(
        slug=data["slug"],
        version=str(data["version"]),
        rule_version=data["rule_version"],
        n_items=n_items,
        minimum=data["minimum"],
        maximum=data["maximum"],
        scales=scales,
    )


def _parse_scale(slug: str, data: dict) -> Scale:
    bands = tuple(sorted(data.get("bands", {}).items(), key=lambda band: band[1]))
    return Scale(
        slug=slug,
        items=tuple(data["items"]),
        reversed=frozenset(data.get("reversed", ())),
        multiplier=data.get("multiplier", 1),
        max_missing=data.get("max_missing", 0),
        from_zero=data.get("from_zero", False),
        bands=bands,
        higher_is_worse=data.get("higher_is_worse", True),
        norm=Norm(**data["norm"]) if data.get("norm") else None,
    )
