"""What each role finds in the staff pages: its own groups, words instead of JSON, times with their zone."""

import re

import pytest
from django.urls import reverse

from mhealth.checkins.models import CheckIn, Correction, Estimate
from mhealth.platform.leases import WorkStatus
from mhealth.safety import services
from tests.trials import factories as trials

pytestmark = pytest.mark.django_db
HAPPY = {"happiness": 0.72, "neutral": 0.28}
FUSED = {
    "probabilities": HAPPY,
    "valence": 0.6,
    "arousal": 0.3,
    "confidence": 0.72,
    "abstained": False,
    "weights": {"face": 1.0},
    "best_modality": "face",
    "probability_best": 0.9,
    "disparity": 0.31,
}


@pytest.fixture
def desk(client, settings):
    settings.STAFF_SECOND_FACTOR = False

    def sit_down(user):
        client.force_login(user)
        return client

    return sit_down


@pytest.fixture
def check_in(ada):
    row = CheckIn.objects.create(
        id="0e3f2a52-7c5a-4f0c-9b0e-4f6f4f3e8a11",
        participant=ada,
        recorded_at="2026-07-01T09:30:00Z",
        zone="Europe/Madrid",
        digest="0" * 64,
        status=WorkStatus.DONE,
        fused=FUSED,
    )
    Estimate.objects.create(check_in=row, modality="face", probabilities=HAPPY, confidence=0.72, weight=1.0)
    Estimate.objects.create(check_in=row, modality="voice", reason="silent")
    Correction.objects.create(check_in=row, labels=["sadness"])
    return row


def read(browser, name: str, *args: object) -> str:
    return browser.get(reverse(f"admin:{name}", args=args)).content.decode()


def pages_of(browser) -> set[str]:
    """Where the sidebar leads."""
    groups = browser.get("/admin/").context["sidebar_navigation"]
    return {item["link"].removeprefix("/admin/") for group in groups for item in group["items"]}


def test_the_sidebar_leads_each_role_to_its_own_pages_and_they_open(desk, carol, tom, ola, eve):
    clinician, manager, operator, reviewer = ({*pages_of(desk(user))} for user in (carol, tom, ola, eve))
    assert {"safety/riskevent/", "checkins/checkin/", "people/participant/"} <= clinician
    assert not clinician & {"trials/trial/", "people/user/", "platform/auditevent/"}
    assert "trials/trial/" in manager
    assert not manager & {"safety/riskevent/", "checkins/checkin/", "people/participant/"}
    assert {"people/user/", "platform/auditevent/", "safety/duty/"} <= operator
    assert not operator & {"safety/riskevent/", "checkins/checkin/", "interventions/decision/"}
    assert "interventions/version/" in reviewer
    assert not any(page.startswith(("people/", "safety/", "checkins/", "trials/")) for page in reviewer)
    for user, pages in ((carol, clinician), (tom, manager), (ola, operator), (eve, reviewer)):
        assert {desk(user).get(f"/admin/{page}").status_code for page in pages} == {200}


def test_the_sidebar_counts_the_open_risk_events_of_my_people_only(desk, ada, carol, dan):
    services.raise_event(participant=ada, source="dass21", severity="severe", rule="dass21.item_21", evidence={})

    def badges(user) -> list:
        groups = desk(user).get("/admin/").context["sidebar_navigation"]
        return [item["badge"] for group in groups for item in group["items"] if "badge" in item]

    assert badges(carol) == [1]
    assert badges(dan) == []


def test_a_check_in_is_read_as_a_table_in_the_time_of_the_person(desk, check_in, carol):
    shown = read(desk(carol), "checkins_checkin_change", check_in.pk)
    assert "1 Jul 2026, 11:30 Europe/Madrid" in shown  # 09:30 UTC
    assert re.search(r'<th scope="row">Happiness</th>(<td.*?72%.*?</td>){2}', shown)
    assert "Voice was not read. Nothing could be heard." in shown
    Estimate.objects.filter(check_in=check_in, modality="face").update(reason="not_a_face", abstained=True)
    shown = read(desk(carol), "checkins_checkin_change", check_in.pk)
    assert "Face was read, but is not to be relied on." in shown
    assert "<b>sadness</b>" in shown
    assert "&quot;probabilities&quot;" not in shown


def test_check_ins_are_listed_for_their_own_clinician_alone(desk, check_in, carol, dan):
    assert "happiness 72%" in read(desk(carol), "checkins_checkin_changelist")
    assert "happiness" not in read(desk(dan), "checkins_checkin_changelist")
    assert desk(dan).get(reverse("admin:checkins_checkin_change", args=[check_in.pk])).status_code == 302


def test_reading_check_ins_leaves_a_trace_in_words(desk, check_in, carol, ola):
    read(desk(carol), "checkins_checkin_changelist")
    trail = read(desk(ola), "platform_auditevent_changelist")
    assert "checkins.CheckIn" in trail
    assert "count: 1" in trail


def test_times_are_shown_with_their_zone(desk, ada, carol):
    shown = read(desk(carol), "people_participant_change", ada.pk)
    assert re.search(r"\d{1,2} \w{3} \d{4}, \d\d:\d\d UTC", shown)


def test_a_risk_event_shows_its_state_in_red_and_its_evidence_in_words(desk, ada, carol):
    event = services.raise_event(
        participant=ada, source="dass21", severity="severe", rule="dass21.item_21", evidence={"item_21": 3}
    )
    shown = read(desk(carol), "safety_riskevent_change", event.pk)
    assert re.search(r"bg-red-100[^>]*>\s*Open\s*</span", shown)
    assert "DASS-21, item 21" in shown
    assert "item 21: 3" in shown


def test_a_closed_risk_event_is_green(desk, ada, carol):
    event = services.raise_event(
        participant=ada, source="dass21", severity="routine", rule="dass21.band", evidence={"stress": 34}
    )
    for state in ("acknowledged", "closed"):
        event = services.move(event=event, to_state=state, user=carol)
    assert re.search(r"bg-green-100[^>]*>\s*Closed\s*</span", read(desk(carol), "safety_riskevent_change", event.pk))


def test_nobody_is_led_to_a_page_that_is_not_for_them(desk, ada, carol, tom, study):
    trials.load_dass21()
    enrolment = trials.allocated(ada, trials.running(study))
    person = read(desk(carol), "people_participant_change", ada.pk)
    assert str(ada.care_team) in person
    assert reverse("admin:people_careteam_change", args=[ada.care_team.pk]) not in person
    row = read(desk(tom), "trials_enrolment_change", enrolment.pk)
    assert str(ada) in row
    assert reverse("admin:people_participant_change", args=[ada.pk]) not in row


def test_a_sealed_trial_says_its_strata_in_words(desk, tom, study):
    trials.load_dass21()
    trial = trials.running(study)
    shown = read(desk(tom), "trials_trial_change", trial.pk)
    assert ", ".join(trial.stratify_by) in shown


def test_the_log_in_page_offers_no_sign_up_and_does_not_remember(client):
    shown = client.get("/accounts/login/").content.decode()
    assert "mhealth/pages.css" in shown
    assert 'name="password"' in shown
    assert "signup" not in shown
    assert 'name="remember"' not in shown
