"""Effects of single suggestions: a planted one is found, and what was not drawn does not count."""

import uuid
from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from interventions import excursions, services
from interventions.models import Decision
from mhealth.checkins.models import CheckIn
from mhealth.research.cohort import Cohort
from mhealth.research.report import proximal
from mhealth.trials.models import Enrolment
from tests import factories as people
from tests.interventions import factories as content
from tests.research.conftest import earlier, unblind
from tests.trials import factories

pytestmark = pytest.mark.django_db
N_PEOPLE, N_MOMENTS, EFFECT = 12, 12, 0.4


def check_in(person, at, valence: float) -> CheckIn:
    fused = {"valence": valence, "abstained": False}
    return CheckIn(
        id=uuid.uuid4(), participant=person, recorded_at=at, finished_at=at, zone="UTC", status="done", fused=fused
    )


def decision(person, at, *, sent: bool, probability: float, policy="personalised", closed_by=()) -> Decision:
    """As the decision service leaves it, with what the analysis reads of its record."""
    row = Decision(participant=person, moment=f"check_in:{uuid.uuid4()}", status="done", decided_at=at)
    candidates = [{"activity": "slow-breathing", "closed_by": list(closed_by)}]
    activity = "slow-breathing" if sent else None
    choice = {"candidates": candidates, "send_probability": probability, "activity": activity}
    row.sealed_record = row.sealed({"policy": policy, "choice": choice})
    row.outcome = "offered" if sent else "nothing_now"
    return row


@pytest.fixture
def trial(study, team):
    """Three in four personalised: twelve moments each, sent with .3 or .6 by the mood before, which moves the next."""
    factories.load_dass21()
    arms, blocks = (("personalised", 3), ("fixed_sequence", 1)), [4]
    made = factories.running(study, stratify_by=[], slots_per_stratum=12, arms=arms, block_sizes=blocks)
    rng, start = np.random.default_rng(7), timezone.now() - timedelta(days=14)
    seen, made_of_them = [], []
    for number in range(N_PEOPLE):
        person = people.participant(team, f"p{number}", zone="UTC")
        enrolment = factories.allocated(person, made)
        earlier(enrolment, timedelta(days=15), "enrolled_at", "allocated_at")
        policy = enrolment.read_arm().policy
        for day in range(N_MOMENTS):
            at, before = start + timedelta(days=day), float(rng.choice([-0.4, 0.4]))
            probability = 0.6 if before < 0 else 0.3
            sent = bool(rng.random() < probability)
            seen.append(check_in(person, at, before))
            at += timedelta(minutes=1)
            made_of_them.append(decision(person, at, sent=sent, probability=probability, policy=policy))
            after = 0.3 * before + EFFECT * sent + 0.1 * rng.standard_normal()
            seen.append(check_in(person, at + timedelta(hours=6), float(np.clip(after, -1, 1))))
    CheckIn.objects.bulk_create(seen)
    Decision.objects.bulk_create(made_of_them)
    return made


def section(trial):
    return proximal.section(Cohort(trial), dry_run=False)


def line(trial, outcome: str = "valence"):
    return section(trial).tables[0].rows.set_index("outcome").loc[outcome]


def someone(trial, policy: str = "personalised"):
    enrolments = Enrolment.objects.filter(trial=trial).order_by("pk")
    return next(e.participant for e in enrolments if e.read_arm().policy == policy)


def treated(trial) -> int:
    return sum(e.read_arm().policy == "personalised" for e in Enrolment.objects.filter(trial=trial))


def test_a_planted_effect_is_found_in_the_personalised_arm_alone(trial):
    unblind(trial)
    found = line(trial)
    assert found["people"] == treated(trial)
    assert found["decisions"] == treated(trial) * N_MOMENTS
    assert found["low"] < EFFECT < found["high"]
    assert found["high"] - found["low"] < EFFECT / 2
    assert found["p"] < 0.001


def test_what_gates_closed_was_certain_or_happened_too_late_does_not_count(trial):
    person, at = someone(trial), timezone.now() - timedelta(days=2)
    about = {"sent": True, "at": at}
    decision(person, probability=0.6, closed_by=["risk"], **about).save()
    decision(person, probability=1.0, **about).save()
    decision(person, probability=0.96, **about).save()
    decision(person, probability=0.6, policy="fixed_sequence", **about).save()
    decision(person, probability=0.6, sent=True, at=timezone.now() - timedelta(hours=2)).save()
    unblind(trial)
    assert line(trial)["decisions"] == treated(trial) * N_MOMENTS


def test_an_outcome_that_never_varies_is_told_as_such_and_not_as_a_sure_zero(trial):
    unblind(trial)
    found = section(trial)
    assert found.text[-1].endswith("(0 or 1): not identified (the outcome is the same at every moment).")
    assert list(found.tables[0].rows["outcome"]) == ["valence"]


def test_a_draw_that_counts_counts(trial):
    decision(
        someone(trial), timezone.now() - timedelta(days=30), sent=True, probability=0.6
    ).save()  # before allocation
    decision(someone(trial), timezone.now() - timedelta(days=2), sent=True, probability=0.94).save()
    unblind(trial)
    assert line(trial, "checked_in")["decisions"] == treated(trial) * N_MOMENTS + 1


def test_without_its_probability_nothing_is_identified(trial):
    gone = Decision.objects.filter(participant=someone(trial)).first()
    Decision.objects.filter(pk=gone.pk).update(sealed_record=None)
    unblind(trial)
    found = section(trial)
    assert "Not identified: some decision does not say with which probability" in found.text[0]
    assert not found.tables


def test_before_unblinding_nothing_is_read(trial):
    found = proximal.section(Cohort(trial), dry_run=True)
    assert found.text == [
        "Not identified: whether anything was sent, and with which probability, is not read before unblinding."
    ]


def test_a_trial_without_the_personalised_policy_says_so(study):
    factories.load_dass21()
    other = factories.running(study, arms=(("fixed_sequence", 1), ("usual_care", 1)))
    assert "no arm of this trial has the personalised policy" in section(other).text[0]


def test_three_people_are_too_few(study, team):
    factories.load_dass21()
    trial = factories.running(study, stratify_by=[], arms=(("personalised", 1), ("usual_care", 1)))
    person = people.participant(team, "solo", zone="UTC")
    enrolment = content.enrolled_in(person, trial, "personalised")
    earlier(enrolment, timedelta(days=13), "enrolled_at", "allocated_at")
    for day in range(2, 8):
        decision(person, timezone.now() - timedelta(days=day), sent=bool(day % 2), probability=0.5).save()
    found = section(trial)
    assert any("people cannot carry" in words for words in found.text)
    assert not found.tables


def test_a_decision_of_the_service_is_a_draw_unless_the_person_asked(study, ada, carol, eve, finn):
    content.shelf(carol, [eve, finn])
    seen = content.checked_in(ada)
    made = services.decide(participant=ada, moment=f"check_in:{seen.pk}", check_in=seen)
    found = excursions.drawn(made)
    assert found.probability == 0.6
    assert found.sent == (made.outcome == "offered")
    assert excursions.drawn(services.decide(participant=ada, moment="asked:1")) is None
