"""Whoever is turned away is counted once, with the reason, so that a CONSORT flow begins where it should."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from mhealth.people import rights
from mhealth.platform.models import AuditEvent
from mhealth.trials import data_rights, services
from mhealth.trials.models import Enrolment, Screening
from mhealth.trials.services.enrolment import AlreadyEnrolled, ConsentMissing, NotEligible
from mhealth.trials.services.setup import WrongState
from tests import factories as people
from tests.trials import factories
from tests.trials.test_admin import desk, step  # noqa: F401 - the fixture

pytestmark = pytest.mark.django_db
URL = "/api/v1/trials/calm-1/screenings/"


def turned_away(trial) -> dict[str, int]:
    return {reason: n for reason, n in services.assessment(trial).turned_away.items() if n}


def refused(person, trial, error=NotEligible) -> None:
    with pytest.raises(error):
        services.enrol(participant=person, trial=trial)


def test_who_does_not_meet_a_criterion_is_counted_with_the_criterion_and_nothing_else(trial, ada, tom):
    ada.birth_year = timezone.now().year - 15
    ada.save()
    with pytest.raises(NotEligible):
        services.enrol(participant=ada, trial=trial, by=tom)
    look = Screening.objects.get()
    assert (look.participant, look.reason, look.unmet, look.people) == (ada, "not_eligible", ["age"], 1)
    assert look.recorded_by == tom
    event = AuditEvent.objects.get(action="trial.screened")
    assert event.details == {"trial": "calm-1", "reason": "not_eligible"}
    found = services.assessment(trial)
    assert (found.assessed, turned_away(trial), found.unmet) == (1, {"not_eligible": 1}, {"age": 1})


def test_who_gave_no_consent_has_declined(trial, team):
    refused(people.participant(team, "una", consents=("study",)), trial, ConsentMissing)
    assert turned_away(trial) == {"declined": 1}


def test_who_is_in_another_trial_is_counted_here_and_who_asks_twice_is_not(trial, ada, study):
    other = factories.running(study, slug="calm-2")
    services.enrol(participant=ada, trial=other)
    refused(ada, trial, AlreadyEnrolled)
    assert turned_away(trial) == {"elsewhere": 1}
    refused(ada, other, AlreadyEnrolled)
    assert turned_away(other) == {}


def test_a_stranger_to_the_study_is_not_assessed(trial):
    refused(people.participant(people.care_team(people.study("other")), "una"), trial)
    assert services.assessment(trial).assessed == 0


def test_who_is_turned_away_and_comes_again_is_counted_once_as_they_are_now(trial, ada):
    year, ada.birth_year = ada.birth_year, timezone.now().year - 15
    ada.save()
    for _ in range(3):
        refused(ada, trial)
    assert turned_away(trial) == {"not_eligible": 1}
    ada.birth_year = year
    ada.save()
    enrolment = services.enrol(participant=ada, trial=trial)
    assert turned_away(trial) == {}
    assert services.assessment(trial).waiting == 1
    services.withdraw(enrolment=enrolment, kind="stop")
    found = services.assessment(trial)
    assert (found.assessed, found.waiting, found.left, found.randomised) == (1, 0, 1, 0)


def test_a_candidate_whose_baseline_does_not_meet_the_criteria_no_longer_waits(study, ada):
    factories.load_dass21()
    rules = [{"fact": "depression", "at_least": 20}]
    trial = factories.running(study, eligibility=rules)
    enrolment = factories.candidate(ada, trial)
    with pytest.raises(NotEligible):
        services.allocate(enrolment=enrolment)
    found = services.assessment(trial)
    assert (turned_away(trial), found.unmet, found.waiting) == ({"not_eligible": 1}, {"depression": 1}, 0)
    assert Enrolment.objects.get().status == "candidate", "may fill the baseline in again"
    services.repeat_baseline(enrolment=enrolment)
    factories.answer_newest(ada, [2] * 21)
    services.allocate(enrolment=enrolment)
    found = services.assessment(trial)
    assert (found.assessed, turned_away(trial), found.randomised) == (1, {}, 1)


@pytest.mark.parametrize("end", ["closes", "leaves", "is erased"])
def test_who_was_turned_away_at_the_baseline_stays_so_whatever_comes(study, ada, tom, end):
    factories.load_dass21()
    trial = factories.running(study, eligibility=[{"fact": "depression", "at_least": 20}])
    enrolment = factories.candidate(ada, trial)
    with pytest.raises(NotEligible):
        services.allocate(enrolment=enrolment)
    {
        "closes": lambda: services.close(trial=trial, by=tom),
        "leaves": lambda: services.withdraw(enrolment=enrolment, kind="stop"),
        "is erased": lambda: rights.erase(ada),
    }[end]()
    found = services.assessment(trial)
    assert (found.assessed, turned_away(trial), found.waiting, found.left) == (1, {"not_eligible": 1}, 0, 0)


def test_nobody_of_another_study_and_nobody_who_entered_is_counted_by_hand(phone, tom, ada, ben, trial):
    other = people.study("other")
    people.StudyMember.objects.create(study=other, user=tom)
    stranger = people.participant(people.care_team(other), "una")
    factories.candidate(ada, trial)
    rights.erase(ben)
    for person in (stranger, ada, ben):
        answer = phone(tom).post(URL, {"reason": "other", "participant": str(person.pk)})
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:mhealth:problem:not-to-be-counted")
    assert not Screening.objects.exists()


def test_a_clock_that_is_ahead_turns_nobody_away_twice(trial, ada, tom):
    ahead = timezone.now() + timedelta(minutes=5)
    services.record_screening(trial=trial, participant=ada, reason="other", by=tom, assessed_at=ahead)
    services.enrol(participant=ada, trial=trial)
    assert (turned_away(trial), services.assessment(trial).waiting) == ({}, 1)


def test_a_slip_is_struck_out_and_stays_to_be_seen(desk, tom, trial):  # noqa: F811
    slip = services.record_screening(trial=trial, reason="declined", people=140, by=tom)
    assert "struck out" not in desk(tom).get(reverse("admin:trials_screening_changelist")).content.decode()
    for status in (200, 403):
        assert step(desk(tom), slip, "strike").status_code == status
    assert services.assessment(trial).assessed == 0
    assert "struck out" in desk(tom).get(reverse("admin:trials_screening_changelist")).content.decode()
    assert AuditEvent.objects.filter(action="trial.screening_struck").count() == 1


def test_a_form_counts_who_is_in_another_trial(desk, tom, ada, trial, study):  # noqa: F811
    services.enrol(participant=ada, trial=factories.running(study, slug="calm-2"))
    answer = add(desk(tom), "enrolment", trial=trial.pk, participant=ada.pk)
    assert "is in another one that is running" in answer.content.decode()
    assert turned_away(trial) == {"elsewhere": 1}


def test_a_flow_adds_up_whoever_comes_goes_and_is_erased(trial, ada, ben, team):
    factories.allocated(ada, trial)
    services.enrol(participant=ben, trial=trial)
    left = services.enrol(participant=people.participant(team, "una"), trial=trial)
    services.withdraw(enrolment=left, kind="stop")
    young = people.participant(team, "kim", birth_year=timezone.now().year - 15)
    refused(young, trial)
    services.record_screening(trial=trial, reason="declined", people=14, by="system")
    rights.erase(young)
    assert Screening.objects.get(participant=young).unmet == []
    found = services.assessment(trial)
    why = {"not meeting the criteria": 1, "declined or gave no consent": 14, "in another trial": 0, "other reasons": 0}
    assert found.not_randomised == why | {"waiting for allocation": 1, "left before allocation": 1}
    assert (found.assessed, found.randomised) == (18, 1)
    assert services.assessment(trial, sites=(ada.site,)).turned_away["declined"] == 0, "no site is known of them"
    assert services.assessment(trial, until=trial.started_at).assessed == 0


def test_a_person_reads_that_they_were_turned_away(trial, ada):
    ada.birth_year = timezone.now().year - 15
    ada.save()
    refused(ada, trial)
    (mine,) = data_rights.export_person(ada)["turned_away"]
    assert (mine["trial"], mine["criteria_not_met"]) == ("Calm, first trial", ["age"])


def test_nobody_is_assessed_for_a_draft_or_a_closed_trial(draft, tom):
    with pytest.raises(WrongState):
        services.record_screening(trial=draft, reason="declined", by=tom)


def test_the_database_knows_that_a_named_person_is_one_person(trial, ada):
    for wrong in ({"participant": ada, "people": 2}, {"people": 0}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Screening.objects.create(trial=trial, reason="other", **wrong)


def test_a_manager_counts_people_by_api(phone, tom, ada, trial):
    manager = phone(tom)
    made = manager.post(URL, {"reason": "declined", "people": 14})
    assert made.status_code == 201, made.json()
    named = manager.post(URL, {"reason": "other", "participant": str(ada.pk)}).json()
    assert (named["participant"], named["people"], named["unmet"]) == (str(ada.pk), 1, [])
    assert [row["reason"] for row in manager.get(URL).json()["results"]] == ["other", "declined"]
    assert [row["people"] for row in manager.get(f"{URL}?reason=declined").json()["results"]] == [14]


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        ({"reason": "declined", "people": 0}, "/people"),
        ({"reason": "declined", "people": 10_001}, "/people"),
        ({"reason": "moody"}, "/reason"),
        ({"reason": "other", "participant": "00000000-0000-4000-8000-000000000000"}, "/participant"),
        ({"reason": "other", "assessed_at": "1970-01-01T00:00:00Z"}, "/assessed_at"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_name(phone, tom, trial, sent, pointer):
    answer = phone(tom).post(URL, sent)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not Screening.objects.exists()


def test_two_people_have_not_one_name(phone, tom, ada, trial):
    answer = phone(tom).post(URL, {"reason": "other", "participant": str(ada.pk), "people": 2})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/people")


def test_the_refusal_of_the_door_is_on_the_list(phone, tom, ada, trial):
    ada.birth_year = timezone.now().year - 15
    ada.save()
    answer = phone(tom).post("/api/v1/trials/calm-1/enrolments/", {"participant": str(ada.pk)})
    assert (answer.status_code, answer.json()["detail"]) == (409, "Age must be at least 18.")
    (row,) = phone(tom).get(URL).json()["results"]
    assert (row["participant"], row["unmet"]) == (str(ada.pk), ["age"])


def add(desk, model: str, **fields):  # noqa: F811
    return desk.post(reverse(f"admin:trials_{model}_add"), fields)


def test_a_manager_takes_a_person_into_the_trial_and_out_of_it_by_hand(desk, tom, ada, trial):  # noqa: F811
    desk = desk(tom)
    found = desk.get(reverse("admin:trials_enrolment_people"), {"term": str(ada.pk)[:8]}).json()["results"]
    assert [row["id"] for row in found] == [str(ada.pk)]
    assert add(desk, "enrolment", trial=trial.pk, participant=ada.pk).status_code == 302
    enrolment = Enrolment.objects.get()
    page = reverse("admin:trials_enrolment_change", args=[enrolment.pk])
    door = reverse("admin:trials_enrolment_allocate", args=[enrolment.pk])
    assert door in desk.get(page).content.decode()
    step(desk, enrolment, "allocate")
    assert "All three scales of a baseline questionnaire are needed." in desk.get(page).content.decode()
    assert Enrolment.objects.get().status == "candidate"
    factories.answer_newest(ada, [1] * 21)
    step(desk, enrolment, "allocate")
    enrolment.refresh_from_db()
    shown = desk.get(page).content.decode()
    assert enrolment.status == "allocated"
    assert door not in shown
    assert enrolment.read_arm().name not in shown
    step(desk, enrolment, "withdraw", kind="stop_and_delete_media", words="It is too much.")
    enrolment.refresh_from_db()
    assert (enrolment.status, enrolment.withdrawal.kind) == ("withdrawn", "stop_and_delete_media")
    assert enrolment.withdrawal.words == "It is too much."
    assert step(desk, enrolment, "withdraw", kind="erase_all").status_code == 403


def test_the_form_says_why_somebody_is_turned_away_and_counts_them(desk, tom, ada, trial):  # noqa: F811
    ada.birth_year = timezone.now().year - 15
    ada.save()
    answer = add(desk(tom), "enrolment", trial=trial.pk, participant=ada.pk)
    assert "Age must be at least 18." in answer.content.decode()
    assert not Enrolment.objects.exists()
    listed = desk(tom).get(reverse("admin:trials_screening_changelist")).content.decode()
    assert "not meeting the criteria" in listed
    assert f"participant {str(ada.pk)[:8]}" in listed


def test_a_person_is_found_on_the_lists_by_pseudonym(desk, tom, ada, ben, trial):  # noqa: F811
    for person in (ada, ben):
        factories.candidate(person, trial)
        about = {"words": "", "happened_at": timezone.now(), "kind": "late questionnaire"}
        services.record_deviation(enrolment=person.enrolments.get(), by=tom, **about)
    for model in ("enrolment", "deviation"):
        found = desk(tom).get(reverse(f"admin:trials_{model}_changelist"), {"q": str(ben.pk)[:8]}).content.decode()
        assert f"participant {str(ben.pk)[:8]}" in found
        assert f"participant {str(ada.pk)[:8]}" not in found


def test_a_baseline_is_asked_for_again_by_hand(desk, tom, ada, trial):  # noqa: F811
    enrolment = factories.candidate(ada, trial, [None] * 5 + [1] * 16)
    step(desk(tom), enrolment, "repeat_baseline")
    assert ada.occasions.count() == 2


def test_people_who_declined_on_the_phone_are_counted_by_hand(desk, tom, ada, trial):  # noqa: F811
    desk = desk(tom)
    assert add(desk, "screening", trial=trial.pk, reason="declined", people=14).status_code == 302
    assert Screening.objects.get().recorded_by == tom
    both = add(desk, "screening", trial=trial.pk, reason="other", people=2, participant=ada.pk)
    assert "A named person is one person." in both.content.decode()
    none = add(desk, "screening", trial=trial.pk, reason="other", people=0)
    assert "Between 1 and 10000." in none.content.decode()
    assert Screening.objects.count() == 1


def test_other_staff_enrol_nobody(desk, rae, carol, ola, ada, trial, study):  # noqa: F811
    stranger = people.member("tess", "trial_manager", people.study("other"))
    for user in (rae, carol, ola):
        assert add(desk(user), "enrolment", trial=trial.pk, participant=ada.pk).status_code == 403
        assert add(desk(user), "screening", trial=trial.pk, reason="other", people=1).status_code == 403
    assert desk(stranger).get(reverse("admin:trials_enrolment_people")).json()["results"] == []
    assert add(desk(stranger), "enrolment", trial=trial.pk, participant=ada.pk).status_code == 200
    assert not Enrolment.objects.exists()
    assert not Screening.objects.exists()
