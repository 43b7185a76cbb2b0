"""Face against voice of a check-in: measured in the worker, told to clinicians of the person, no diagnosis."""

import json

import numpy as np
import pytest
from django.urls import reverse

from emotion.disparity import Null
from emotion.disparity.reference import Reference
from emotion.disparity.report import CAUTION, NOTHING_TO_COMPARE, UNCERTAINTY
from emotion.estimate import EMOTIONS, Estimate
from mhealth.checkins import disparity, services, tasks
from mhealth.checkins.models import CheckIn, DisparityReport
from mhealth.people import services as people
from mhealth.platform.models import AuditEvent
from mhealth.safety.models import RiskEvent
from tests.checkins import samples

pytestmark = pytest.mark.django_db
SAYS = {"face": "happiness", "voice": "sadness"}
VERSIONS = {"face": "face-known", "voice": "voice-known"}


def saying(emotion: str) -> np.ndarray:
    p = np.full(7, 0.05)
    p[EMOTIONS.index(emotion)] = 0.70
    return p


def read(modality: str, data: bytes) -> Estimate:
    return Estimate(saying(SAYS[modality]), quality=1.0, model_version=VERSIONS[modality])


def along(data: bytes):
    """Five seconds of a voice that turns sad halfway."""
    spoken = [((0.0, 2.5), "happiness"), ((1.25, 3.75), "sadness"), ((2.5, 5.0), "sadness")]
    return 5.0, [(span, saying(emotion)) for span, emotion in spoken]


@pytest.fixture(autouse=True)
def known_answers(settings, monkeypatch):
    """Congruent pairs of these recognisers never disagree by more than two nats."""
    settings.CHECKIN_READER, settings.CHECKIN_WINDOWS = f"{__name__}.read", f"{__name__}.along"
    settings.AFTER_ANALYSIS = []
    null = Reference(Null(tuple(np.linspace(0, 2, 99))), VERSIONS, {})
    monkeypatch.setattr(disparity, "load", lambda path: null)
    monkeypatch.setitem(SAYS, "voice", "sadness")


def analysed(client, **parts) -> CheckIn:
    parts = parts or {"face": samples.photo(), "voice": samples.recording()}
    answer = client.post("/api/v1/check-ins/", samples.upload(**parts), format="multipart")
    tasks.analyse(check_in_id=answer.json()["id"])
    return CheckIn.objects.get(pk=answer.json()["id"])


def report(client, check_in):
    return client.get(f"/api/v1/caseload/check-ins/{check_in.pk}/disparity/")


def test_the_clinician_is_told_where_and_how_unusual_and_that_it_is_no_diagnosis(ada, carol, phone):
    told = report(phone(carol), analysed(phone(ada))).json()
    overall = told["overall"]
    assert (overall["face"], overall["voice"], overall["p_value"], overall["alert"]) == (*SAYS.values(), 0.01, True)
    assert [p["alert"] for p in told["passages"]] == [False, True, True]
    assert [p["start_s"] for p in told["telling"]] == [1.25]  # the first of the strongest overlaps both others
    assert told["sentences"][-2:] == [UNCERTAINTY, CAUTION]
    assert told["caution"] == CAUTION


def test_the_participant_other_clinicians_and_other_staff_are_not_told(ada, carol, dan, rae, tom, phone):
    check_in = analysed(phone(ada))
    assert "p_value" in report(phone(carol), check_in).json()["overall"]
    assert [report(phone(who), check_in).status_code for who in (ada, rae, tom)] == [403, 403, 403]
    assert report(phone(dan), check_in).status_code == 404
    shown = phone(ada).get(f"/api/v1/check-ins/{check_in.pk}/").content.decode()
    assert "p_value" not in shown
    assert "alert" not in shown


def test_an_alert_raises_no_risk_event(ada, phone):
    check_in = analysed(phone(ada))
    assert disparity.is_alert(check_in.disparity_report)
    assert not RiskEvent.objects.exists()


def test_a_look_at_the_report_is_recorded(ada, carol, phone):
    check_in = analysed(phone(ada))
    report(phone(carol), check_in)
    assert AuditEvent.objects.filter(action="disparity.read", subject=f"checkins.CheckIn/{check_in.pk}").count() == 1


def test_what_was_expressed_when_is_sealed(ada, phone):
    row = analysed(phone(ada)).disparity_report
    assert b"sadness" not in bytes(row.sealed)
    assert b"sadness" in json.dumps(row.opened()).encode()


def test_with_other_models_there_is_no_alert_and_it_is_said(ada, carol, phone, monkeypatch):
    monkeypatch.setitem(VERSIONS, "voice", "voice-new")
    other = Reference(Null((0.1, 0.2)), VERSIONS | {"voice": "voice-known"}, {})
    monkeypatch.setattr(disparity, "load", lambda path: other)
    told = report(phone(carol), analysed(phone(ada))).json()
    assert (told["overall"]["p_value"], told["overall"]["alert"]) == (None, None)
    assert NOTHING_TO_COMPARE in told["sentences"]


def test_one_modality_alone_makes_no_report(ada, carol, phone):
    check_in = analysed(phone(ada), voice=samples.recording())
    assert report(phone(carol), check_in).status_code == 404
    assert not DisparityReport.objects.exists()


def test_a_scope_withdrawn_takes_the_report_along(ada, ben, phone, django_capture_on_commit_callbacks):
    for person in (ada, ben):
        analysed(phone(person))
    with django_capture_on_commit_callbacks(execute=True):
        people.withdraw_consent(ada, scope="face")
    assert [row.check_in.participant for row in DisparityReport.objects.all()] == [ben]


def test_the_report_is_in_the_persons_export(ada, phone):
    from mhealth.checkins import data_rights

    analysed(phone(ada))
    [exported] = data_rights.export_person(ada)["check_ins"]
    assert exported["face_and_voice"]["caution"] == CAUTION
    assert exported["face_and_voice"]["comparison"]["overall"]["voice"] == "sadness"


def test_who_always_smiles_is_compared_with_how_they_are(ada, ben, phone, settings):
    """Moments that the person, asked at random, called one emotion are moments in which both meant the same."""
    ada.study.settings = {"prompt_probability": 1.0}
    ada.study.save()
    before = analysed(phone(ada)).disparity_report
    assert (before.p_value, disparity.opened(before).overall.score) == (0.01, before.score)
    for _ in range(20):
        check_in = analysed(phone(ada))
        services.correct(check_in=check_in, labels=["happiness"], prompted=True)
    after = analysed(phone(ada)).disparity_report
    assert after.p_value > before.p_value
    assert analysed(phone(ben)).disparity_report.p_value == before.p_value


def test_a_language_model_may_say_an_alert_anew_but_invents_no_figure(ada, carol, phone, settings, monkeypatch):
    settings.DISPARITY_REWRITER = "http://127.0.0.1:9/v1"
    asked = []

    def answer(sentences, address, model, timeout_s):
        asked.append(sentences)
        return "The face showed happiness while the voice carried sadness.\nThe risk is 83 %."

    monkeypatch.setattr("emotion.disparity.rewriting._ask", answer)
    told = report(phone(carol), analysed(phone(ada))).json()
    assert told["rewritten"] == ["The face showed happiness while the voice carried sadness.", CAUTION]
    monkeypatch.setitem(SAYS, "voice", "happiness")
    calm = report(phone(carol), analysed(phone(ada))).json()
    assert (calm["overall"]["alert"], calm["rewritten"], len(asked)) == (False, None, 1)


def test_the_report_page_shows_figure_table_and_sentences_to_their_clinician_alone(
    client, settings, ada, carol, dan, phone
):
    settings.STAFF_SECOND_FACTOR = False
    url = reverse("admin:checkins_checkin_face_and_voice", args=[analysed(phone(ada)).pk])
    client.force_login(dan)
    assert client.get(url).status_code == 404
    client.force_login(carol)
    page = client.get(url).content.decode()
    assert page.count('class="mh-unusual"') == 2
    assert page.count("<circle") == 3
    assert "This is not a diagnosis" in page
    assert AuditEvent.objects.filter(action="admin.read", subject__startswith="checkins.DisparityReport").exists()
