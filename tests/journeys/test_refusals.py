"""What a phone or a manager is refused, and how: a clear problem each time, what is allowed beside it, nothing lost.

The rows of the status table that the rooms' own tests show from inside are played here through the API with the
real recognisers: what is wrong with the photo and the recording is really wrong with them.
"""

import io
import uuid
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile
from django.apps import apps
from django.conf import settings as project
from django.db import OperationalError
from django.utils import timezone
from PIL import Image, ImageFilter

from mhealth.celery import app as celery
from mhealth.checkins import tasks
from mhealth.checkins.models import CheckIn, Part
from mhealth.outcomes import services as outcomes
from mhealth.outcomes.models import Response
from mhealth.people.models import Device
from mhealth.trials.models import Enrolment, Slot, Trial
from tests import factories
from tests.checkins import samples
from tests.trials import factories as trials

pytestmark = pytest.mark.django_db
MEDIA = Path(project.BASE_DIR) / "fixtures" / "media"
CHECK_INS = "/api/v1/check-ins/"
TRIAL = "/api/v1/trials/calm-1/"
KEPT = ("checkins.CheckIn", "checkins.Part", "outcomes.Response", "trials.Enrolment", "people.Consent", "people.User")


def send(client, **parts):
    return client.post(CHECK_INS, samples.upload(**parts), format="multipart")


def stored() -> dict[str, set]:
    """By table, what is held: a refusal may not take a row away, nor leave one behind."""
    return {label: set(apps.get_model(label).objects.values_list("pk", flat=True)) for label in KEPT}


def assert_refused(answer, status: int, kind: str, *pointers: str) -> dict:
    """A whole problem: every member, the request id in header and body, a pointer per wrong field."""
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"urn:mhealth:problem:{kind}"), problem
    assert answer["Content-Type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"].endswith(".")
    assert problem["request_id"] == answer["X-Request-Id"]
    assert [error["pointer"] for error in problem.get("errors", [])] == list(pointers)
    return problem


@pytest.fixture
def trial(study):
    trials.load_dass21()
    return trials.running(study)


@pytest.fixture
def baseline(ada, trial):
    """Ada in the trial, with her first questionnaire open."""
    trials.services.enrol(participant=ada, trial=trial)
    return ada.occasions.get()


def test_nothing_at_all_and_a_wrong_id_name_their_field_and_leave_what_was_stored(ada, phone):
    client = phone(ada)
    assert send(client, text="slept well").status_code == 201
    before = stored()
    assert_refused(send(client), 422, "invalid", "/face")
    assert_refused(send(client, text="x", id="7"), 422, "invalid", "/id")
    assert_refused(client.get(f"{CHECK_INS}not-a-uuid/"), 404, "not-found")
    assert stored() == before
    assert send(client, text="x").status_code == 201


@pytest.mark.parametrize(
    ("parts", "limit", "allowed"),
    [
        (lambda: {"face": b"\xff\xd8" + bytes(10 * 2**20)}, "10 MB", lambda: {"face": samples.photo()}),
        (lambda: {"face": flat_png(5001, 5000)}, "25 megapixels", lambda: {"face": flat_png(5000, 5000)}),
        (lambda: {"voice": b"RIFF" + bytes(20 * 2**20)}, "20 MB", lambda: {"voice": samples.recording()}),
        (lambda: {"voice": silence(60.5)}, "60 seconds", lambda: {"voice": silence(60)}),
    ],
)
def test_what_is_too_large_is_told_the_limit_and_what_just_fits_comes_in(ada, phone, parts, limit, allowed):
    client, before = phone(ada), stored()
    assert limit in assert_refused(send(client, **parts()), 413, "too-large")["detail"]
    assert stored() == before
    assert send(client, **allowed()).status_code == 201


@pytest.mark.parametrize("kind", ["face", "voice"])
def test_a_renamed_archive_is_not_a_photo_nor_a_recording(ada, phone, kind, media_folder):
    before = stored()
    refused = send(phone(ada), **{kind: b"PK\x03\x04" + bytes(200)})
    assert_refused(refused, 415, "unsupported-media-type")
    assert stored() == before
    assert not list(media_folder.glob("*/*"))


def test_a_withdrawn_scope_is_refused_and_earlier_check_ins_stay(ada, phone):
    client = phone(ada)
    assert send(client, text="a first line", face=samples.photo()).status_code == 201
    factories.consent(ada, "face", given=False)
    before = stored()
    assert_refused(send(client, face=samples.photo(), text="x"), 403, "consent-withdrawn")
    assert stored() == before
    assert send(client, text="x").status_code == 201


def astronaut() -> Image.Image:
    return Image.open(MEDIA / "astronaut.jpg").convert("RGB")


def jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=92)
    return out.getvalue()


def flat_png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


def two_people() -> Image.Image:
    pair = Image.new("RGB", (1024, 512))
    pair.paste(astronaut(), (0, 0))
    pair.paste(astronaut(), (512, 0))
    return pair


def sentence() -> tuple[np.ndarray, int]:
    return soundfile.read(MEDIA / "librivox.wav")


def wav(samples_: np.ndarray, rate_hz: int = 16_000) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples_, rate_hz, format="WAV", subtype="PCM_16")
    return out.getvalue()


def silence(seconds: float) -> bytes:
    return wav(np.zeros(int(seconds * 8000)), 8000)


def broken(whole: bytes) -> bytes:
    """The header is whole, and then the connection was lost."""
    return whole[: len(whole) // 3]


@pytest.fixture(scope="module")
def heard() -> bytes:
    return wav(*sentence())


def read_by_a_worker(client, **parts) -> dict:
    taken = send(client, **parts)
    assert taken.status_code == 201
    tasks.analyse(check_in_id=taken.json()["id"])
    return client.get(f"{CHECK_INS}{taken.json()['id']}/").json()


@pytest.mark.parametrize(
    ("face", "reason"),
    [
        (lambda: jpeg(Image.new("RGB", (640, 480), (120, 130, 140))), "no_face"),
        (lambda: jpeg(two_people()), "several_faces"),
        (lambda: jpeg(astronaut().point(lambda value: value // 16)), "too_dark"),
        (lambda: jpeg(astronaut().filter(ImageFilter.GaussianBlur(12))), "blurred"),
        (lambda: broken(jpeg(astronaut())), "broken_file"),
    ],
)
def test_a_photo_that_cannot_be_read_says_what_to_do_and_the_voice_still_counts(ada, phone, face, reason, heard):
    seen = read_by_a_worker(phone(ada), face=face(), voice=heard)
    rows = {row["modality"]: row for row in seen["estimates"]}
    assert (rows["face"]["reason"], rows["face"]["probabilities"]) == (reason, None)
    assert len(rows["face"]["advice"]) > 20
    assert (seen["status"], seen["fused"]["weights"]) == ("done", {"voice": 1.0})


@pytest.mark.parametrize(
    ("voice", "reason"),
    [
        (lambda: silence(5), "silent"),
        (lambda: wav(sentence()[0][:4000]), "too_short"),
        (lambda: wav(np.clip(sentence()[0] * 60, -1, 1)), "clipped"),
    ],
)
def test_a_recording_that_cannot_be_read_says_what_to_do_and_the_face_still_counts(ada, phone, voice, reason):
    seen = read_by_a_worker(phone(ada), face=jpeg(astronaut()), voice=voice())
    rows = {row["modality"]: row for row in seen["estimates"]}
    assert (rows["voice"]["reason"], rows["voice"]["probabilities"]) == (reason, None)
    assert len(rows["voice"]["advice"]) > 20
    assert (seen["status"], seen["fused"]["weights"]) == ("done", {"face": 1.0})


def test_what_is_broken_beyond_the_header_is_stored_and_then_unusable(ada, phone, heard):
    seen = read_by_a_worker(phone(ada), face=broken(jpeg(astronaut())))
    assert (seen["status"], seen["reason"], seen["fused"]) == ("unusable", "broken_file", None)
    assert read_by_a_worker(phone(ada), face=jpeg(astronaut()), voice=heard)["status"] == "done"


def test_a_scope_withdrawn_in_between_ends_in_unusable_without_the_media(ada, phone, media_folder):
    client = phone(ada)
    taken = send(client, face=samples.photo()).json()
    factories.consent(ada, "face", given=False)
    tasks.analyse(check_in_id=taken["id"])
    seen = client.get(f"{CHECK_INS}{taken['id']}/").json()
    assert (seen["status"], seen["reason"]) == ("unusable", "consent_withdrawn")
    assert not list(media_folder.glob("*/*"))
    assert CheckIn.objects.count() == Part.objects.count() == 1


def test_an_expired_session_is_told_so_and_the_same_phone_goes_on_after_signing_in(ada, phone):
    old = phone(ada)
    assert send(old, text="before").status_code == 201
    Device.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    before = stored()
    assert_refused(send(old, text="after"), 401, "session-expired")
    assert_refused(old.get("/api/v1/me/"), 401, "session-expired")
    assert stored() == before
    assert send(phone(ada), text="after").status_code == 201
    assert CheckIn.objects.count() == 2


def test_another_persons_check_in_looks_like_one_that_is_not_there(ada, ben, phone):
    theirs = send(phone(ada), text="mine").json()["id"]
    before, words = stored(), {"labels": ["sadness"]}
    for path in (theirs, uuid.uuid4()):
        assert_refused(phone(ben).get(f"{CHECK_INS}{path}/"), 404, "not-found")
        assert_refused(phone(ben).put(f"{CHECK_INS}{path}/correction/", words), 404, "not-found")
    assert_refused(send(phone(ben), text="mine", id=theirs), 409, "id-reused")
    assert stored() == before
    assert phone(ada).get(f"{CHECK_INS}{theirs}/").status_code == 200


def answer(client, occasion, answers: list):
    body = {"answers": answers, "answered_at": timezone.now().isoformat()}
    return client.put(f"/api/v1/questionnaires/{occasion.pk}/response/", body)


def test_an_item_value_of_four_is_pointed_at_and_can_be_sent_again(ada, ben, phone, baseline):
    before = stored()
    assert_refused(answer(phone(ada), baseline, [1] * 20 + [4]), 422, "invalid", "/answers/20")
    assert_refused(answer(phone(ben), baseline, [1] * 21), 404, "not-found")
    assert stored() == before
    assert answer(phone(ada), baseline, [1] * 20 + [3]).status_code == 201


def test_answers_after_the_window_closed_are_refused_by_name_and_kept_all_the_same(ada, phone, baseline):
    """Answers are never thrown away: the problem says that the phone may drop its copy, since we hold one."""
    start = (timezone.now() - timedelta(days=40)).date()
    closed = outcomes.plan(
        participant=ada, instrument_slug="dass21", schedule=[{"name": "old", "day": 0}], start_date=start
    )[0]
    for _ in range(2):  # the phone repeats itself until it has an answer
        problem = assert_refused(answer(phone(ada), closed, [1] * 21), 409, "occasion-closed")
        assert problem["stored"] is True
    (first,) = Response.objects.all()
    assert_refused(answer(phone(ada), closed, [2] * 21), 409, "answers-differ")
    assert Response.objects.get(conflicting=False) == first
    assert sorted(row.answers[0] for row in Response.objects.all()) == [1, 2]
    assert answer(phone(ada), baseline, [1] * 21).json()["in_window"] is True


def test_an_unknown_trial_is_not_found_for_any_request(ada, tom, phone, trial):
    before, manager = stored(), phone(tom)
    person = {"participant": str(ada.pk)}
    assert_refused(manager.get("/api/v1/trials/nowhere/"), 404, "not-found")
    assert_refused(manager.post("/api/v1/trials/nowhere/enrolments/", person), 404, "not-found")
    assert stored() == before
    assert manager.post(f"{TRIAL}enrolments/", person).status_code == 201


def allocate(client, enrolment):
    return client.post(f"{TRIAL}enrolments/{enrolment.pk}/allocation/")


def test_a_baseline_that_cannot_be_scored_takes_no_slot_and_can_be_repeated(ada, tom, phone, baseline):
    """Two of the seven statements on depression are missing: one too many."""
    manager, enrolment = phone(tom), Enrolment.objects.get()
    assert answer(phone(ada), baseline, [1, 1, None, 1, None, *[1] * 16]).status_code == 201
    before = stored()
    assert_refused(allocate(manager, enrolment), 409, "unscorable-baseline")
    assert stored() == before
    assert not Slot.objects.exclude(taken_by=None).exists()
    again = manager.post(f"{TRIAL}enrolments/{enrolment.pk}/baseline/")
    assert again.status_code == 201, again.json()
    answer(phone(ada), ada.occasions.exclude(pk=baseline.pk).get(), [1] * 21)
    assert allocate(manager, enrolment).json()["status"] == "allocated"


def test_an_exhausted_stratum_pauses_the_trial_and_loses_nobody(ada, ben, tom, team, study, phone):
    """The list has as many slots as the first block; the person after it stays a candidate with her answers."""
    trials.load_dass21()
    trial = trials.running(study, stratify_by=[], block_sizes=[2], slots_per_stratum=2)
    last = trials.candidate(factories.participant(team, "cleo"), trial)
    for person in (ada, ben):
        trials.allocated(person, trial)
    before = stored()
    assert_refused(allocate(phone(tom), last), 409, "stratum-exhausted")
    assert stored() == before
    assert Enrolment.objects.get(pk=last.pk).status == Enrolment.Status.CANDIDATE
    assert Trial.objects.get().paused
    assert_refused(allocate(phone(tom), last), 409, "enrolment-paused")
    assert Enrolment.objects.filter(status="allocated").count() == 2


def test_while_the_database_is_away_the_phone_is_told_to_keep_its_copy(ada, phone, monkeypatch, media_folder):
    client, before = phone(ada), stored()

    def away(*_args, **_kwargs):
        raise OperationalError("connection refused")

    with monkeypatch.context() as patched:
        patched.setattr("django.db.backends.base.base.BaseDatabaseWrapper.cursor", away)
        refused = send(client, text="at night", face=samples.photo())
    assert_refused(refused, 503, "try-again-later")
    assert int(refused["Retry-After"]) > 0
    assert stored() == before
    assert not list(media_folder.glob("*/*"))
    assert send(client, text="at night", face=samples.photo()).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_while_the_broker_is_away_a_check_in_is_stored_all_the_same(ada, phone, settings, monkeypatch):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(celery.conf, "broker_url", settings.CELERY_BROKER_URL)
    taken = send(phone(ada), text="nobody listens")
    assert (taken.status_code, taken.json()["status"]) == (201, "queued")
    check_in = CheckIn.objects.get()
    assert check_in.hinted_at is None
    assert check_in in CheckIn.objects.to_hint()
