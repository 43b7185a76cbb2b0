"""A clinician asks what an estimate rests on, while the photo and the recording are held."""

from html.parser import HTMLParser

import pytest
from django.urls import reverse

from mhealth.checkins import data_rights, tasks
from mhealth.checkins.models import CheckIn, Explanation
from mhealth.checkins.reasons import Unreadable
from mhealth.people import services as people
from mhealth.platform.models import AuditEvent
from tests.checkins import samples
from tests.checkins.test_analysis import known_answers  # noqa: F401 - recognisers of known answers

pytestmark = pytest.mark.django_db
FOUND = {
    "face": {"emotion": "happiness", "patch_pixels": 12, "drops": [[0.0] * 7] * 6 + [[2.0] + [-1.0] * 6]},
    "voice": {
        "emotion": "sadness",
        "window_drops": [0.2, 1.5],
        "starts_s": [0.0, 0.5, 1.0],
        "band_drops": [0.1],
        "edges_hz": [0.0, 8000.0],
    },
}
FAILS: set[str] = set()


def look_into(modality: str, data: bytes) -> dict:
    if modality in FAILS:
        raise Unreadable("out_of_time")
    return FOUND[modality]


@pytest.fixture(autouse=True)
def known_explainer(settings):
    settings.CHECKIN_EXPLAINER = f"{__name__}.look_into"
    FAILS.clear()


@pytest.fixture
def check_in(ada, phone) -> CheckIn:
    """Of Ada, analysed, in a study that keeps media for a week."""
    ada.study.settings = {"media_retention_days": 7}
    ada.study.save()
    body = samples.upload(face=samples.photo(), voice=samples.recording())
    answer = phone(ada).post("/api/v1/check-ins/", body, format="multipart")
    tasks.analyse(check_in_id=answer.json()["id"])
    return CheckIn.objects.get()


def url(check_in) -> str:
    return f"/api/v1/caseload/check-ins/{check_in.pk}/explanation/"


def test_it_is_asked_for_worked_out_and_read(check_in, carol, phone):
    client = phone(carol)
    assert client.get(url(check_in)).status_code == 404
    asked = client.post(url(check_in))
    assert (asked.status_code, asked.json()["status"], asked.json()["face"]) == (202, "queued", None)
    assert asked["Retry-After"]
    tasks.explain(explanation_id=str(Explanation.objects.get().pk))
    told = client.get(url(check_in)).json()
    assert (told["status"], told["face"]["drops"][6][0]) == ("done", 2.0)
    assert told["voice"]["window_drops"] == [0.2, 1.5]
    assert client.post(url(check_in)).status_code == 200
    assert Explanation.objects.count() == 1


def test_only_a_clinician_of_the_person_may_ask(check_in, ada, carol, dan, rae, phone):
    assert [phone(who).post(url(check_in)).status_code for who in (ada, rae, dan)] == [403, 403, 404]
    assert phone(carol).post(url(check_in)).status_code == 202
    assert AuditEvent.objects.filter(action="explanation.asked", actor=str(carol.pk)).count() == 1


def test_media_that_is_gone_cannot_be_looked_into(check_in, carol, phone):
    for part in check_in.parts.all():
        part.delete_content()
    refused = phone(carol).post(url(check_in))
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:mhealth:problem:media-not-held")
    assert not Explanation.objects.exists()


def test_what_was_found_is_sealed_and_goes_with_the_consent(
    check_in, ada, carol, phone, django_capture_on_commit_callbacks
):
    phone(carol).post(url(check_in))
    row = Explanation.objects.get()
    tasks.explain(explanation_id=str(row.pk))
    row.refresh_from_db()
    assert b"happiness" not in bytes(row.sealed)
    [exported] = data_rights.export_person(ada)["check_ins"]
    assert exported["rests_on"]["face"]["emotion"] == "happiness"
    with django_capture_on_commit_callbacks(execute=True):
        people.withdraw_consent(ada, scope="face")
    assert not Explanation.objects.exists()


def test_a_scope_withdrawn_in_between_is_not_looked_into(check_in, ada, carol, phone):
    phone(carol).post(url(check_in))
    people.withdraw_consent(ada, scope="face")
    tasks.explain(explanation_id=str(Explanation.objects.get().pk))
    assert set(Explanation.objects.get().opened()) == {"voice"}


def test_one_that_takes_too_long_is_given_up_with_a_word(check_in, carol, phone):
    FAILS.update({"face", "voice"})
    phone(carol).post(url(check_in))
    tasks.explain(explanation_id=str(Explanation.objects.get().pk))
    told = phone(carol).get(url(check_in)).json()
    assert (told["status"], told["reason"]) == ("unusable", "out_of_time")
    assert told["advice"]


def test_the_sweep_finds_one_whose_hint_was_lost(check_in, carol, phone, monkeypatch):
    phone(carol).post(url(check_in))
    Explanation.objects.update(hinted_at=None)
    hinted = []
    monkeypatch.setattr("mhealth.platform.hints.hint", lambda task, **ids: hinted.append(ids) or True)
    tasks.sweep()
    assert hinted == [{"explanation_id": str(Explanation.objects.get().pk)}]


class Forms(HTMLParser):
    """Where a browser sends each button of a page: a form within a form does not exist for it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.form, self.target, self.targets = None, None, {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        if tag == "form" and self.form is None:
            self.form = told.get("action", "")
        if tag == "button":
            self.target = told.get("formaction", self.form)

    def handle_endtag(self, tag):
        if tag == "form":
            self.form = None
        if tag == "button":
            self.target = None

    def handle_data(self, data):
        if self.target is not None and data.strip():
            self.targets[data.strip()] = self.target

    def posted_to(self, words: str) -> str:
        return self.targets[words]


def test_the_staff_page_asks_and_draws(client, settings, check_in, carol, dan):
    settings.STAFF_SECOND_FACTOR = False
    page = reverse("admin:checkins_checkin_why", args=[check_in.pk])
    client.force_login(dan)
    assert client.post(page).status_code == 404
    client.force_login(carol)
    offered = client.get(reverse("admin:checkins_checkin_change", args=[check_in.pk])).content.decode()
    assert Forms(offered).posted_to("Look into what it rests on") == page
    assert client.post(page).status_code == 302
    assert "It is being worked out" in client.get(page).content.decode()
    tasks.explain(explanation_id=str(Explanation.objects.get().pk))
    drawn = client.get(page).content.decode()
    assert drawn.count("<title>") == 49 + 1  # each place of the face, and the page
    assert "0.5 to 1.0 s" in drawn
    assert "× 4.48" in drawn  # e to the 1.5
