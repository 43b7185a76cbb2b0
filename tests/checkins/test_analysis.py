"""What becomes of a check-in that was handed in, with recognisers of known answers at the public seam."""

import numpy as np
import pytest

from emotion.estimate import EMOTIONS, Estimate
from mhealth.checkins import reliability, tasks
from mhealth.checkins.models import CheckIn, Part, PersonalReliability
from mhealth.checkins.models import Estimate as EstimateRow
from mhealth.checkins.reasons import Unreadable
from mhealth.people import rights
from mhealth.people import services as people
from mhealth.platform import embedded
from mhealth.platform.leases import WorkStatus
from tests import factories
from tests.checkins import samples

pytestmark = pytest.mark.django_db
URL = "/api/v1/check-ins/"
SAYS = {"face": "happiness", "voice": "sadness"}
BROKEN: dict[str, str] = {}


def read(modality: str, data: bytes) -> Estimate:
    if modality in BROKEN:
        raise Unreadable(BROKEN[modality])
    if modality not in SAYS:
        raise Unreadable("no_model")
    p = np.full(7, 0.05)
    p[EMOTIONS.index(SAYS[modality])] = 0.70
    return Estimate(p, quality=1.0, model_version=f"{modality}-known")


@pytest.fixture(autouse=True)
def known_answers(settings):
    settings.CHECKIN_READER = f"{__name__}.read"
    settings.AFTER_ANALYSIS = []
    BROKEN.clear()
    yield
    BROKEN.clear()


def handed_in(client, **parts) -> CheckIn:
    parts = parts or {"face": samples.photo(), "voice": samples.recording()}
    answer = client.post(URL, samples.upload(**parts), format="multipart")
    assert answer.status_code == 201
    return CheckIn.objects.get(pk=answer.json()["id"])


def analysed(client, **parts) -> dict:
    check_in = handed_in(client, **parts)
    tasks.analyse(check_in_id=str(check_in.pk))
    return client.get(f"{URL}{check_in.pk}/").json()


def test_face_and_voice_are_read_and_fused_and_the_media_is_gone(ada, phone, media_folder):
    seen = analysed(phone(ada))
    assert seen["status"] == "done"
    assert {
        row["modality"]: max(row["probabilities"], key=row["probabilities"].get) for row in seen["estimates"]
    } == SAYS
    assert sum(seen["fused"]["weights"].values()) == pytest.approx(1)
    assert sum(seen["fused"]["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert seen["fused"]["disparity"] > 0.3
    assert not Part.objects.filter(deleted_at=None).exists()
    assert not list(media_folder.glob("*/*"))


def test_a_study_may_keep_media_for_some_days(ada, phone, media_folder):
    ada.study.settings = {"media_retention_days": 7}
    ada.study.save()
    analysed(phone(ada))
    assert len(list(media_folder.glob("*/*"))) == 2


@pytest.mark.parametrize("reason", ["no_face", "several_faces", "too_dark", "blurred"])
def test_an_unusable_photo_says_why_and_the_voice_still_counts(ada, phone, reason):
    BROKEN["face"] = reason
    seen = analysed(phone(ada))
    assert (seen["status"], seen["fused"]["weights"]) == ("done", {"voice": 1.0})
    face = next(row for row in seen["estimates"] if row["modality"] == "face")
    assert (face["reason"], face["probabilities"]) == (reason, None)
    assert len(face["advice"]) > 20


def test_when_nothing_can_be_read_the_check_in_is_unusable_with_the_reason(ada, phone):
    BROKEN.update(face="broken_file", voice="broken_file")
    seen = analysed(phone(ada))
    assert (seen["status"], seen["reason"], seen["fused"]) == ("unusable", "broken_file", None)
    BROKEN.update(face="too_dark", voice="silent")
    assert analysed(phone(ada))["reason"] == "no_usable_part"


def test_a_scope_withdrawn_in_between_is_not_read_and_its_media_is_deleted(ada, phone, media_folder):
    client = phone(ada)
    check_in = handed_in(client)
    factories.consent(ada, "voice", given=False)
    tasks.analyse(check_in_id=str(check_in.pk))
    seen = client.get(f"{URL}{check_in.pk}/").json()
    assert seen["fused"]["weights"] == {"face": 1.0}
    assert {row["modality"]: row["reason"] for row in seen["estimates"]}["voice"] == "consent_withdrawn"
    assert not list(media_folder.glob("*/*"))


WHILE_READING: dict[str, object] = {}


def read_while_something_happens(modality: str, data: bytes) -> Estimate:
    if happens := WHILE_READING.pop(modality, None):
        happens()
    return read(modality, data)


def analysed_while(client, settings, modality: str, happens) -> dict:
    """Handed in, and something happens between the first look at the consent and the storing of the estimates."""
    settings.CHECKIN_READER = f"{__name__}.read_while_something_happens"
    WHILE_READING[modality] = happens
    return analysed(client)


def test_nothing_is_stored_of_a_modality_withdrawn_while_it_was_read(ada, phone, settings, media_folder):
    seen = analysed_while(phone(ada), settings, "voice", lambda: people.withdraw_consent(ada, scope="voice"))
    assert (seen["status"], seen["fused"]["weights"], seen["fused"]["disparity"]) == ("done", {"face": 1.0}, None)
    voice = EstimateRow.objects.get(modality="voice")
    assert (voice.probabilities, voice.quality, voice.reason) == (None, None, "consent_withdrawn")
    assert max(seen["fused"]["probabilities"], key=seen["fused"]["probabilities"].get) == SAYS["face"]
    assert not list(media_folder.glob("*/*"))


def test_nothing_is_stored_of_a_person_who_stopped_while_it_was_read(ada, phone, settings):
    seen = analysed_while(phone(ada), settings, "face", lambda: people.stop(ada, delete_media=False))
    assert (seen["status"], seen["reason"], seen["fused"]) == ("unusable", "participation_stopped", None)
    assert set(EstimateRow.objects.values_list("probabilities", flat=True)) == {None}
    assert "stopped taking part" in seen["advice"]


def test_a_check_in_of_somebody_erased_while_it_was_read_leaves_nothing(ada, phone, settings, media_folder):
    check_in = handed_in(phone(ada))
    settings.CHECKIN_READER = f"{__name__}.read_while_something_happens"
    WHILE_READING["face"] = lambda: rights.erase(ada)
    embedded.run("mhealth.checkins.tasks.analyse", {"check_in_id": str(check_in.pk)})
    assert not WHILE_READING, "it was erased in between"
    assert not CheckIn.objects.exists()
    assert not EstimateRow.objects.exists()
    assert not PersonalReliability.objects.exists()
    assert not list(media_folder.glob("*/*"))


def test_a_check_in_of_words_alone_is_kept_and_done(ada, phone):
    assert analysed(phone(ada), self_report='{"mood": 3}')["status"] == "done"
    assert Part.objects.get().content() == b'{"mood": 3}'


def test_running_the_task_twice_changes_nothing(ada, phone):
    client = phone(ada)
    first = analysed(client)
    tasks.analyse(check_in_id=first["id"])
    assert client.get(f"{URL}{first['id']}/").json() == first


def test_a_fault_in_the_rooms_above_does_not_undo_a_finished_check_in(ada, phone, settings):
    settings.AFTER_ANALYSIS = [f"{__name__}.no_such_function"]
    assert analysed(phone(ada))["status"] == "done"


def test_our_own_fault_ends_in_quarantine_after_three_attempts(ada, phone, settings):
    settings.CHECKIN_READER = "os.path.no_such_reader"
    check_in = handed_in(phone(ada))
    for _ in range(3):
        embedded.run("mhealth.checkins.tasks.analyse", {"check_in_id": str(check_in.pk)})
    assert CheckIn.objects.get().status == WorkStatus.QUARANTINED
    settings.CHECKIN_READER = f"{__name__}.read"
    CheckIn.objects.get().requeue()
    embedded.run("mhealth.checkins.tasks.analyse", {"check_in_id": str(check_in.pk)})
    assert CheckIn.objects.get().status == WorkStatus.DONE


def correct(client, check_in_id: str, *labels: str):
    return client.put(f"{URL}{check_in_id}/correction/", {"labels": list(labels)}, format="json")


def test_answers_to_prompts_teach_whom_to_trust(ada, phone):
    """Ten times the voice was right and the face was wrong."""
    ada.study.settings = {"prompt_probability": 1.0}
    ada.study.save()
    client = phone(ada)
    before = analysed(client)["fused"]["weights"]
    for _ in range(10):
        assert correct(client, analysed(client)["id"], "sadness").status_code == 200
    after = analysed(client)["fused"]
    assert after["weights"]["voice"] > before["voice"]
    assert after["best_modality"] == "voice"


def test_a_changed_correction_leaves_no_trace_of_the_first(ada, phone):
    client = phone(ada)
    check_in_id = analysed(client)["id"]
    correct(client, check_in_id, "sadness")
    said = PersonalReliability.objects.get().state
    correct(client, check_in_id, "happiness")
    assert PersonalReliability.objects.get().state != said
    assert correct(client, check_in_id, "sadness").json()["correction"] == ["sadness"]
    assert PersonalReliability.objects.get().state == said


def test_a_correction_is_mine_alone_and_of_known_emotions(ada, ben, phone):
    check_in_id = analysed(phone(ada))["id"]
    assert correct(phone(ben), check_in_id, "sadness").status_code == 404
    refused = correct(phone(ada), check_in_id, "melancholy")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/labels/0")
    assert correct(phone(ada), check_in_id, "sadness").status_code == 200


def test_an_answer_that_came_before_the_estimate_counts(ada, phone):
    client = phone(ada)
    check_in = handed_in(client)
    assert correct(client, str(check_in.pk), "sadness").status_code == 200
    assert PersonalReliability.objects.get().labels == 0
    tasks.analyse(check_in_id=str(check_in.pk))
    assert PersonalReliability.objects.get().labels == 1


def test_a_withdrawn_modality_teaches_nothing_any_more(ada, phone):
    ada.study.settings = {"prompt_probability": 1.0}
    ada.study.save()
    client = phone(ada)
    for _ in range(5):
        correct(client, analysed(client)["id"], "sadness")
    assert set(reliability.relearn(ada).to_json()["evidence"]) == {"face", "voice"}
    factories.consent(ada, "voice", given=False)
    assert set(reliability.relearn(ada).to_json()["evidence"]) == {"face"}
