"""Effects of single suggestions within the personalised arm (micro-randomised; Boruvka et al. 2018, JASA 113:1112)."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from interventions import excursions
from interventions.models import Decision
from mhealth.checkins.models import CheckIn
from mhealth.platform.leases import WorkStatus
from mhealth.research.cohort import Cohort, Person
from mhealth.research.report import tables
from mhealth.research.report.tables import Section, table
from mhealth.trials.models import Policy

TITLE = "Effects of single suggestions (micro-randomised)"
WINDOW = timedelta(hours=24)
OUTCOMES = {
    "checked_in": "Checked in again within 24 hours (0 or 1)",
    "valence": "Expressed valence at the next check-in within 24 hours (−1 to 1)",
}
COLUMNS = ["outcome", "people", "decisions", "sent", "unknown_sent", "unknown_nothing"]
COLUMNS += ["estimate", "se", "low", "high", "p"]


@dataclass(frozen=True)
class Moment:
    """One draw. valence: None where no check-in followed that could be read; before: the last one read until then."""

    person: str
    draw: excursions.Draw
    checked_in: float
    valence: float | None
    before: float | None


def section(cohort: Cohort, dry_run: bool) -> Section:
    if dry_run:
        return _not_identified("whether anything was sent, and with which probability, is not read before unblinding")
    if not any(arm.policy == Policy.PERSONALISED for arm in cohort.trial.ordered_arms()):
        return _not_identified("no arm of this trial has the personalised policy")
    try:
        moments = list(_moments(cohort))
    except excursions.ProbabilityMissing:
        return _not_identified("some decision does not say with which probability anything was sent")
    if not moments:
        return _not_identified(
            "no decision of the personalised arm was open, drawn, and followed by 24 hours of taking part"
        )
    return _estimated(moments)


def _not_identified(why: str) -> Section:
    return Section(TITLE, [f"Not identified: {why}."])


def _estimated(moments: list[Moment]) -> Section:
    lines, unknown = [], []
    for name, title in OUTCOMES.items():
        try:
            lines.append(_line(name, moments))
        except excursions.UnusableTrial as reason:
            unknown.append(f"{title}: not identified ({reason}).")
    text = [
        "Within the personalised arm, at decisions where some activity was open and where sending and not sending each "
        f"had a probability of at least {excursions.LEAST_PROBABILITY:g}: the effect of sending anything against "
        "nothing now, averaged over people and moments, by weighted and centred least squares with the probabilities "
        "that were used (small-sample correction of Mancl & DeRouen). Intervals hold where the model was frozen or "
        "learnt from a person's own past. Moments whose 24 hours were not over, or within which the person left, do "
        "not count. Valence is what was expressed, not what was felt; moments without a reading are left out of it, "
        "and if a suggestion changes who checks in again, its line compares different moments. Exploratory unless the "
        "locked plan names it.",
        *unknown,
    ]
    if not lines:
        return Section(TITLE, text)
    shown = {
        "Outcome": lambda row: OUTCOMES[row["outcome"]],
        "People": tables.count("people"),
        "Decisions": tables.count("decisions"),
        "Sent": tables.count("sent"),
        "Unknown: sent, not": lambda row: f"{row['unknown_sent']}, {row['unknown_nothing']}",
        "Effect": tables.number("estimate", 3),
        "95 % interval": tables.interval(digits=3),
        "p": tables.p_value(),
    }
    rows = pd.DataFrame(lines, columns=COLUMNS)
    return Section(TITLE, text, tables=[table("proximal", "Effect of sending anything", rows, shown)])


def _line(name: str, moments: list[Moment]) -> dict:
    known = [moment for moment in moments if getattr(moment, name) is not None]
    lost = [moment for moment in moments if getattr(moment, name) is None]
    draws = [moment.draw for moment in known]
    found = excursions.effect(
        outcome=[getattr(moment, name) for moment in known],
        draws=draws,
        person=[moment.person for moment in known],
        controls=[_filled([moment.before for moment in known])] if known else [],
    )
    low, high = found.interval()[0]
    return {
        "outcome": name,
        "people": found.people,
        "decisions": len(known),
        "sent": sum(draw.sent for draw in draws),
        "unknown_sent": sum(moment.draw.sent for moment in lost),
        "unknown_nothing": sum(not moment.draw.sent for moment in lost),
        **{"estimate": found.estimate[0], "se": found.se[0], "low": low, "high": high, "p": found.p_value[0]},
    }


def _filled(values: list[float | None]) -> list[float]:
    """Unknown ones at the mean of the known: a control may be wrong, it only sharpens."""
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if known else 0.0
    return [mean if value is None else value for value in values]


def _moments(cohort: Cohort) -> Iterator[Moment]:
    """Raises ProbabilityMissing."""
    personalised = {arm.name for arm in cohort.trial.ordered_arms() if arm.policy == Policy.PERSONALISED}
    for person in cohort.people:
        if person.arm not in personalised:
            continue
        allocated_at, left_at = person.enrolment.allocated_at, cohort.left_at(person)
        for decision in cohort.decisions(person):
            if allocated_at <= decision.decided_at <= left_at - WINDOW and (draw := excursions.drawn(decision)):
                yield _moment(person, decision, draw, cohort.check_ins(person))


def _moment(person: Person, decision: Decision, draw: excursions.Draw, check_ins: list[CheckIn]) -> Moment:
    at = decision.decided_at
    place = bisect_right([check_in.recorded_at for check_in in check_ins], at)
    after = [check_in for check_in in check_ins[place:] if check_in.recorded_at <= at + WINDOW]
    readings = _readings(after), _readings(reversed(check_ins[:place]))
    return Moment(person.code, draw, float(bool(after)), *(next(found, None) for found in readings))


def _readings(check_ins) -> Iterator[float]:
    for check_in in check_ins:
        fused = check_in.fused or {}
        if check_in.status == WorkStatus.DONE and fused.get("valence") is not None and not fused.get("abstained"):
            yield float(fused["valence"])
