import json

import pytest
from django.utils import timezone

from mhealth.people import registry
from mhealth.people.services import stop
from mhealth.trials import services
from mhealth.trials.models import AdverseEvent, Enrolment, Slot, Trial, Withdrawal
from tests import factories as people
from tests.trials import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def rooms():
    return registry.rooms["trials"]


def test_my_data_hold_the_trial_without_the_arm_and_say_when_it_will_be_told(ada, trial, rooms):
    Trial.objects.update(unblinding_planned_on="2027-06-01")
    factories.allocated(ada, trial)
    mine = rooms.export(ada)["trials"][0]
    assert (mine["trial"], mine["status"]) == ("Calm, first trial", "allocated")
    assert (mine["group"], mine["group_will_be_told_on"]) == (None, "2027-06-01")
    told = json.dumps(mine)
    assert not any(arm.name in told or arm.policy in told for arm in trial.arms.all())


def test_an_open_label_arm_is_told(study, ada, rooms):
    factories.load_dass21()
    trial = factories.running(study, arms=(("personalised", 1), ("usual_care", 1)))
    enrolment = factories.allocated(ada, trial)
    assert rooms.export(ada)["trials"][0]["group"] == enrolment.read_arm().name


def test_erasure_leaves_a_count_and_nothing_of_the_person(ada, ben, tom, trial, rooms):
    enrolment, other = factories.allocated(ada, trial), factories.allocated(ben, trial)
    for each in (enrolment, other):
        services.record_adverse_event(
            enrolment=each, by=tom, words="panic attack", happened_at=each.enrolled_at, severity="mild", serious=False
        )
    rooms.erase(ada)
    rooms.erase(ada)
    enrolment.refresh_from_db()
    assert (enrolment.status, enrolment.baseline) == ("withdrawn", None)
    assert enrolment.withdrawal.kind == Withdrawal.Kind.ERASE_ALL
    assert Slot.objects.get(taken_by=enrolment).position == 0
    assert [event.words for event in AdverseEvent.objects.order_by("recorded_at")] == ["", "panic attack"]
    assert Enrolment.objects.get(pk=other.pk).status == "allocated"
    assert services.verify_list(trial=trial).holds


def test_words_sealed_under_a_destroyed_key_are_gone(ada, tom, trial):
    enrolment = factories.allocated(ada, trial)
    asked = services.ask_to_unblind(trial=trial, by=tom, reason="in hospital", enrolment=enrolment)
    assert asked.reason == "in hospital"
    ada.data_key.destroy()
    asked.refresh_from_db()
    assert type(asked).objects.get().reason == ""


def test_withdrawn_trial_consent_takes_the_person_out_and_other_scopes_do_not(ada, ben, trial, rooms):
    factories.allocated(ada, trial)
    factories.candidate(ben, trial)
    rooms.withdraw(ada, "voice", timezone.now())
    assert Enrolment.objects.get(participant=ada).status == "allocated"
    for person in (ada, ben):
        people.consent(person, "trial", given=False)
        rooms.withdraw(person, "trial", timezone.now())
        assert Enrolment.objects.get(participant=person).status == "withdrawn"
    assert Withdrawal.objects.filter(kind="stop").count() == 2


def test_who_stops_leaves_the_trial(ada, ben, trial, django_capture_on_commit_callbacks):
    factories.allocated(ada, trial)
    factories.allocated(ben, trial)
    with django_capture_on_commit_callbacks(execute=True):
        stop(ada, delete_media=False)
        stop(ben, delete_media=True)
    kinds = dict(Withdrawal.objects.values_list("enrolment__participant__user__first_name", "kind"))
    assert kinds == {"Ada": "stop", "Ben": "stop_and_delete_media"}
    with django_capture_on_commit_callbacks(execute=True):
        stop(ada, delete_media=True)  # asked for later
    assert set(Withdrawal.objects.values_list("kind", flat=True)) == {"stop_and_delete_media"}


@pytest.mark.parametrize(
    ("kind", "status", "erasures"),
    [("stop", "active", 0), ("stop_and_delete_media", "stopped", 0), ("erase_all", "active", 1)],
)
def test_a_manager_does_what_the_person_asked_for(phone, ada, tom, trial, kind, status, erasures):
    enrolment = factories.allocated(ada, trial)
    url = f"/api/v1/trials/calm-1/enrolments/{enrolment.pk}/withdrawal/"
    assert phone(tom).post(url, {"kind": kind}).status_code == 201
    ada.refresh_from_db()
    assert (ada.status, ada.erasure_requests.pending().count()) == (status, erasures)
    assert Enrolment.objects.get().status == "withdrawn"
