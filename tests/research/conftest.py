import csv
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from interventions.models import Decision, DecisionEvent
from mhealth.checkins.models import CheckIn, Correction, Estimate
from mhealth.outcomes import services as outcomes
from mhealth.outcomes.models import InstrumentVersion
from mhealth.research import package
from mhealth.research import services as exports
from mhealth.research.columns import EMOTIONS
from mhealth.trials import services
from mhealth.trials.models import Enrolment
from tests import factories as people
from tests.interventions import factories as content
from tests.outcomes import instruments
from tests.trials import factories

HAPPY = dict.fromkeys(EMOTIONS, 0.05) | {"happiness": 0.7}


def check_in(person, days_ago: float, **fields) -> CheckIn:
    """A finished check-in as the worker leaves it, with a face and, where nothing was wrong, a correction."""
    at = timezone.now() - timedelta(days=days_ago)
    fused = {"probabilities": HAPPY, "valence": 0.6, "arousal": 0.1, "confidence": 0.7, "abstained": False}
    defaults = {"status": "done", "fused": fused | {"disparity": 0.2, "weights": {"face": 1.0}}}
    row = CheckIn.objects.create(
        id=uuid.uuid4(), participant=person, recorded_at=at, zone="Europe/London", finished_at=at, **(defaults | fields)
    )
    face = {"probabilities": HAPPY, "valence": 0.6, "arousal": 0.1, "confidence": 0.7, "quality": 0.9, "weight": 1.0}
    if row.status == "done":
        Estimate.objects.create(check_in=row, modality="face", model_version="face-1", **face)
        Correction.objects.create(check_in=row, labels=["surprise", "happiness"])
    else:
        Estimate.objects.create(check_in=row, modality="voice", reason="silent")
    return row


def offer(person, days_ago: float) -> Decision:
    """An activity that was offered, shown twice and completed two days later."""
    at = timezone.now() - timedelta(days=days_ago)
    version = content.draft(content.activity("slow-breathing"))
    decision = Decision.objects.create(
        participant=person, moment="asked:1", status="done", outcome="offered", version=version, decided_at=at
    )
    for kind, after_days in (("shown", 0), ("shown", 1), ("completed", 2)):
        DecisionEvent.objects.create(
            id=uuid.uuid4(), decision=decision, kind=kind, at=at + timedelta(days=after_days, seconds=1)
        )
    return decision


def earlier(row, by: timedelta, *names: str) -> None:
    type(row).objects.filter(pk=row.pk).update(**{name: getattr(row, name) - by for name in names})
    row.refresh_from_db()


@pytest.fixture
def trial(study):
    factories.load_dass21()
    InstrumentVersion.objects.update(texts={"en": instruments.text("en", n_items=21, options=4)})
    return factories.running(study)


@pytest.fixture
def story(trial, team, ada, ben):
    """ada enrolled 17 and was allocated 14 days ago, answered twice and checked in; ben never was; cleo left."""
    cleo = people.participant(team, "cleo", birth_year=1950, sex="", site="south")
    enrolment = factories.allocated(ada, trial, [3, None, *[1] * 19])
    two_weeks = timedelta(days=14)
    long_ago = two_weeks + timedelta(days=3)
    Enrolment.objects.filter(pk=enrolment.pk).update(
        allocated_at=enrolment.allocated_at - two_weeks, enrolled_at=enrolment.enrolled_at - long_ago
    )
    earlier(enrolment.baseline, long_ago, "answered_at", "received_at")
    earlier(enrolment.baseline.occasion, long_ago, "opens_at", "due_at", "closes_at", "created_at")
    first = ada.consents.get(scope="trial")
    first.pk, first.given_at = None, first.given_at - long_ago
    first.save(force_insert=True)
    week_2 = ada.occasions.get(name="week 2")
    earlier(week_2, two_weeks, "opens_at", "due_at", "closes_at")
    outcomes.answer(occasion=week_2, answers=[2] * 21, answered_at=timezone.now())
    outcomes.answer(
        occasion=ada.occasions.get(name="week 4"), answers=[0] * 21, answered_at=timezone.now()
    )  # too early
    check_in(ada, 10)
    check_in(ada, 9, status="unusable", reason="silent", fused=None)
    check_in(ada, 9, purpose="calibration", fused=None)  # in no table: it says how a voice usually sounds
    offer(ada, 8)
    factories.candidate(ben, trial)
    check_in(ben, 0)
    services.withdraw(enrolment=factories.allocated(cleo, trial), kind="stop", words="I moved to Leeds")
    return trial


@pytest.fixture
def export(story, rae, tmp_path):
    """`export()` writes the package as rae and returns its folder."""

    def write(name: str = "out", **order):
        exports.export_to(
            trial=story, user=rae, reason="primary analysis", folder=tmp_path / name, order=package.Order(**order)
        )
        return tmp_path / name

    return write


def rows(folder, table: str) -> list[dict]:
    with open(folder / f"{table}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def only(folder, table: str, **wanted: str) -> dict:
    found = [row for row in rows(folder, table) if wanted.items() <= row.items()]
    assert len(found) == 1, found
    return found[0]


def unblind(trial) -> None:
    """Closed, planned, and opened by two people."""
    services.close(trial=trial)
    services.lock_plan(trial=trial)
    tess, tim = (people.member(name, "trial_manager", trial.study) for name in ("tess", "tim"))
    asked = services.ask_to_unblind(trial=trial, by=tim, reason="analysis")
    services.decide_unblinding(request=asked, by=tess, approve=True)
