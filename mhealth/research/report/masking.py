"""Whether the arms of a trial may be told apart in figures: one rule for the report and for every page."""

from mhealth.trials.models import Trial


def is_dry_run(trial: Trial) -> bool:
    """Before unblinding; of an open-label trial, which never is, before it is closed with its plan locked."""
    if trial.open_label:
        return not (trial.closed_at and trial.plan_locked_at)
    return trial.unblinded_at is None
