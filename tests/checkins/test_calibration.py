"""Five neutral sentences make a voice baseline: sealed, frozen, given up on request, and nothing else follows."""

import numpy as np
import pytest

from emotion.estimate import EMOTIONS, Estimate
from emotion.voice import VoiceBaseline
from interventions.models import Decision
from mhealth.checkins import calibration, data_rights, tasks
from mhealth.checkins.models import CalibrationClip, CheckIn, Correction, PersonalReliability
from mhealth.checkins.models import Estimate as EstimateRow
from mhealth.people import rights
from mhealth.people import services as people
from tests import factories
from tests.checkins import samples
from tests.checkins.test_analysis import URL, analysed, handed_in

pytestmark = pytest.mark.django_db
MINE = "/api/v1/me/voice-baseline/"
QUALITY = {"voice": 1.0}


def says(emotion: str) -> np.ndarray:
    p = np.full(7, 0.05)
    p[EMOTIONS.index(emotion)] = 0.70
    return p


def read(modality: str, data: bytes, *, baseline: dict | None = None) -> Estimate:
    """The voice sounds sad, and neutral against a baseline; it tells how it sounds: as many dB as the file is long."""
    if modality == "face":
        return Estimate(says("neutral"), quality=1.0, model_version="known")
    usual = VoiceBaseline(1, np.full(3, float(len(data))), "known").to_json()
    if baseline is None:
        return Estimate(says("sadness"), quality=QUALITY["voice"], model_version="known", usual=usual)
    READ_AGAINST.append(baseline)
    return Estimate(says("neutral"), 1.0, "known", without_baseline=says("sadness"), usual=usual)


READ_AGAINST: list[dict] = []


@pytest.fixture(autouse=True)
def known_answers(settings):
    settings.CHECKIN_READER = f"{__name__}.read"
    settings.AFTER_ANALYSIS = ["interventions.services.after_analysis"]
    READ_AGAINST.clear()
    QUALITY["voice"] = 1.0


def calibrate(client, times: int = 1) -> dict:
    for number in range(times):
        voice = samples.recording(seconds=1 + number / 10)
        seen = analysed(client, voice=voice, purpose="calibration")
    return seen


def most(probabilities: dict) -> str:
    return max(probabilities, key=probabilities.get)


def test_the_voice_is_read_against_the_baseline_once_it_is_complete_and_not_before(ada, phone):
    client = phone(ada)
    calibrate(client, 4)
    assert client.get(MINE).json() == {"clips": 4, "clips_needed": 5, "complete": False, "completed_at": None}
    before = analysed(client)
    assert READ_AGAINST == []
    assert (before["fused"]["without_baseline"], before["estimates"][0]["without_baseline"]) == (None, None)
    calibrate(client)
    assert client.get(MINE).json()["complete"] is True
    analysed(client)
    [baseline] = READ_AGAINST
    lengths = [len(samples.recording(seconds=s)) for s in (1, 1.1, 1.2, 1.3, 1)]
    assert baseline["clips"] == 5
    assert baseline["logits"][0] == pytest.approx(np.mean(lengths), rel=0.01)  # tags are stripped


def test_weights_see_the_estimate_with_the_baseline_and_trends_the_one_without(ada, phone):
    client = phone(ada)
    calibrate(client, 5)
    seen = analysed(client)
    voice = next(row for row in seen["estimates"] if row["modality"] == "voice")
    face = next(row for row in seen["estimates"] if row["modality"] == "face")
    assert (most(voice["probabilities"]), most(voice["without_baseline"])) == ("neutral", "sadness")
    assert face["without_baseline"] is None
    fused = seen["fused"]
    assert fused["probabilities"]["neutral"] > 0.7 > fused["without_baseline"]["probabilities"]["neutral"]
    assert fused["valence"] > fused["without_baseline"]["valence"]


def test_a_calibration_is_no_estimate_no_prompt_no_decision_and_teaches_no_weight(ada, phone):
    ada.study.settings = {"prompt_probability": 1.0}
    ada.study.save()
    client = phone(ada)
    seen = calibrate(client)
    assert (seen["status"], seen["purpose"], seen["fused"], seen["estimates"]) == ("done", "calibration", None, [])
    assert (seen["prompt_asked"], seen["prompt_question"]) == (False, None)
    client.put(f"{URL}{seen['id']}/correction/", {"labels": ["anger"]}, format="json")
    assert Correction.objects.count() == 1
    assert PersonalReliability.objects.get().labels == 0
    assert not Decision.objects.exists()
    analysed(client)
    assert Decision.objects.count() == 1, "a daily check-in does lead to one"


def test_a_complete_baseline_is_frozen_until_it_is_started_anew(ada, phone):
    client = phone(ada)
    waiting = handed_in(client, voice=samples.recording(), purpose="calibration")
    calibrate(client, 5)
    refused = client.post(URL, samples.upload(voice=samples.recording(), purpose="calibration"), format="multipart")
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (409, "already-calibrated")
    tasks.analyse(check_in_id=str(waiting.pk))
    assert client.get(MINE).json()["clips"] == 5
    assert client.delete(MINE).status_code == 204
    assert client.get(MINE).json() == {"clips": 0, "clips_needed": 5, "complete": False, "completed_at": None}
    analysed(client)
    assert READ_AGAINST == []
    calibrate(client, 5)
    analysed(client)
    assert len(READ_AGAINST) == 1


def test_what_was_sent_for_a_baseline_that_was_given_up_is_no_part_of_the_next(ada, phone):
    client = phone(ada)
    waiting = handed_in(client, voice=samples.recording(), purpose="calibration")
    client.delete(MINE)
    tasks.analyse(check_in_id=str(waiting.pk))
    assert (CheckIn.objects.get().status, CalibrationClip.objects.count()) == ("done", 0)


def test_a_noisy_clip_shapes_no_baseline_and_says_why(ada, phone):
    QUALITY["voice"] = 0.1
    seen = calibrate(phone(ada))
    assert (seen["status"], seen["reason"], CalibrationClip.objects.count()) == ("unusable", "too_noisy", 0)
    assert EstimateRow.objects.get().probabilities is None


def test_a_calibration_is_one_recording_and_nothing_else(ada, phone):
    for parts in (
        {"face": samples.photo()},
        {"face": samples.photo(), "voice": samples.recording()},
        {"text": "Hello."},
    ):
        body = samples.upload(purpose="calibration", **parts)
        assert phone(ada).post(URL, body, format="multipart").status_code == 422
    superseded = samples.upload(purpose="superseded", voice=samples.recording())
    assert phone(ada).post(URL, superseded, format="multipart").status_code == 422
    assert not CheckIn.objects.exists()


def test_a_repeat_is_the_same_check_in_and_the_same_id_for_another_purpose_is_not(ada, phone):
    client = phone(ada)
    body = samples.upload(purpose="calibration")

    def send(**changes):
        again = body | samples.upload(voice=samples.recording()) | {k: body[k] for k in ("id", "recorded_at")} | changes
        return client.post(URL, again, format="multipart").status_code

    assert [send(), send(), send(purpose="daily")] == [201, 200, 409]


def test_the_numbers_lie_sealed_and_only_this_persons_export_holds_them(ada, ben, phone):
    calibrate(phone(ada))
    clip = CalibrationClip.objects.get()
    assert b"logits" not in bytes(clip.sealed)
    [held] = data_rights.export_person(ada)["voice_baseline"]
    assert held["clips"] == 1
    assert data_rights.export_person(ben)["voice_baseline"] == []
    assert phone(ben).get(MINE).json()["clips"] == 0
    assert CalibrationClip.objects.visible_to(ben.user).count() == 0


def test_withdrawing_the_voice_deletes_the_baseline_and_withdrawing_the_face_does_not(
    ada, phone, django_capture_on_commit_callbacks
):
    client = phone(ada)
    calibrate(client, 5)
    with django_capture_on_commit_callbacks(execute=True):
        people.withdraw_consent(ada, scope="face")
    assert client.get(MINE).json()["complete"] is True
    with django_capture_on_commit_callbacks(execute=True):
        people.withdraw_consent(ada, scope="voice")
    assert not CalibrationClip.objects.exists()
    refused = client.post(URL, samples.upload(voice=samples.recording(), purpose="calibration"), format="multipart")
    assert refused.status_code == 403


def test_a_calibration_whose_consent_ended_before_it_was_read_leaves_nothing(ada, phone):
    client = phone(ada)
    waiting = handed_in(client, voice=samples.recording(), purpose="calibration")
    factories.consent(ada, "voice", given=False)
    tasks.analyse(check_in_id=str(waiting.pk))
    waiting.refresh_from_db()
    assert (waiting.status, waiting.reason) == ("unusable", "consent_withdrawn")
    assert not CalibrationClip.objects.exists()


def test_an_erased_person_leaves_no_baseline(ada, ben, phone):
    calibrate(phone(ada), 5)
    calibrate(phone(ben))
    rights.erase(ada)
    assert CalibrationClip.objects.count() == 1
    assert calibration.state(ben)["clips"] == 1
