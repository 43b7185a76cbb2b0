"""What in DASS-21 answers a human must look at.

DASS-21 has no item on suicide. Item 21 ("life was meaningless") is the nearest there is; a person at risk may
answer 0 to it. The rules are a safety net below clinical contact, not a screening for suicidality.

In a self-selected web sample (5,000 respondents of the public DASS-42 data) 44 % had item 21 at 2 or more and 51 %
an extremely severe band: plan the people who answer the inbox accordingly.
"""

from dataclasses import dataclass

from mhealth.outcomes import scoring
from mhealth.outcomes.models import Response, ScaleScore
from mhealth.people.models import Study
from mhealth.safety import services as safety
from mhealth.safety.models import Severity

MEANINGLESS, NOTHING_AHEAD, WORTHLESS = 21, 10, 17
WEB_ITEM_21, WEB_EXTREME = 0.44, 0.51  # shares of that sample: item 21 at 2 or more; any scale extremely severe
BANDS = ("mild", "moderate", "severe", "extremely severe")  # that a study may choose from


@dataclass(frozen=True)
class Thresholds:
    """Of one study. A study may be stricter than these, never laxer: the severe rule cannot be switched off."""

    item_21_severe: int = 3
    item_21_prompt: int = 2
    items_10_and_17: int = 3
    routine_band: str = "extremely severe"

    @classmethod
    def of(cls, study: Study) -> "Thresholds":
        """What cannot be used is passed over: a slip in the settings must not keep answers from being stored."""
        own = study.settings.get("risk")
        own = own if isinstance(own, dict) else {}
        band = own.get("routine_band")
        return cls(
            item_21_severe=_stricter(own.get("item_21_severe"), cls.item_21_severe),
            item_21_prompt=_stricter(own.get("item_21_prompt"), cls.item_21_prompt),
            items_10_and_17=_stricter(own.get("items_10_and_17"), cls.items_10_and_17),
            routine_band=band if band in BANDS else cls.routine_band,
        )


def _stricter(own: object, default: int) -> int:
    return own if isinstance(own, int) and 1 <= own <= default else default


@dataclass(frozen=True)
class Finding:
    rule: str
    severity: str
    evidence: dict


def screen(response: Response, answers: scoring.Answers, scores: dict[str, scoring.Score]) -> None:
    """Raise an event per finding, also for answers outside their window and for contradicting ones."""
    instrument = response.occasion.version.instrument
    if instrument.slug != "dass21":
        return
    participant = response.occasion.participant
    thresholds = Thresholds.of(participant.study)
    for finding in [
        *item_findings(answers, thresholds),
        *band_findings(response.occasion.version.rules, scores, thresholds),
        *_worsening(response, scores),
    ]:
        safety.raise_event(
            participant=participant,
            source=instrument.slug,
            severity=finding.severity,
            rule=finding.rule,
            evidence=finding.evidence | {"response": str(response.pk)},
            at=response.answered_at,
        )


def item_findings(answers: scoring.Answers, thresholds: Thresholds) -> list[Finding]:
    meaningless, ahead, worthless = (answers[n - 1] for n in (MEANINGLESS, NOTHING_AHEAD, WORTHLESS))
    found = []
    if meaningless is not None and meaningless >= min(thresholds.item_21_severe, thresholds.item_21_prompt):
        severe = meaningless >= thresholds.item_21_severe
        severity = Severity.SEVERE if severe else Severity.PROMPT
        found.append(Finding("dass21.item_21", severity, {"item_21": meaningless}))
    both = [ahead, worthless]
    if None not in both and min(both) >= thresholds.items_10_and_17:
        found.append(Finding("dass21.items_10_and_17", Severity.PROMPT, {"item_10": ahead, "item_17": worthless}))
    return found


def band_findings(rules: scoring.Instrument, scores: dict[str, scoring.Score], thresholds: Thresholds) -> list[Finding]:
    """A band alone: one routine event that names every scale at or above the study's band."""
    reached = {}
    for slug, score in scores.items():
        order = [name for name, _ in rules.scale(slug).bands]
        if score.band and order.index(score.band) >= order.index(thresholds.routine_band):
            reached[slug] = score.band
    return [Finding("dass21.band", Severity.ROUTINE, reached)] if reached else []


def _worsening(response: Response, scores: dict[str, scoring.Score]) -> list[Finding]:
    """Against the person's first and their latest earlier score: a slow slide shows only against the first."""
    earlier = ScaleScore.objects.filter(
        response__occasion__participant=response.occasion.participant,
        response__occasion__version__instrument=response.occasion.version.instrument,
        response__answered_at__lt=response.answered_at,
        value__isnull=False,
    ).order_by("response__answered_at", "id")
    history: dict[str, list[float]] = {}
    for scale, value in earlier.values_list("scale", "value"):
        history.setdefault(scale, []).append(value)
    worse = worsened(response.occasion.version.rules, history, scores)
    return [Finding("dass21.worsening", Severity.PROMPT, worse)] if worse else []


def worsened(
    rules: scoring.Instrument, history: dict[str, list[float]], scores: dict[str, scoring.Score]
) -> dict[str, dict]:
    """Scales whose value deteriorated beyond reliable change against the first or the latest of `history`."""
    found = {}
    for slug, values in history.items():
        score, scale = scores[slug], rules.scale(slug)
        if score.value is None or scale.norm is None:
            continue
        before = min(values[0], values[-1])  # the comparison that shows the larger rise
        index, change = scoring.reliable_change(scale, before, score.value)
        if change == "deteriorated":
            found[slug] = {"before": before, "after": score.value, "index": round(index, 2)}
    return found
