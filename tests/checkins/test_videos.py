"""A video check-in: taken in by its headers, read as face and voice, gone with either consent."""

import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from emotion import video
from emotion.decoder import BrokenFile, Decoder
from emotion.estimate import EMOTIONS, Estimate
from mhealth.checkins import checks, data_rights, intake, recognisers, services, tasks, videos
from mhealth.checkins.models import CheckIn, DisparityReport, Explanation, Part
from mhealth.checkins.reasons import Unreadable
from mhealth.checkins.recognisers import Watched
from mhealth.platform.health import Missing
from mhealth.platform.uploads import TooLarge
from tests import factories
from tests.checkins import samples

pytestmark = pytest.mark.django_db
URL = "/api/v1/check-ins/"
PLACE = samples.PLACE.encode()
MEDIA = Path(__file__).parents[2] / "fixtures" / "media"
OUTCOME: dict = {}


def box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name) + body


def track(handler: bytes) -> bytes:
    dated = box(b"mdhd", struct.pack(">IIIII", 0, 3_800_000_000, 3_800_000_000, 1000, 5000))
    return box(b"trak", box(b"mdia", dated, box(b"hdlr", bytes(8), handler, bytes(12))))


def mp4(seconds: float = 5.0, brand: bytes = b"mp42", handlers=(b"vide", b"soun")) -> bytes:
    """The boxes of a clip with a place in its user data, and no frame that could be decoded."""
    movie = box(b"mvhd", struct.pack(">IIIII", 0, 3_800_000_000, 3_800_000_000, 600, round(600 * seconds)))
    told = box(b"udta", PLACE)
    content = box(b"moov", movie, *map(track, handlers), told)
    return box(b"ftyp", brand, bytes(4)) + content + box(b"uuid", bytes(16), PLACE) + box(b"mdat", b"frames" * 50)


def element(name: int, body: bytes) -> bytes:
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + bytes([1]) + len(body).to_bytes(7, "big") + body


def webm(seconds: float = 5.0, *, declared: bool = True, doc_type: bytes = b"webm", kind: int = 1) -> bytes:
    """The elements of a clip as a browser records it: clusters of a second, with a title and tags."""
    length = [element(videos.DURATION, struct.pack(">d", seconds * 1000))] if declared else []
    clusters = [
        element(videos.CLUSTER, element(videos.TIMESTAMP, struct.pack(">I", 1000 * second)) + element(0xA3, bytes(40)))
        for second in range(int(seconds) + 1)
    ]
    parts = [
        element(videos.INFO, b"".join([element(videos.TITLE, PLACE), *length])),
        element(videos.TRACKS, element(videos.TRACK, element(videos.TRACK_TYPE, bytes([kind])))),
        *clusters,
        element(videos.TAGS, PLACE * 3),
    ]
    return element(videos.EBML, element(videos.DOC_TYPE, doc_type)) + element(videos.SEGMENT, b"".join(parts))


CLIPS = {"mp4": mp4(), "quicktime": mp4(brand=b"qt  "), "webm": webm()}


def saying(emotion: str, **more) -> Estimate:
    p = np.full(7, 0.05)
    p[EMOTIONS.index(emotion)] = 0.70
    return Estimate(p, quality=1.0, model_version="known", **more)


def watch(data: bytes) -> Watched:
    if OUTCOME:
        raise Unreadable(OUTCOME["reason"])
    told = {"frames": 3, "frames_read": 2, "dropped": {"no_face": 1}, "votes": {"happiness": 2}}
    face = saying("happiness", details=told | {"majority": "happiness", "quality": {}})
    seen = [(0.0, face.probabilities), (2.0, face.probabilities)]
    return Watched({"face": face, "voice": saying("sadness")}, {}, seen, lambda: (3.0, []))


@pytest.fixture(autouse=True)
def known_answers(settings):
    """Videos are on, read elsewhere, and say what is known."""
    settings.VIDEO_CHECK_INS, settings.CELERY_BROKER_URL = True, "redis://elsewhere"
    settings.CHECKIN_WATCHER = f"{__name__}.watch"
    settings.AFTER_ANALYSIS = []
    settings.LEASE_S = 3600  # no renewal from another thread while the test's transaction holds SQLite
    OUTCOME.clear()


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    """The hint goes nowhere: the tests call the worker's door themselves."""
    monkeypatch.setattr(services, "hint", lambda *args, **kwargs: False)


def send(client, **parts):
    return client.post(URL, samples.upload(**(parts or {"video": mp4()})), format="multipart")


def analysed(client) -> CheckIn:
    answer = send(client)
    assert answer.status_code == 201, answer.json()
    tasks.analyse(check_in_id=answer.json()["id"])
    return CheckIn.objects.get()


@pytest.mark.parametrize("name", CLIPS)
def test_a_video_is_taken_in_without_its_place_and_its_frames_stay_where_they_were(name):
    sent = CLIPS[name]
    part = intake.video(sent)
    assert (part.kind, part.media_type) == ("video", f"video/{name}")
    assert PLACE in sent
    assert PLACE not in part.content
    assert len(part.content) == len(sent)
    assert part.content.find(b"frames") == sent.find(b"frames")
    assert videos.header(part.content) == videos.header(sent)


def test_the_moment_of_recording_leaves_an_mp4():
    moment = struct.pack(">I", 3_800_000_000)
    assert moment in mp4()
    assert moment not in intake.video(mp4()).content


def test_a_track_that_is_neither_picture_nor_sound_is_emptied():
    kept, emptied = (intake.video(mp4(handlers=handlers)).content for handlers in ((b"vide",), (b"vide", b"meta")))
    assert kept.count(b"trak") == emptied.count(b"trak") == 1
    assert b"meta" not in emptied


@pytest.mark.parametrize("clip", [mp4, webm, lambda s: webm(s, declared=False)], ids=["mp4", "webm", "recorder"])
def test_a_video_over_a_minute_is_refused_by_its_header(clip):
    intake.video(clip(60.0))
    with pytest.raises(TooLarge, match="60 seconds"):
        intake.video(clip(62.0))


@pytest.mark.parametrize(
    "other",
    [
        b"PK\x03\x04" + bytes(99),
        samples.photo(),
        samples.recording(),
        mp4(brand=b"M4A "),
        mp4(brand=b"heic"),
        mp4(handlers=(b"soun",)),
        webm(doc_type=b"matroska"),
        webm(kind=2),
        b"RIFF____AVI LIST" + bytes(99),
        b"",
    ],
)
def test_what_is_no_video_is_refused(other):
    with pytest.raises(intake.UnknownType):
        intake.video(other)


def test_more_than_thirty_megabytes_are_refused_by_their_number():
    with pytest.raises(TooLarge, match="30 MB"):
        intake.video(mp4() + bytes(30 * 2**20))


@pytest.mark.parametrize("name", CLIPS)
def test_no_cut_or_changed_header_brings_the_gate_down(name):
    """Every truncation, and 400 seeded single-byte changes: refused or stored, never a fault."""
    rng, whole = np.random.default_rng(11), CLIPS[name]
    changed = [bytearray(whole) for _ in range(400)]
    for data in changed:
        data[rng.integers(0, len(data))] = rng.integers(0, 256)
    outcomes = {"stored": 0, "refused": 0}
    for data in [whole[:n] for n in range(len(whole))] + [bytes(data) for data in changed]:
        try:
            stored = intake.video(data).content
            outcomes["stored"] += len(stored) == len(data)
        except (intake.UnknownType, TooLarge):
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20
    assert sum(outcomes.values()) == len(whole) + 400


@pytest.mark.parametrize(
    "bomb",
    [
        box(b"ftyp", b"mp42", bytes(4)) + box(b"free") * 200_000,
        box(b"ftyp", b"mp42", bytes(4)) + struct.pack(">I4s", 0, b"moov") * 200_000,
        element(videos.EBML, element(videos.DOC_TYPE, b"webm")) + b"\xec\x80" * 200_000,
        element(videos.EBML, element(videos.DOC_TYPE, b"webm")) + b"\x1f\x43\xb6\x75\xff" * 200_000,
    ],
    ids=["boxes", "boxes in boxes", "elements", "elements in elements"],
)
def test_a_file_of_nothing_but_pieces_is_refused(bomb):
    with pytest.raises(intake.UnknownType):
        intake.video(bomb)


def test_boxes_that_overlap_are_emptied_once():
    """Tracks in tracks, each as long as the file: emptying every one of them would take hours."""
    nested = struct.pack(">I4s", 0, b"trak") * 90_000 + bytes(10 * 2**20)
    content = box(b"ftyp", b"mp42", bytes(4)) + box(b"mdat", b"x") + nested
    assert len(intake.video(content).content) == len(content)


def test_face_and_voice_of_a_video_are_read_as_those_of_a_photo_and_a_recording(ada, carol, phone, media_folder):
    check_in = analysed(phone(ada))
    told = phone(ada).get(f"{URL}{check_in.pk}/").json()
    rows = {row["modality"]: row for row in told["estimates"]}
    assert told["status"] == "done"
    assert set(told["fused"]["weights"]) == set(rows) == {"face", "voice"}
    assert (rows["face"]["frames"]["frames_read"], rows["face"]["frames"]["majority"]) == (2, "happiness")
    assert rows["voice"]["frames"] is None
    assert DisparityReport.objects.filter(check_in=check_in).exists()
    assert not Part.objects.filter(deleted_at=None).exists()
    assert not list(media_folder.glob("*/*"))


def test_a_video_that_cannot_be_read_says_why_for_both(ada, phone):
    OUTCOME["reason"] = "no_video_decoder"
    check_in = analysed(phone(ada))
    assert (check_in.status, check_in.reason) == ("unusable", "no_video_decoder")
    told = phone(ada).get(f"{URL}{check_in.pk}/").json()
    assert {row["reason"] for row in told["estimates"]} == {"no_video_decoder"}
    assert "Send a photo and a recording" in told["advice"]


def test_a_photo_beside_a_video_is_refused_and_words_are_not(ada, phone):
    refused = send(phone(ada), video=mp4(), face=samples.photo())
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/video")
    calibration = send(phone(ada), video=mp4(), purpose="calibration")
    assert calibration.status_code == 422
    assert send(phone(ada), video=mp4(), text="hello").status_code == 201


@pytest.mark.parametrize("scope", ["face", "voice"])
def test_a_video_needs_both_consents(ada, phone, scope):
    factories.consent(ada, scope, given=False)
    refused = send(phone(ada))
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:mhealth:problem:consent-withdrawn")
    assert scope in refused.json()["detail"]
    factories.consent(ada, scope)
    assert send(phone(ada)).status_code == 201


@pytest.mark.parametrize("scope", ["face", "voice"])
def test_a_consent_withdrawn_while_it_waits_deletes_the_whole_video_unread(ada, phone, scope, media_folder):
    answer = send(phone(ada))
    factories.consent(ada, scope, given=False)
    tasks.analyse(check_in_id=answer.json()["id"])
    rows = {row.modality: row.reason for row in CheckIn.objects.get().estimates.all()}
    other = {"face": "voice", "voice": "face"}[scope]
    assert rows == {scope: "consent_withdrawn", other: "media_gone"}
    assert not list(media_folder.glob("*/*"))


@pytest.mark.parametrize("scope", ["face", "voice"])
def test_a_withdrawal_takes_a_kept_video_and_its_explanation_along(ada, phone, scope, media_folder, kept):
    analysed(phone(ada))
    assert len(list(media_folder.glob("*/*"))) == 1
    data_rights.withdraw_consent(ada, scope, CheckIn.objects.get().received_at)
    assert not list(media_folder.glob("*/*"))


@pytest.fixture
def kept(ada):
    ada.study.settings = {"media_retention_days": 7}
    ada.study.save()


def look_into(modality: str, data: bytes, *, video: bool = False) -> dict:
    return {"emotion": "happiness", "of": modality, "video": video}


def test_a_kept_video_is_explained_and_is_in_the_persons_own_export(ada, carol, phone, settings, kept):
    settings.CHECKIN_EXPLAINER = f"{__name__}.look_into"
    check_in = analysed(phone(ada))
    [(name, content)] = data_rights.media_held(ada)
    assert (name, content) == (f"{check_in.pk}/video.mp4", intake.video(mp4()).content)
    assert data_rights.export_person(ada)["check_ins"][0]["video_frames"]["votes"] == {"happiness": 2}
    phone(carol).post(f"/api/v1/caseload/check-ins/{check_in.pk}/explanation/")
    tasks.explain(explanation_id=str(Explanation.objects.get().pk))
    found = Explanation.objects.get().opened()
    assert {modality: (told["of"], told["video"]) for modality, told in found.items()} == {
        "face": ("face", True),
        "voice": ("voice", True),
    }


def test_a_video_comes_in_with_a_batch(ada, phone):
    item = samples.upload()
    body = {"items": json.dumps([item]), f"{item['id']}.video": SimpleUploadedFile("clip", mp4())}
    [result] = phone(ada).post(f"{URL}batch/", body, format="multipart").json()["results"]
    assert result["status"] == 201
    assert Part.objects.get().kind == "video"


def test_where_videos_are_off_they_are_refused_with_a_problem_and_the_doctor_says_so(ada, phone, settings):
    settings.VIDEO_CHECK_INS = False
    refused = send(phone(ada))
    assert (refused.status_code, refused.json()["type"]) == (415, "urn:mhealth:problem:no-video")
    assert "photo and a recording" in refused.json()["detail"]
    assert checks.check_videos().startswith("off")
    assert send(phone(ada), face=samples.photo()).status_code == 201


def test_a_server_that_reads_its_check_ins_itself_takes_videos_only_if_it_can(ada, phone, settings, monkeypatch):
    settings.CELERY_BROKER_URL = ""
    monkeypatch.setattr(video, "decoder", lambda: None)
    assert send(phone(ada)).json()["type"] == "urn:mhealth:problem:no-video"
    with pytest.raises(Missing, match="ffmpeg"):
        checks.check_videos()
    monkeypatch.setattr(video, "decoder", lambda: "PyAV")
    assert send(phone(ada)).status_code == 201
    assert checks.check_videos() == "read with PyAV"


def filmed() -> bytes:
    """Three seconds of the shipped portrait with the shipped sentence, as an MP4 with a title."""
    program = shutil.which("ffmpeg") or pytest.skip("needs the program ffmpeg")
    pictures = ["-loop", "1", "-framerate", "5", "-i", str(MEDIA / "astronaut.jpg")]
    sound = ["-i", str(MEDIA / "librivox.wav"), "-t", "3", "-pix_fmt", "yuv420p", "-metadata", f"title={samples.PLACE}"]
    out = ["-c:v", "mpeg4", "-q:v", "3", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "pipe:1"]
    return subprocess.run(
        [program, "-loglevel", "error", *pictures, *sound, *out], capture_output=True, check=True
    ).stdout


def test_a_real_clip_goes_through_face_and_voice(ada, phone, settings, kept):
    settings.CHECKIN_WATCHER = "mhealth.checkins.recognisers.watch"
    clip = filmed()
    assert PLACE in clip
    tasks.analyse(check_in_id=send(phone(ada), video=clip).json()["id"])
    told = phone(ada).get(f"{URL}{CheckIn.objects.get().pk}/").json()
    rows = {row["modality"]: row for row in told["estimates"]}
    assert told["status"] == "done"
    assert rows["face"]["frames"]["majority"] == "happiness"
    assert rows["face"]["frames"]["frames_read"] == 3
    assert sum(rows["voice"]["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    stored = Part.objects.get().content()
    assert PLACE not in stored
    why = recognisers.explain("face", stored, video=True)
    assert np.shape(why["drops"]) == (7, 7)


def test_a_clip_without_a_frame_that_can_be_read_is_stored_and_found_out_later(ada, phone, settings):
    if video.decoder() is None:
        pytest.skip("needs PyAV or the program ffmpeg")
    settings.CHECKIN_WATCHER = "mhealth.checkins.recognisers.watch"
    tasks.analyse(check_in_id=send(phone(ada), video=mp4()).json()["id"])
    assert CheckIn.objects.get().reason in {"broken_file", "no_picture"}


def test_without_a_decoder_the_worker_says_so(ada, phone, settings, monkeypatch):
    def missing(self, data):
        raise BrokenFile("no_video_decoder")

    monkeypatch.setattr(Decoder, "video", missing)
    settings.CHECKIN_WATCHER = "mhealth.checkins.recognisers.watch"
    tasks.analyse(check_in_id=send(phone(ada)).json()["id"])
    assert CheckIn.objects.get().reason == "no_video_decoder"
