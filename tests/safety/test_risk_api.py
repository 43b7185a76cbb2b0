"""Risk events through the API: clinicians, for their own people only."""

import pytest

from mhealth.platform.models import AuditEvent
from mhealth.safety.models import RiskEvent
from tests import factories

pytestmark = pytest.mark.django_db
URL = "/api/v1/risk-events/"


def test_a_clinician_walks_an_event_from_open_to_closed(ada, carol, phone, raised):
    event, client = raised(ada), phone(carol)
    listed = client.get(URL).json()["results"]
    assert [(row["id"], row["severity"], row["is_red"], row["allowed_moves"]) for row in listed] == [
        (str(event.pk), "severe", True, ["acknowledged"])
    ]
    for step, state in [
        ("acknowledge", "acknowledged"),
        ("act", "action"),
        ("confirm-contact", "contacted"),
        ("close", "closed"),
    ]:
        moved = client.post(f"{URL}{event.pk}/{step}/", {"note": f"note on {step}"})
        assert (moved.status_code, moved.json()["state"]) == (200, state)
    detail = client.get(f"{URL}{event.pk}/").json()
    assert [move["note"] for move in detail["moves"]][0] == "note on acknowledge"
    assert detail["is_red"] is False
    assert client.get(URL, {"unclosed": "true"}).json()["results"] == []


def test_a_step_that_is_not_possible_now_is_a_conflict(ada, carol, phone, raised):
    event, client = raised(ada), phone(carol)
    refused = client.post(f"{URL}{event.pk}/close/", {})
    assert (refused.status_code, refused.json()["type"].split(":")[-1]) == (409, "move-not-allowed")
    assert client.post(f"{URL}{event.pk}/acknowledge/", {}).status_code == 200


def test_a_clinician_sees_and_moves_the_events_of_their_own_people_only(ada, carol, dan, phone, raised):
    event = raised(ada, evidence={"item_21": 3, "marker": "ada's own"})
    assert "ada's own" in phone(carol).get(f"{URL}{event.pk}/").content.decode()
    stranger = phone(dan)
    assert stranger.get(URL).json()["results"] == []
    for refused in (stranger.get(f"{URL}{event.pk}/"), stranger.post(f"{URL}{event.pk}/acknowledge/", {})):
        assert refused.status_code == 404
        assert "ada's own" not in refused.content.decode()
    event.refresh_from_db()
    assert event.state == "open"


def test_nobody_but_a_clinician_has_risk_events(ada, rae, tom, ola, phone, raised):
    event = raised(ada)
    assert phone().get(URL).status_code == 401
    for person in (ada, rae, tom, ola):
        assert phone(person).get(URL).status_code == 403
        assert phone(person).post(f"{URL}{event.pk}/acknowledge/", {}).status_code == 403


def test_a_clinician_who_takes_part_does_not_handle_their_own_event(team, carol, phone, raised):
    insider = factories.participant(team, "ines")
    factories.Group.objects.get(name="clinician").user_set.add(insider.user)
    team.clinicians.add(insider.user)
    event = raised(insider)
    assert phone(insider.user).get(f"{URL}{event.pk}/").status_code == 404
    assert phone(carol).get(f"{URL}{event.pk}/").status_code == 200


def test_a_clinician_raises_an_event_about_their_own_people(ada, carol, dan, phone):
    body = {"participant": str(ada.pk), "severity": "severe", "note": "spoke of not going on"}
    assert phone(dan).post(URL, body).status_code == 404
    assert not RiskEvent.objects.exists()
    made = phone(carol).post(URL, body)
    assert (made.status_code, made.json()["source"], made.json()["severity"]) == (201, "clinician", "severe")
    assert made.json()["moves"][0]["note"] == "spoke of not going on"
    assert "going on" not in str(list(AuditEvent.objects.values())), "the chain holds no free text"


def test_an_unknown_severity_is_refused_with_its_pointer(ada, carol, phone):
    refused = phone(carol).post(URL, {"participant": str(ada.pk), "severity": "awful"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/severity")


def test_reading_leaves_a_trace(ada, carol, phone, raised):
    event = raised(ada)
    phone(carol).get(URL)
    phone(carol).get(f"{URL}{event.pk}/")
    reads = AuditEvent.objects.filter(actor=str(carol.pk))
    assert [(read.action, read.details) for read in reads] == [("risk.list", {"count": 1}), ("risk.read", {})]
