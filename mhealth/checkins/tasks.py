"""The workers' doors. Arguments are ids only."""

from celery import shared_task

from mhealth.checkins.models import CheckIn, Explanation
from mhealth.platform import hints


@shared_task
def analyse(*, check_in_id: str) -> None:
    from mhealth.checkins import analysis  # loads torch: in workers only

    with CheckIn.objects.leased(check_in_id) as check_in:
        if check_in:  # none: withdrawn since, done, or another worker has it
            analysis.analyse(check_in)


@shared_task
def explain(*, explanation_id: str) -> None:
    from mhealth.checkins import explanations

    with Explanation.objects.leased(explanation_id) as row:
        if row:
            explanations.explain(row)


@shared_task
def sweep() -> None:
    """Hint what waits without a recent hint: lost hints, run-out leases."""
    hints.sweep(CheckIn.objects.all(), analyse, "check_in_id")
    hints.sweep(Explanation.objects.all(), explain, "explanation_id")


@shared_task
def purge() -> None:
    """Delete media whose retention has ended, and files that no row names."""
    from mhealth.checkins import retention

    retention.purge()
