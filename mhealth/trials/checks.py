"""The set-up check of a trial: what must be there before the list can be sealed, and what deserves a second look."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from mhealth.outcomes import risk
from mhealth.outcomes import services as outcomes
from mhealth.outcomes.windows import InvalidSchedule
from mhealth.safety.models import Duty
from mhealth.trials import eligibility, schedule
from mhealth.trials.models import Trial
from mhealth.trials.randomisation import BadDesign

ROTA = timedelta(days=14)  # looked ahead
_of_other_rooms: list[Callable[[Trial], Iterable[str]]] = []


@dataclass(frozen=True)
class Finding:
    must: bool  # False: a warning
    text: str


def also_warn(warn: Callable[[Trial], Iterable[str]]) -> None:
    """For rooms above this one: what else deserves a second look before a trial starts."""
    if warn not in _of_other_rooms:
        _of_other_rooms.append(warn)


def findings(trial: Trial) -> list[Finding]:
    return [Finding(True, text) for text in _missing(trial)] + [Finding(False, text) for text in _warnings(trial)]


def _missing(trial: Trial) -> list[str]:
    missing = [*eligibility.faults(trial.eligibility), *schedule.faults(trial.schedule, trial.baseline_instrument)]
    missing += [] if missing else _unplannable(trial)
    try:
        _ = trial.design
    except BadDesign as problem:
        missing.append(f"Allocation: {problem}.")
    if "severity" in trial.stratify_by and not trial.severity_cuts:
        missing.append("Strata by severity need one or two cuts on the scale.")
    if "site" in trial.stratify_by and not trial.study.sites:
        missing.append("Strata by site need the study's sites.")
    return missing


def _unplannable(trial: Trial) -> Iterator[str]:
    """What would stop the planning of questionnaires on the day somebody enters."""
    for start in (schedule.ENROLMENT, schedule.ALLOCATION):
        for instrument, lines in schedule.lines_from(trial.schedule, start).items():
            try:
                outcomes.slots_of(instrument, lines, trial.version_of(instrument))
            except outcomes.UnknownInstrument:
                yield f"Schedule: the questionnaire {instrument} is not loaded."
            except InvalidSchedule as problem:
                yield f"Schedule of {instrument}: {problem}."


def _warnings(trial: Trial) -> list[str]:
    warnings = [*_list_warnings(trial), *_safety_warnings(trial), *_language_warnings(trial)]
    if trial.open_label:
        warnings.append("Open-label: only personalised against fixed sequence can be masked.")
    if not trial.eligibility:
        warnings.append("No eligibility rules: everybody in the study may enrol.")
    if not trial.analysis_plan:
        warnings.append("No analysis plan yet; it must be locked before unblinding.")
    if trial.unblinding_planned_on is None:
        warnings.append("No date on which people will be told their arm.")
    return warnings + [text for warn in _of_other_rooms for text in warn(trial)]


def _safety_warnings(trial: Trial) -> Iterator[str]:
    """How many people the inbox must expect, and whether somebody is there to look."""
    if trial.baseline_instrument == outcomes.DASS21 and trial.expected_people:
        red, routine = (round(trial.expected_people * share) for share in (risk.WEB_ITEM_21, risk.WEB_EXTREME))
        yield (
            f"Risk inbox: of {trial.expected_people} people expect up to {red} prompt or severe events and {routine} "
            f"routine ones at the baseline alone (in a self-selected web sample {risk.WEB_ITEM_21:.0%} had item 21 at "
            f"2 or more, {risk.WEB_EXTREME:.0%} an extremely severe scale)."
        )
    now = timezone.now()
    if gaps := Duty.objects.uncovered(trial.study, now, now + ROTA):
        hours = sum((end - start for start, end in gaps), timedelta()) / timedelta(hours=1)
        first = f"{gaps[0][0]:%d %b %H:%M} UTC"
        yield f"On-call rota: nobody for {hours:.0f} hours of the next {ROTA.days} days, first at {first}."


def _language_warnings(trial: Trial) -> Iterator[str]:
    spoken = trial.study.languages
    written = set(trial.study.consent_documents.values_list("language", flat=True))
    if missing := [language for language in spoken if language not in written]:
        yield f"No consent document in {', '.join(missing)}: people who speak it cannot agree to anything."
    for slug in sorted({line.get("instrument", "") for line in trial.schedule}):
        absent, unvalidated = outcomes.weak_texts(slug, spoken, trial.version_of(slug))
        if absent:
            yield f"Questionnaire {slug}: no text in {', '.join(absent)}."
        if unvalidated:
            yield f"Questionnaire {slug}: the translation is not validated in {', '.join(unvalidated)}."


def _list_warnings(trial: Trial) -> Iterator[str]:
    n_strata, largest = len(trial.strata), max(trial.block_sizes, default=0)
    if trial.expected_people is None:
        yield "The number of people expected is not given: strata and slots cannot be judged."
        return
    per_stratum = trial.expected_people / max(n_strata, 1)
    if per_stratum < 2 * largest:
        yield (
            f"Thin strata: {per_stratum:.1f} people expected in each of {n_strata}, "
            f"fewer than {2 * largest}, twice the largest block."
        )
    if trial.slots_per_stratum < 2 * per_stratum:
        yield f"Few slots: {trial.slots_per_stratum} in each stratum, {per_stratum:.0f} people expected on average."
