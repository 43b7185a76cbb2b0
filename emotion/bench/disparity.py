"""E10: the face of one clip with the voice of another emotion of the same actor, against clips as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from emotion.bench import Place
from emotion.bench.cells import Cell
from emotion.bench.disparity_face import Units
from emotion.bench.fusion_data import ravdess
from emotion.bench.together_data import action_units
from emotion.calibration import fit_temperature, sharpen
from emotion.disparity import Null, disagreement, jensen_shannon
from emotion.fusion import Population
from emotion.fusion.posteriors import Table
from emotion.reliability import Prior, Reliability

LABELS = 20  # of a person, before their other clips are scored
SKEWED = 10  # earlier clips where four fifths express the same
OTHER_VOICES = 3  # per face
SHUFFLES = 5
DRAWS = 1000

Score = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Method:
    """calibrated: by what holds for other people.  labelled: the person's confusions are known from 20 labels.

    moved: the null is moved to the person (`Null.own`).  face: "given", "relative" to the person's earlier clips, or
    "taught" by their labels as well (emotion.bench.disparity_face).
    mostly: the emotion of four fifths of those earlier clips; "" for as they come.
    strangers: the null is made of pairs of different people, as the one that ships is.
    """

    score: Score = disagreement
    calibrated: bool = True
    labelled: bool = False
    moved: bool = False
    face: str = "given"
    mostly: str = ""
    strangers: bool = False


RELATIVE = "face relative to the person"
METHODS: dict[str, Method] = {
    "plain divergence": Method(jensen_shannon, calibrated=False),
    "calibrated divergence": Method(jensen_shannon),
    "disagreement": Method(),
    "disagreement, null from pairs of strangers": Method(strangers=True),
    "disagreement, null moved to the person": Method(moved=True),
    "disagreement, 20 labels": Method(labelled=True),
    "disagreement, 20 labels, null moved to the person": Method(labelled=True, moved=True),
    f"plain divergence, {RELATIVE}": Method(jensen_shannon, calibrated=False, face="relative"),
    f"disagreement, {RELATIVE}": Method(face="relative"),
    f"disagreement, {RELATIVE}, 10 mostly sad": Method(face="relative", mostly="sad"),
    f"disagreement, {RELATIVE}, 10 mostly neutral": Method(face="relative", mostly="neutral"),
    f"disagreement, {RELATIVE}, 20 labels": Method(face="relative", labelled=True),
    f"disagreement, {RELATIVE}, 20 labels, taught": Method(face="taught", labelled=True),
    f"disagreement, {RELATIVE}, 20 labels, taught, null moved": Method(face="taught", labelled=True, moved=True),
}


def cells(quick: bool) -> list[Cell]:
    names = list(METHODS)[:3] if quick else METHODS
    return [Cell("E10", name, "ravdess", minutes=3.0 if METHODS[name].mostly else 0.5) for name in names]


def work(cell: Cell, place: Place) -> dict[str, Any]:
    table, method = ravdess(place.data), METHODS[cell.method]
    units = _units(table, place.data) if method.face != "given" else None
    found = [_person(table, units, str(person), method) for person in np.unique(table.people)]
    congruent, mixed = ([part for one in found for part in one[i]] for i in (0, 1))
    alarms, caught = (np.array([[len(p), (p[:, 1] < 0.05).sum()] for p in parts]) for parts in (congruent, mixed))
    people = [(np.concatenate(c)[:, 0], np.concatenate(m)[:, 0]) for c, m in found]
    everybody = np.arange(len(people))
    auc, recall = _figures(people, [everybody])[0]
    draws = np.random.default_rng(cell.seed).integers(len(people), size=(DRAWS, len(people)))
    low, high = np.percentile(_figures(people, draws), [2.5, 97.5], axis=0)
    return {
        "people": len(people),
        "auc": float(auc),
        "auc_interval_95": [float(low[0]), float(high[0])],
        "recall_at_5_percent_false_alarms": float(recall),
        "recall_interval_95": [float(low[1]), float(high[1])],
        "alert_recall": float(caught[:, 1].sum() / caught[:, 0].sum()),
        "alert_false_alarms": float(alarms[:, 1].sum() / alarms[:, 0].sum()),
    }


def _units(table: Table, data: Path) -> Units:
    names, units = action_units(data / "ravdess_multimodal" / "df_average_AUs_total.csv")
    place = {name: i for i, name in enumerate(names)}
    chosen = [place[str(clip)[3:]] for clip in table.clips]  # the first field tells picture from sound
    return Units(units[chosen], table.truth, table.people, len(table.classes))


def _person(
    table: Table, units: Units | None, person: str, method: Method
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Per shuffle: scores and p-values (n, 2) of clips as they are, and of mixed ones. All else from other people."""
    first = {str(p): _order(table, str(p), 0, method)[0] for p in np.unique(table.people)}
    of_others = table
    if units:
        of_others = _with_face(table, _kept(("others", person, method.mostly), partial(units.of_others, person, first)))
    population = _population(of_others.take(table.people != person)) if method.calibrated else Population()
    of_others = _calibrated(of_others, population)
    null = Null(tuple(_null_scores(of_others, person, population, method)))
    congruent, mixed = [], []
    for seed in range(SHUFFLES):
        earlier, later = _order(table, person, seed, method)
        mine = table
        if units:
            taught = method.face == "taught"
            read = partial(units.of_person, person, first, earlier, taught)
            mine = _with_face(table, _kept(("own", person, method.mostly, seed, taught), read))
        mine = _meant(_calibrated(mine, population), earlier, population, method)
        own = null.knowing(list(_scores(mine, earlier, earlier, method))) if method.moved else null
        faces, voices = np.array(list(_mixed_pairs(table, later, seed))).T
        congruent.append(_with_p(_scores(mine, later, later, method), own))
        mixed.append(_with_p(_scores(mine, faces, voices, method), own))
    return congruent, mixed


_read: dict[tuple, np.ndarray] = {}  # readings of faces that several cells share


def _kept(key: tuple, read: Callable[[], np.ndarray]) -> np.ndarray:
    if key not in _read:
        _read[key] = read()
    return _read[key]


def _order(table: Table, person: str, seed: int, method: Method) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a person's earlier clips, and of those that are scored: the same for every method that is not skewed."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(table.people == person))
    earlier, later = order[:LABELS], order[LABELS:]
    if not method.mostly:
        return earlier, later
    wanted = {"sad": ("sad",), "neutral": ("neutral", "calm")}[method.mostly]
    alike = np.isin(table.truth[order], [table.classes.index(name) for name in wanted])
    many, few = order[alike][: SKEWED * 4 // 5], order[~alike][: SKEWED // 5]
    # Some of them would be scored: they are left out, so that these rows are not those of the other methods.
    return np.concatenate([many, few]), later[~np.isin(later, many) & ~np.isin(later, few)]


def _population(others: Table) -> Population:
    """Temperatures and mean readings of an emotion; how many labels weigh as much is the fusion's default."""
    temperatures = {m: fit_temperature(p, others.truth) for m, p in others.posteriors.items()}
    sharp = {m: sharpen(p, 1 / temperatures[m]) for m, p in others.posteriors.items()}
    right = {m: float((p.argmax(1) == others.truth).mean()) for m, p in sharp.items()}
    tables = {
        m: tuple(tuple(p[others.truth == k].mean(0)) for k in range(len(others.classes))) for m, p in sharp.items()
    }
    return Population(Prior(accuracies=right, classes=others.classes, confusions=tables), temperatures=temperatures)


def _with_face(table: Table, face: np.ndarray) -> Table:
    return replace(table, posteriors={**table.posteriors, "face": face})


def _calibrated(table: Table, population: Population) -> Table:
    return replace(table, posteriors={m: population.calibrated(m, p) for m, p in table.posteriors.items()})


def _meant(table: Table, earlier: np.ndarray, population: Population, method: Method) -> Table:
    """Calibrated posteriors as the person of the `earlier` rows means them, by the labels of those."""
    if not method.labelled:
        return table
    known = Reliability(prior=population.reliability)
    for i in earlier:
        readings = {m: p[i] for m, p in table.posteriors.items()}
        said = {m: table.classes[int(p.argmax())] for m, p in readings.items()}
        known = known.after_prompt(said, table.classes[table.truth[i]], at_days=0.0, distributions=readings)
    # A face that was taught by the labels does not need them a second time.
    twice = {"face"} if method.face == "taught" else set()
    meant = {m: p if m in twice else known.translated(m, p) for m, p in table.posteriors.items()}
    return replace(table, posteriors=meant)


def _null_scores(table: Table, person: str, population: Population, method: Method) -> np.ndarray:
    """Of other people's clips as they are; or of a face and the voice of somebody else with the same emotion."""
    found = []
    for other in map(str, np.unique(table.people[table.people != person])):
        earlier, later = _order(table, other, 0, method)
        voices = _strangers(table, later, person) if method.strangers else later
        found.append(_scores(_meant(table, earlier, population, method), later, voices, method))
    return np.concatenate(found)


def _strangers(table: Table, faces: np.ndarray, person: str) -> np.ndarray:
    """For each clip one of a third person that expresses the same."""
    rng, mine = np.random.default_rng(0), table.people[faces[0]]
    third = (table.people != person) & (table.people != mine)
    return np.array([rng.choice(np.flatnonzero(third & (table.truth == table.truth[i]))) for i in faces])


def _mixed_pairs(table: Table, later: np.ndarray, seed: int) -> Iterator[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    for i in later:
        for j in rng.permutation(later[table.truth[later] != table.truth[i]])[:OTHER_VOICES]:
            yield i, j


def _scores(table: Table, faces: np.ndarray, voices: np.ndarray, method: Method) -> np.ndarray:
    seen, heard = table.posteriors["face"][faces], table.posteriors["voice"][voices]
    return np.array([method.score(p, q) for p, q in zip(seen, heard, strict=True)])


def _with_p(scores: np.ndarray, null: Null) -> np.ndarray:
    return np.array([(s, null.p_value(s)) for s in scores])


def _figures(people: Sequence[tuple[np.ndarray, np.ndarray]], draws: Iterable[np.ndarray]) -> np.ndarray:
    """(AUC, recall at 5 % false alarms) for each draw of people, (draws, 2).

    AUC: the probability that a mixed clip scores above one as it is, equal ones half.  recall: with the threshold
    set on the clips themselves, as published figures are.
    """
    above = np.array([[_above(mixed, usual) for usual, _ in people] for _, mixed in people])
    n_usual, n_mixed = np.array([[len(usual), len(mixed)] for usual, mixed in people]).T
    out = []
    for drawn in draws:
        usual, mixed = (np.concatenate([people[i][k] for i in drawn]) for k in (0, 1))
        auc = above[np.ix_(drawn, drawn)].sum() / (n_mixed[drawn].sum() * n_usual[drawn].sum())
        out.append((auc, (mixed > np.quantile(usual, 0.95)).mean()))
    return np.array(out)


def _above(mixed: np.ndarray, usual: np.ndarray) -> float:
    """How many pairs have the mixed clip above the usual one, equal ones half."""
    ranked = np.sort(usual)
    return float(np.searchsorted(ranked, mixed, "left").sum() + np.searchsorted(ranked, mixed, "right").sum()) / 2


def report(lines: Sequence[dict[str, Any]], total: int, out: Path) -> str:
    """A table in Markdown, and `disparity.svg` in `out`."""
    head = ["E10", "AUC", "recall at 5 % false alarms", "alerts (p < .05) on mixed", "false alerts"]
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for line in lines:
        low, high = line["auc_interval_95"]
        rates = [line[n] for n in ("recall_at_5_percent_false_alarms", "alert_recall", "alert_false_alarms")]
        shown = " | ".join(f"{100 * rate:.1f} %" for rate in rates)
        table.append(f"| {line['method']} | {line['auc']:.3f} [{low:.3f}, {high:.3f}] | {shown} |")
    if lines:
        _draw(lines, out / "disparity.svg")
    return "\n\n".join([f"{len(lines)} of {total} cells", "\n".join(table)])


def _draw(lines: Sequence[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1 + 0.3 * len(lines)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [line["method"] for line in lines]
    errors = np.abs(np.array([line["auc_interval_95"] for line in lines]).T - [line["auc"] for line in lines])
    left.errorbar([line["auc"] for line in lines], names, xerr=errors, fmt="o", color="#30507a", capsize=3)
    left.axvline(0.90, color="#888888", linestyle=":")
    left.set(xlabel="AUC (dotted: goal)", xlim=(0.75, 0.95))
    right.plot([100 * x["recall_at_5_percent_false_alarms"] for x in lines], names, "o", color="#30507a")
    right.axvline(55, color="#888888", linestyle=":")
    right.set(xlabel="% found at 5 % false alarms", xlim=(30, 75))
    left.invert_yaxis()
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.savefig(path)
