"""The workers' doors. Arguments are ids only."""

from celery import shared_task

from interventions.models import Decision
from mhealth.platform import hints


@shared_task
def decide(*, decision_id: str) -> None:
    from interventions import services

    with Decision.objects.leased(decision_id) as decision:
        if decision:  # none: done, or another worker has it
            services.fill(decision)


@shared_task
def decide_due() -> None:
    """Ask for what is due and missing; hint what waits without a recent hint."""
    from interventions import services

    services.decide_due()
    hints.sweep(Decision.objects.all(), decide, "decision_id")


@shared_task
def train_recommender() -> None:
    from interventions import training  # loads torch, where there is something to learn

    training.train_nightly()
