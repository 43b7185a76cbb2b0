import uuid
from datetime import UTC, datetime

import pytest

from mhealth.platform.models import AuditEvent
from mhealth.trials import services
from mhealth.trials.models import Enrolment, Slot, Trial
from tests import factories as people
from tests.trials import factories

pytestmark = pytest.mark.django_db
BASE = "/api/v1/trials/calm-1/"
EVENT = {
    "happened_at": "2026-11-20T10:00:00Z",
    "severity": "moderate",
    "serious": False,
    "related": "possible",
    "words": "felt worse after the exercise",
}


def test_a_manager_enrols_and_allocates_without_learning_the_arm(phone, tom, ada, trial):
    manager = phone(tom)
    made = manager.post(f"{BASE}enrolments/", {"participant": str(ada.pk)})
    assert made.status_code == 201, made.json()
    assert made.json()["status"] == "candidate"
    factories.answer_newest(ada, [1] * 21)
    url = f"{BASE}enrolments/{made.json()['id']}/allocation/"
    allocated = manager.post(url)
    assert allocated.status_code == 200, allocated.json()
    assert set(allocated.json()) == {"id", "participant", "status", "enrolled_at", "allocated_at", "day"}
    assert (allocated.json()["status"], allocated.json()["day"]) == ("allocated", 0)
    assert manager.post(url).json() == allocated.json()
    listed = manager.get(f"{BASE}enrolments/?status=allocated").json()["results"]
    assert [row["participant"] for row in listed] == [str(ada.pk)]
    assert manager.get(f"{BASE}enrolments/?status=candidate").json()["results"] == []


def test_answers_for_both_arms_have_the_same_keys_and_size(phone, tom, team, study):
    factories.load_dass21()
    factories.running(study, stratify_by=[], block_sizes=[2], slots_per_stratum=8)
    manager, sizes, keys, policies = phone(tom), set(), set(), set()
    for n in range(8):
        person = people.participant(team, f"p{n}")
        enrolment = factories.candidate(person, Trial.objects.get())
        answer = manager.post(f"{BASE}enrolments/{enrolment.pk}/allocation/")
        mine = phone(person).get("/api/v1/me/trial/")
        sizes.add((len(answer.content), len(mine.content)))
        keys.add((*answer.json(), *mine.json(), *answer.headers))
        policies.add(services.policy_for(person))
    assert policies == {"personalised", "fixed_sequence"}
    assert len(keys) == 1
    widths = [max(column) - min(column) for column in zip(*sizes, strict=True)]
    assert max(widths) <= 14  # two times of the day whose microseconds may be all zero


@pytest.mark.parametrize(
    ("spoil", "status", "problem"),
    [
        (lambda ada, trial: None, 409, "unscorable-baseline"),
        (lambda ada, trial: people.consent(ada, "trial", given=False), 409, "consent-missing"),
        (lambda ada, trial: Trial.objects.update(eligibility=[{"fact": "age", "at_least": 90}]), 409, "not-eligible"),
        (lambda ada, trial: Slot.objects.all().delete(), 409, "stratum-exhausted"),
        (lambda ada, trial: services.close(trial=trial), 409, "enrolment-ended"),
    ],
)
def test_a_refused_allocation_names_its_problem(phone, tom, ada, trial, spoil, status, problem):
    enrolment = services.enrol(participant=ada, trial=trial)
    if problem != "unscorable-baseline":
        factories.answer_newest(ada, [1] * 21)
    spoil(ada, trial)
    answer = phone(tom).post(f"{BASE}enrolments/{enrolment.pk}/allocation/")
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:mhealth:problem:{problem}"
    assert not Enrolment.objects.filter(status="allocated").exists()


def test_an_unknown_trial_enrolment_or_person_is_a_clear_answer(phone, tom, ada, trial):
    manager = phone(tom)
    assert manager.get("/api/v1/trials/nowhere/").json()["type"] == "urn:mhealth:problem:not-found"
    assert manager.post(f"{BASE}enrolments/{uuid.uuid4()}/allocation/").status_code == 404
    unknown = manager.post(f"{BASE}enrolments/", {"participant": str(uuid.uuid4())})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/participant")
    assert manager.post(f"{BASE}enrolments/", {"participant": str(ada.pk)}).status_code == 201


def test_only_the_managers_of_the_study_come_in(phone, tom, ada, carol, rae, trial):
    stranger = people.member("tess", "trial_manager", people.study("other"))
    enrolment = factories.candidate(ada, trial)
    doors = ["", "enrolments/", "deviations/", "unblinding-requests/", "adverse-events/"]
    for door in doors:
        assert phone(tom).get(BASE + door).status_code == 200
        assert phone(stranger).get(BASE + door).status_code == 404
        assert phone(rae).get(BASE + door).status_code == 403
        assert phone().get(BASE + door).status_code == 401
    for door in doors[:-1]:
        assert phone(ada).get(BASE + door).status_code == 403
        assert phone(carol).get(BASE + door).status_code == 403
    assert phone(stranger).post(f"{BASE}enrolments/{enrolment.pk}/allocation/").status_code == 404
    assert Enrolment.objects.get().status == "candidate"


def test_the_trial_page_counts_people_and_keeps_block_sizes_and_labels_to_itself(phone, tom, ada, ben, trial):
    factories.allocated(ada, trial)
    factories.candidate(ben, trial)
    shown = phone(tom).get(BASE).json()
    assert shown["people"] == {"allocated": 1, "candidate": 1}
    assert [arm["policy"] for arm in shown["arms"]] == ["personalised", "fixed_sequence"]
    assert "block_sizes" not in shown
    assert any("not given" in finding["text"] for finding in shown["setup"])


def test_a_participant_sees_their_trial_and_not_their_arm(phone, ada, ben, trial):
    factories.allocated(ada, trial)
    mine = phone(ada).get("/api/v1/me/trial/")
    assert (mine.json()["trial"], mine.json()["status"], mine.json()["day"]) == ("calm-1", "allocated", 0)
    assert not any(word in mine.content.decode() for word in ("personalised", "fixed", "slot", "arm"))
    assert phone(ben).get("/api/v1/me/trial/").status_code == 404


def test_adverse_events_come_from_the_person_their_clinician_and_the_manager(phone, ada, ben, carol, dan, tom, trial):
    enrolment, other = factories.allocated(ada, trial), factories.allocated(ben, trial)
    for user in (ada, carol, tom):
        made = phone(user).post(f"{BASE}adverse-events/", EVENT | {"enrolment": str(enrolment.pk)})
        assert made.status_code == 201, made.json()
    assert len(phone(ada).get(f"{BASE}adverse-events/").json()["results"]) == 3
    assert phone(tom).get(f"{BASE}adverse-events/").json()["results"][0]["words"] == EVENT["words"]
    assert phone(ben).get(f"{BASE}adverse-events/").json()["results"] == []
    assert phone(dan).get(f"{BASE}adverse-events/").status_code == 404
    refused = phone(ada).post(f"{BASE}adverse-events/", EVENT | {"enrolment": str(other.pk)})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/enrolment")
    assert AuditEvent.objects.filter(action="trial.adverse_event").count() == 3
    assert EVENT["words"] not in str(list(AuditEvent.objects.values()))


def test_deviations_are_recorded(phone, ada, tom, trial):
    enrolment = factories.allocated(ada, trial)
    entry = {
        "enrolment": str(enrolment.pk),
        "happened_at": "2026-11-20T10:00:00Z",
        "kind": "late questionnaire",
        "words": "was ill",
    }
    assert phone(tom).post(f"{BASE}deviations/", entry).status_code == 201
    shown = phone(tom).get(f"{BASE}deviations/").json()["results"][0]
    assert (shown["kind"], shown["major"], shown["words"]) == ("late questionnaire", False, "was ill")


def test_a_withdrawal_is_recorded_once_and_keeps_the_slot(phone, ada, tom, trial):
    enrolment = factories.allocated(ada, trial)
    url = f"{BASE}enrolments/{enrolment.pk}/withdrawal/"
    first = phone(tom).post(url, {"kind": "stop", "words": "moved away"})
    assert first.status_code == 201
    assert phone(tom).post(url, {"kind": "stop"}).json() == first.json()
    assert phone(tom).post(url, {"kind": "vanish"}).status_code == 422
    assert phone(tom).get(BASE).json()["people"] == {"withdrawn": 1}
    assert Slot.objects.get(taken_by=enrolment).position == 0


def test_emergency_unblinding_takes_two_people_and_tells_only_the_one_who_asked(
    phone, ada, ben, carol, tom, trial, study
):
    tess = people.member("tess", "trial_manager", study)
    enrolment = factories.allocated(ada, trial)
    factories.allocated(ben, trial)
    asked = phone(tom).post(f"{BASE}unblinding-requests/", {"enrolment": str(enrolment.pk), "reason": "in hospital"})
    assert asked.status_code == 201, asked.json()
    url = f"{BASE}unblinding-requests/{asked.json()['id']}/"
    assert phone(tom).get(url).json()["arm"] is None
    alone = phone(tom).post(f"{url}decision/", {"approve": True})
    assert (alone.status_code, alone.json()["type"]) == (409, "urn:mhealth:problem:second-person-needed")
    assert services.is_masked_for(tom, ada)
    assert phone(tess).post(f"{url}decision/", {"approve": True}).json()["status"] == "approved"
    assert phone(tom).get(url).json()["arm"] == enrolment.read_arm().name
    assert phone(tess).get(url).json()["arm"] is None
    assert [services.is_masked_for(user, ada) for user in (tom, tess, carol)] == [False, True, True]
    assert services.is_masked_for(tom, ben)
    assert phone(tess).post(f"{url}decision/", {"approve": False}).json()["type"].endswith("already-decided")
    assert AuditEvent.objects.filter(action="trial.arm_read", actor=str(tom.pk)).count() == 1


def test_a_refused_request_tells_nothing(phone, ada, tom, trial, study):
    enrolment = factories.allocated(ada, trial)
    asked = services.ask_to_unblind(trial=trial, by=tom, reason="curious", enrolment=enrolment)
    services.decide_unblinding(request=asked, by=people.member("tess", "trial_manager", study), approve=False)
    assert phone(tom).get(f"{BASE}unblinding-requests/{asked.pk}/").json()["arm"] is None
    assert services.is_masked_for(tom, ada)


def test_the_trial_is_unblinded_after_its_end_and_with_a_locked_plan(phone, ada, carol, tom, trial, study):
    tess = people.member("tess", "trial_manager", study)
    factories.allocated(ada, trial)
    for step in (lambda: services.close(trial=trial), lambda: services.lock_plan(trial=trial)):
        early = phone(tom).post(f"{BASE}unblinding-requests/", {"reason": "analysis"})
        assert early.json()["type"] == "urn:mhealth:problem:trial-state"
        step()
    asked = phone(tom).post(f"{BASE}unblinding-requests/", {"reason": "analysis"})
    assert services.is_masked_for(carol, ada)
    phone(tess).post(f"{BASE}unblinding-requests/{asked.json()['id']}/decision/", {"approve": True})
    assert not services.is_masked_for(carol, ada)
    assert Trial.objects.get().unblinded_at > datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["adverse-events", "deviations"])
def test_when_something_happened_is_judged_by_the_rule_for_all_told_moments(phone, tom, ada, trial, kind):
    enrolment = factories.candidate(ada, trial)
    fields = EVENT if kind == "adverse-events" else {"kind": "window", "major": False, "words": "two days late"}
    sent = fields | {"enrolment": str(enrolment.pk), "happened_at": "1970-01-01T00:00:00Z"}
    refused = phone(tom).post(f"{BASE}{kind}/", sent)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/happened_at")
    made = phone(tom).post(f"{BASE}{kind}/", sent | {"happened_at": "2126-11-20T10:00:00Z"})
    assert made.status_code == 201
    assert datetime.fromisoformat(made.json()["happened_at"]) <= datetime.now(UTC)
    past = phone(tom).post(f"{BASE}{kind}/", sent | {"happened_at": "2026-11-20T10:00:00Z"})
    assert past.json()["happened_at"] == "2026-11-20T10:00:00Z"


def test_a_person_who_was_in_a_trial_before_gets_all_questionnaires_of_the_next(ada, trial, study):
    before = factories.candidate(ada, trial)
    factories.answer_newest(ada, [1] * 21)
    services.allocate(enrolment=before)
    services.close(trial=trial)
    second = factories.running(study, slug="calm-2")
    first_names = sorted(ada.occasions.values_list("name", flat=True))
    enrolment = services.enrol(participant=ada, trial=second)
    assert ada.occasions.filter(plan=f"trials.Trial/{second.pk}").count() == 1
    factories.answer_newest(ada, [1] * 21)
    services.allocate(enrolment=enrolment)
    planned = ada.occasions.filter(plan=f"trials.Trial/{second.pk}").values_list("name", flat=True)
    assert sorted(planned) == first_names
