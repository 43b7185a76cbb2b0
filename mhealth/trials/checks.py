"""The set-up check of a trial: what must be there before the list can be sealed, and what deserves a second look."""

from dataclasses import dataclass

from mhealth.trials import eligibility, schedule
from mhealth.trials.models import Trial
from mhealth.trials.randomisation import BadDesign


@dataclass(frozen=True)
class Finding:
    must: bool  # False: a warning
    text: str


def findings(trial: Trial) -> list[Finding]:
    return [Finding(True, text) for text in _missing(trial)] + [Finding(False, text) for text in _warnings(trial)]


def _missing(trial: Trial) -> list[str]:
    missing = [*eligibility.faults(trial.eligibility), *schedule.faults(trial.schedule, trial.baseline_instrument)]
    try:
        _ = trial.design
    except BadDesign as problem:
        missing.append(f"Allocation: {problem}.")
    if "severity" in trial.stratify_by and not trial.severity_cuts:
        missing.append("Strata by severity need one or two cuts on the scale.")
    if "site" in trial.stratify_by and not trial.study.sites:
        missing.append("Strata by site need the study's sites.")
    return missing


def _warnings(trial: Trial) -> list[str]:
    warnings = list(_list_warnings(trial))
    if trial.open_label:
        warnings.append("Open-label: only personalised against fixed sequence can be masked.")
    if not trial.eligibility:
        warnings.append("No eligibility rules: everybody in the study may enrol.")
    if not trial.analysis_plan:
        warnings.append("No analysis plan yet; it must be locked before unblinding.")
    if trial.unblinding_planned_on is None:
        warnings.append("No date on which people will be told their arm.")
    return warnings


def _list_warnings(trial: Trial):
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
