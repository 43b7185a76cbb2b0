"""Adverse events and deviations, recorded by the people who hear of them; nobody learns an arm by it."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from mhealth.platform.models import AuditEvent
from mhealth.trials.models import AdverseEvent, Deviation
from tests import factories as people
from tests.trials import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, settings):
    settings.STAFF_SECOND_FACTOR = False

    def sit_down(user):
        client.force_login(user)
        return client

    return sit_down


@pytest.fixture
def enrolment(ada, trial):
    return factories.allocated(ada, trial)


def sent(enrolment, **more) -> dict:
    at = timezone.now() - timedelta(hours=2)
    moment = {"happened_at_0": at.date().isoformat(), "happened_at_1": at.strftime("%H:%M:%S")}
    return {"enrolment": enrolment.pk, "words": "A secret fall."} | moment | more


EVENT = {"severity": "severe", "serious": "on", "related": "possible"}
ADD, LIST = "admin:trials_adverseevent_add", "admin:trials_adverseevent_changelist"


def test_a_clinician_records_an_event_of_their_own_people(desk, enrolment, carol, dan):
    browser = desk(carol)
    assert browser.post(reverse(ADD), sent(enrolment, **EVENT)).status_code == 302
    event = AdverseEvent.objects.get()
    assert (event.severity, event.serious, event.related) == ("severe", True, "possible")
    assert (event.words, event.recorded_by) == ("A secret fall.", carol)
    assert b"secret" not in bytes(event.sealed_words)
    assert desk(dan).post(reverse(ADD), sent(enrolment, **EVENT)).status_code == 200  # no such person for dan
    assert AdverseEvent.objects.count() == 1


def test_a_manager_records_a_deviation_and_finds_it_again_in_words(desk, enrolment, tom):
    note = sent(enrolment, kind="late questionnaire", major="on")
    desk(tom).post(reverse("admin:trials_deviation_add"), note)
    deviation = Deviation.objects.get()
    assert (deviation.kind, deviation.major, deviation.recorded_by) == ("late questionnaire", True, tom)
    shown = desk(tom).get(reverse("admin:trials_deviation_change", args=[deviation.pk])).content.decode()
    assert "A secret fall." in shown
    assert enrolment.read_arm().name not in shown
    listed = desk(tom).get(reverse("admin:trials_deviation_changelist")).content.decode()
    assert ">major<" in "".join(listed.split())
    assert "close_small" not in listed


def test_a_person_is_searched_for_among_those_whom_the_reader_may_see(desk, enrolment, ben, carol, dan, tom, rae):
    """By pseudonym or trial; the form itself holds nobody."""
    other = factories.candidate(ben, enrolment.trial)
    address = reverse("admin:trials_adverseevent_people")

    def found(user, term: str = "") -> list[str]:
        answer = desk(user).get(address, {"term": term})
        return [row["id"] for row in answer.json()["results"]]

    both = [str(enrolment.pk), str(other.pk)]
    assert found(carol) == found(tom) == found(carol, "calm-1") == found(carol, "first trial") == both
    assert found(carol, f"participant {str(ben.pk)[:8]}") == found(tom, str(ben.pk)[:5].upper()) == [str(other.pk)]
    assert found(carol, "calm-7") == found(dan) == []
    assert desk(rae).get(address).status_code == 403
    (row,) = desk(carol).get(address, {"term": str(ben.pk)[:8]}).json()["results"]
    assert row["text"] == f"participant {str(ben.pk)[:8]} in calm-1"
    form = desk(carol).get(reverse(ADD)).content.decode()
    assert f'data-ajax--url="{address}"' in form
    assert str(enrolment.pk) not in form
    looked = AuditEvent.objects.filter(action="admin.listed", subject="trials.Enrolment", actor=str(dan.pk))
    assert [event.details for event in looked] == [{"count": 0}]


def test_what_was_recorded_is_in_the_audit_without_its_words_and_cannot_be_changed(desk, enrolment, carol):
    desk(carol).post(reverse(ADD), sent(enrolment, **EVENT))
    told = AuditEvent.objects.filter(action="trial.adverse_event")
    assert [(event.actor, event.subject) for event in told] == [(str(carol.pk), f"trials.Enrolment/{enrolment.pk}")]
    assert "secret" not in "".join(str(event.details) for event in AuditEvent.objects.all())
    url = reverse("admin:trials_adverseevent_change", args=[AdverseEvent.objects.get().pk])
    assert desk(carol).post(url, sent(enrolment, **EVENT, words="Nothing.")).status_code == 403
    assert AdverseEvent.objects.get().words == "A secret fall."


def test_a_severity_must_be_chosen(desk, enrolment, carol):
    assert '<option value="mild" selected' not in desk(carol).get(reverse(ADD)).content.decode()
    assert desk(carol).post(reverse(ADD), sent(enrolment, **EVENT) | {"severity": ""}).status_code == 200
    assert not AdverseEvent.objects.exists()


def test_nothing_happens_in_the_future(desk, enrolment, carol):
    tomorrow = (timezone.now() + timedelta(days=1)).date().isoformat()
    answer = desk(carol).post(reverse(ADD), sent(enrolment, **EVENT) | {"happened_at_0": tomorrow})
    assert "This lies in the future." in answer.content.decode()
    assert not AdverseEvent.objects.exists()


def test_others_do_not_get_there(desk, enrolment, rae, ola, eve, study):
    stranger = people.member("tess", "trial_manager", people.study("other"))
    for user in (rae, ola, eve):
        assert desk(user).get(reverse(ADD)).status_code == 403
        assert desk(user).get(reverse(LIST)).status_code == 403
    assert desk(stranger).post(reverse(ADD), sent(enrolment, **EVENT)).status_code == 200
    assert not AdverseEvent.objects.exists()


def test_the_page_of_a_person_leads_to_the_form_with_the_person_chosen(desk, enrolment, tom):
    shown = desk(tom).get(reverse("admin:trials_enrolment_change", args=[enrolment.pk])).content.decode()
    assert "Record an adverse event" in shown
    there = desk(tom).get(reverse("admin:trials_enrolment_adverse_event", args=[enrolment.pk]), follow=True)
    form = there.content.decode()
    assert f'<option value="{enrolment.pk}" selected>' in form
