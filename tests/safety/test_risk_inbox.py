"""The risk inbox in the admin: own people only, possible steps only, red until closed."""

import pytest
from django.urls import reverse

from mhealth.platform.models import AuditEvent
from mhealth.safety.models import Duty, RiskEvent, RiskMove

pytestmark = pytest.mark.django_db
INBOX = "/admin/safety/riskevent/"


@pytest.fixture
def desk(client, settings):
    """`desk(carol)` is a browser signed in to the admin; the second factor has tests of its own."""
    settings.STAFF_SECOND_FACTOR = False
    settings.SECURE_SSL_REDIRECT = False

    def sign_in(user):
        client.force_login(user)
        return client

    return sign_in


def page(event) -> str:
    return reverse("admin:safety_riskevent_change", args=[event.pk])


def step(event, name: str) -> str:
    return reverse(f"admin:safety_riskevent_{name}", args=[event.pk])


def test_the_inbox_shows_a_clinician_their_own_people_only(ada, carol, dan, desk, raised):
    event = raised(ada)
    assert str(event.pk) in desk(carol).get(INBOX).content.decode()
    assert str(event.pk) not in desk(dan).get(INBOX).content.decode()
    assert desk(dan).get(page(event)).status_code == 302, "as for a row that is not there"


def test_the_inbox_says_what_dass_21_cannot_tell(carol, desk):
    assert "no item on suicide" in desk(carol).get(INBOX).content.decode()


def test_the_worst_comes_first(ada, ben, carol, desk, raised):
    routine = raised(ada, severity="routine", rule="dass21.band")
    severe = raised(ben)
    prompt = raised(ada, severity="prompt", rule="other")
    text = desk(carol).get(INBOX).content.decode()
    places = [text.index(str(event.pk)) for event in (severe, prompt, routine)]
    assert places == sorted(places)


def test_only_the_possible_step_shows_and_works(ada, carol, desk, raised):
    event, browser = raised(ada), desk(carol)
    shown = browser.get(page(event)).content.decode()
    assert step(event, "acknowledge") in shown
    assert step(event, "close") not in shown
    assert browser.post(step(event, "close"), {"_form_submitted": "on", "note": ""}).status_code == 403
    done = browser.post(step(event, "acknowledge"), {"_form_submitted": "on", "note": "mine"})
    assert done["HX-Redirect"] == page(event)
    event.refresh_from_db()
    assert event.state == "acknowledged"
    assert (RiskMove.objects.get().by, RiskMove.objects.get().note) == (carol, "mine")
    assert step(event, "act") in browser.get(page(event)).content.decode()


def test_following_a_link_changes_nothing(ada, carol, desk, raised):
    event = raised(ada)
    asked = desk(carol).get(step(event, "acknowledge"))
    assert asked.status_code == 200
    assert "I have seen this" in asked.content.decode()
    event.refresh_from_db()
    assert event.state == "open"


def test_a_stranger_cannot_move_an_event(ada, carol, dan, ola, desk, raised):
    event = raised(ada)
    for user in (dan, ola):
        assert desk(user).post(step(event, "acknowledge"), {"_form_submitted": "on"}).status_code in (302, 403)
        event.refresh_from_db()
        assert event.state == "open"
    assert desk(carol).post(step(event, "acknowledge"), {"_form_submitted": "on"}).status_code == 200


def test_a_row_can_be_neither_added_nor_edited_nor_deleted_by_hand(ada, carol, desk, raised):
    event, browser = raised(ada), desk(carol)
    assert browser.get(f"{INBOX}add/").status_code == 403
    assert browser.post(page(event), {"state": "closed"}).status_code == 403
    assert browser.post(f"{INBOX}{event.pk}/delete/", {"post": "yes"}).status_code == 403
    assert RiskEvent.objects.get().state == "open"


def test_an_operator_sees_uncovered_hours_in_red_above_the_rota(study, ola, desk):
    assert "nobody is on call" in desk(ola).get("/admin/safety/duty/").content.decode()


def test_an_operator_plans_a_duty_of_their_own_study(study, team, ola, carol, desk):
    body = {
        "study": study.pk,
        "clinician": str(carol.pk),
        "starts_at_0": "2026-11-23",
        "starts_at_1": "08:00:00",
        "ends_at_0": "2026-11-24",
        "ends_at_1": "08:00:00",
    }
    assert desk(ola).post("/admin/safety/duty/add/", body).status_code == 302
    assert Duty.objects.get().clinician == carol
    assert AuditEvent.objects.get(action="duty.save").actor == str(ola.pk)
