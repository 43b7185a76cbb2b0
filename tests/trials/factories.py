"""A trial as its manager would set it up, and people on their way into it, through the real services."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone

from mhealth.outcomes import services as outcomes
from mhealth.outcomes.models import Instrument, InstrumentVersion
from mhealth.people.models import Participant, Study
from mhealth.trials import services
from mhealth.trials.models import Arm, Enrolment, Trial
from tests.outcomes.instruments import dass21

SCHEDULE = [
    {"instrument": "dass21", "from": "enrolment", "name": "baseline", "day": 0, "days_open": 14},
    {"instrument": "dass21", "from": "allocation", "name": "week 2", "day": 14},
    {"instrument": "dass21", "from": "allocation", "name": "week 4", "day": 28},
]


def load_dass21() -> None:
    instrument, _ = Instrument.objects.get_or_create(slug="dass21", defaults={"name": "DASS-21"})
    InstrumentVersion.objects.get_or_create(instrument=instrument, version="1", defaults={"definition": dass21()})


def trial(study: Study, slug: str = "calm-1", arms=(("personalised", 1), ("fixed_sequence", 1)), **fields) -> Trial:
    """A draft. `arms`: policy and share of each."""
    defaults = {
        "title": "Calm, first trial",
        "stratify_by": ["site", "severity", "sex"],
        "severity_cuts": [14],
        "eligibility": [{"fact": "age", "at_least": 18}],
        "schedule": SCHEDULE,
        "slots_per_stratum": 20,
        "analysis_plan": "ANCOVA of week 4 depression on arm, baseline and strata.",
    }
    trial = Trial.objects.create(study=study, slug=slug, **(defaults | fields))
    for position, (policy, share) in enumerate(arms):
        cross_over = 56 if policy == "waiting_list" else None
        Arm.objects.create(
            trial=trial, position=position, name=f"{policy} arm", policy=policy, share=share, cross_over_day=cross_over
        )
    return trial


def running(study: Study, **fields) -> Trial:
    sealed = services.seal_list(trial=trial(study, **fields))
    return services.start(trial=sealed)


def candidate(participant: Participant, trial: Trial, answers: list | None = None) -> Enrolment:
    """Enrolled, with an answered baseline; every item 1 (a doubled score of 14 per scale) unless said otherwise."""
    enrolment = services.enrol(participant=participant, trial=trial)
    answer_newest(participant, answers or [1] * 21)
    return enrolment


def answer_newest(participant: Participant, answers: list) -> None:
    occasion = participant.occasions.order_by("-created_at", "-opens_at").first()
    outcomes.answer(occasion=occasion, answers=answers, answered_at=timezone.now())


def local_days_ago(participant: Participant, days: int) -> datetime:
    """The same time by the person's clock, so many calendar days ago, whatever summer time did in between."""
    return timezone.now().astimezone(ZoneInfo(participant.zone)) - timedelta(days=days)


def allocated(participant: Participant, trial: Trial, answers: list | None = None) -> Enrolment:
    return services.allocate(enrolment=candidate(participant, trial, answers))
