from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from mhealth.platform.models import AuditEvent
from mhealth.safety import services as safety
from mhealth.trials import services
from mhealth.trials.models import Arm, Enrolment, Slot, Trial
from mhealth.trials.services import enrolment as entry
from mhealth.trials.services.setup import WrongState
from tests import factories as people
from tests.trials import factories

pytestmark = pytest.mark.django_db


def test_a_candidate_with_a_baseline_gets_the_first_slot_of_their_stratum(ada, trial):
    enrolment = factories.allocated(ada, trial)
    assert enrolment.status == "allocated"
    assert (enrolment.slot.stratum, enrolment.slot.position) == ("north|high|female", 0)
    assert enrolment.baseline.scores.get(scale="depression").value == 14
    assert enrolment.read_arm() in trial.arms.all()
    assert enrolment.day() == 0
    assert enrolment.day(timezone.now() + timedelta(days=10)) == 10


def test_a_low_score_leads_to_the_low_stratum(ben, trial):
    assert factories.allocated(ben, trial, [0] * 21).slot.stratum == "north|low|female"


def test_the_questionnaires_of_the_trial_are_planned_from_allocation(ada, trial):
    enrolment = factories.candidate(ada, trial)
    assert list(ada.occasions.values_list("name", flat=True)) == ["baseline"]
    services.allocate(enrolment=enrolment)
    assert list(ada.occasions.order_by("opens_at").values_list("name", flat=True)) == ["baseline", "week 2", "week 4"]


def test_allocation_happens_once(ada, ben, trial):
    first = factories.allocated(ada, trial)
    again = services.allocate(enrolment=first)
    assert again.slot.pk == first.slot.pk
    assert again.allocated_at == first.allocated_at
    assert factories.allocated(ben, trial).slot.position == 1
    assert Slot.objects.exclude(taken_by=None).count() == 2


def test_without_a_scorable_baseline_nobody_is_allocated(ada, trial):
    enrolment = services.enrol(participant=ada, trial=trial)
    with pytest.raises(entry.UnscorableBaseline):
        services.allocate(enrolment=enrolment)
    factories.answer_newest(ada, [None, None, None, None, None, None, *[1] * 15])
    with pytest.raises(entry.UnscorableBaseline):
        services.allocate(enrolment=enrolment)
    services.repeat_baseline(enrolment=enrolment)
    factories.answer_newest(ada, [None, *[1] * 20])  # one missing item is prorated
    assert services.allocate(enrolment=enrolment).slot.position == 0


def test_without_trial_consent_nobody_enters_and_a_withdrawn_one_stops_allocation(team, trial):
    ada = people.participant(team, "ada", consents=("face",))
    with pytest.raises(entry.ConsentMissing):
        services.enrol(participant=ada, trial=trial)
    people.consent(ada, "trial")
    enrolment = factories.candidate(ada, trial)
    people.consent(ada, "trial", given=False)
    with pytest.raises(entry.ConsentMissing):
        services.allocate(enrolment=enrolment)
    people.consent(ada, "trial")
    assert services.allocate(enrolment=enrolment).status == "allocated"


def test_eligibility_is_judged_at_the_door_and_the_scores_at_allocation(study, team, ada, ben):
    factories.load_dass21()
    rules = [{"fact": "age", "at_least": 18, "at_most": 65}, {"fact": "depression", "at_least": 10}]
    trial = factories.running(study, eligibility=rules)
    child = people.participant(team, "cleo", birth_year=timezone.now().year - 18)  # perhaps still seventeen
    with pytest.raises(entry.NotEligible, match="Age must be at least 18"):
        services.enrol(participant=child, trial=trial)
    unknown = people.participant(team, "dora", birth_year=None)
    with pytest.raises(entry.NotEligible, match="Age must be"):
        services.enrol(participant=unknown, trial=trial)
    well = factories.candidate(ada, trial, [0] * 21)
    with pytest.raises(entry.NotEligible, match="Depression must be at least 10"):
        services.allocate(enrolment=well)
    assert factories.allocated(ben, trial).status == "allocated"


def test_an_open_severe_risk_event_can_keep_people_out(study, ada, ben):
    factories.load_dass21()
    trial = factories.running(study, eligibility=[{"fact": "severe_risk_open", "is": False}])
    enrolment = factories.candidate(ada, trial)
    safety.raise_event(participant=ada, source="clinician", severity="severe", rule="clinician", evidence={})
    with pytest.raises(entry.NotEligible, match="Severe risk open must be no"):
        services.allocate(enrolment=enrolment)
    assert factories.allocated(ben, trial).status == "allocated"


def test_a_person_of_another_study_does_not_enter(ada, trial):
    other = people.participant(people.care_team(people.study("other")), "olga")
    with pytest.raises(entry.NotEligible, match="study of this trial"):
        services.enrol(participant=other, trial=trial)
    assert services.enrol(participant=ada, trial=trial).status == "candidate"


def test_a_person_is_in_one_running_trial(study, ada, ben, trial):
    second = factories.running(study, slug="calm-2")
    services.enrol(participant=ada, trial=trial)
    for each in (trial, second):
        with pytest.raises(entry.AlreadyEnrolled):
            services.enrol(participant=ada, trial=each)
    assert services.enrol(participant=ben, trial=second).trial == second


def test_only_a_running_trial_takes_people(draft, ada):
    for step in (services.seal_list, services.start):
        with pytest.raises(WrongState):
            services.enrol(participant=ada, trial=draft)
        step(trial=draft)
    assert services.enrol(participant=ada, trial=draft).status == "candidate"


def test_an_exhausted_stratum_stops_enrolment_and_loses_nothing(study, team, ada, ben):
    factories.load_dass21()
    trial = factories.running(study, slots_per_stratum=1)
    factories.allocated(ada, trial)
    waiting = factories.candidate(ben, trial)
    with pytest.raises(entry.StratumExhausted):
        services.allocate(enrolment=waiting)
    waiting.refresh_from_db()
    assert (waiting.status, waiting.allocated_at) == ("candidate", None)
    with pytest.raises(entry.EnrolmentPaused):
        services.enrol(participant=people.participant(team, "cleo"), trial=trial)
    services.extend_list(trial=trial, slots_per_stratum=10)
    assert services.allocate(enrolment=waiting).slot.position == 1
    assert services.verify_list(trial=trial).holds


def test_nothing_of_a_refused_allocation_stays(ada, trial, monkeypatch):
    enrolment = factories.candidate(ada, trial)
    before = AuditEvent.objects.count()

    def fail(**_fields):
        raise RuntimeError("the database went away")

    monkeypatch.setattr(entry.outcomes, "plan", fail)
    with pytest.raises(RuntimeError):
        services.allocate(enrolment=enrolment)
    enrolment.refresh_from_db()
    assert enrolment.status == "candidate"
    assert not Slot.objects.exclude(taken_by=None).exists()
    assert AuditEvent.objects.count() == before


def test_the_policy_is_the_arms_in_a_running_trial_and_personalised_elsewhere(ada, ben, trial):
    assert services.policy_for(ada) == "personalised"
    enrolment = factories.candidate(ada, trial)
    assert services.policy_for(ada) is None
    services.allocate(enrolment=enrolment)
    factories.allocated(ben, trial)
    for person in (ada, ben):
        assert services.policy_for(person) == Enrolment.objects.get(participant=person).read_arm().policy
    services.close(trial=trial)
    assert {services.policy_for(person) for person in (ada, ben)} == {"personalised"}


def test_over_a_whole_list_people_get_both_policies_alike(team, study):
    factories.load_dass21()
    trial = factories.running(study, stratify_by=[], block_sizes=[4], slots_per_stratum=8)
    people_ = [people.participant(team, f"p{n}") for n in range(8)]
    for person in people_:
        factories.allocated(person, trial)
    policies = [services.policy_for(person) for person in people_]
    assert (policies.count("personalised"), policies.count("fixed_sequence")) == (4, 4)


def test_a_waiting_list_gets_nothing_before_its_cross_over_and_everything_after(study, ada, monkeypatch):
    factories.load_dass21()
    trial = factories.running(study, arms=(("waiting_list", 1), ("usual_care", 1)), stratify_by=[])
    enrolment = factories.allocated(ada, trial)
    for policy, later in (("waiting_list", "personalised"), ("usual_care", None)):
        arm = trial.arms.get(policy=policy)
        monkeypatch.setattr(Slot, "read_arm", lambda _slot, arm=arm: arm)
        Enrolment.objects.filter(pk=enrolment.pk).update(allocated_at=factories.local_days_ago(ada, 55))
        assert services.policy_for(ada) is None
        Enrolment.objects.filter(pk=enrolment.pk).update(allocated_at=factories.local_days_ago(ada, 56))
        assert services.policy_for(ada) == later


def test_leaving_the_trial_changes_nothing_of_what_the_arm_gives(ada, ben, trial):
    """Otherwise somebody could learn their arm by leaving."""
    enrolment = factories.allocated(ada, trial)
    before = services.policy_for(ada)
    withdrawal = services.withdraw(enrolment=enrolment, kind="stop", words="no time")
    assert services.policy_for(ada) == before
    assert withdrawal.words == "no time"
    assert b"no time" not in bytes(withdrawal.sealed_words)
    assert services.withdraw(enrolment=enrolment, kind="stop").pk == withdrawal.pk
    with pytest.raises(entry.EnrolmentEnded):
        services.allocate(enrolment=enrolment)
    candidate = factories.candidate(ben, trial)
    services.withdraw(enrolment=candidate, kind="stop")
    assert services.policy_for(ben) == "personalised"


def test_everybody_is_masked_in_a_masked_trial_and_nobody_in_an_open_one(study, ada, ben, carol, tom):
    factories.load_dass21()
    masked = factories.running(study)
    open_label = factories.running(study, slug="open", arms=(("personalised", 1), ("waiting_list", 1)))
    assert not services.is_masked_for(carol, ada)
    factories.allocated(ada, masked)
    factories.allocated(ben, open_label)
    for user in (carol, tom, ada.user):
        assert services.is_masked_for(user, ada)
        assert not services.is_masked_for(user, ben)


def test_which_policies_can_be_masked(study):
    assert not factories.trial(study, "one", arms=(("personalised", 1), ("fixed_sequence", 1))).open_label
    for policy in ("waiting_list", "usual_care"):
        assert factories.trial(study, policy, arms=(("personalised", 1), (policy, 1))).open_label


def test_the_audit_names_who_and_whom_but_never_the_arm(ada, trial, tom):
    enrolment = factories.candidate(ada, trial)
    services.allocate(enrolment=enrolment, by=tom)
    event = AuditEvent.objects.get(action="trial.allocated")
    assert (event.actor, event.subject) == (str(tom.pk), f"trials.Enrolment/{enrolment.pk}")
    assert event.details == {"trial": "calm-1"}
    assert Arm.objects.count() == 2
    assert Trial.objects.get().status == "running"


def test_a_day_begins_at_midnight_where_the_person_is(ada, trial):
    enrolment = factories.allocated(ada, trial)
    enrolment.allocated_at = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    morning = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    for zone, day in (("UTC", 1), ("Pacific/Auckland", 0), ("America/New_York", 1)):
        enrolment.participant.zone = zone
        assert enrolment.day(morning) == day
    assert enrolment.day(datetime(2026, 11, 18, 12, 0, tzinfo=UTC)) == -2
