import json
import threading
import uuid
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.utils import timezone

from mhealth.checkins.models import CheckIn, Part
from mhealth.people import rights
from mhealth.people import services as people
from mhealth.platform import media
from mhealth.platform.row_security import acting_for_everybody
from tests import factories
from tests.checkins import samples

pytestmark = pytest.mark.django_db
URL = "/api/v1/check-ins/"


def send(client, body):
    return client.post(URL, body, format="multipart")


def test_a_check_in_is_stored_sealed_and_waits_for_a_worker(ada, phone, media_folder):
    answer = send(phone(ada), samples.upload(face=samples.photo(), voice=samples.recording(), text="slept badly"))
    assert answer.status_code == 201
    assert answer.json()["status"] == "queued"
    assert answer["Retry-After"]
    check_in = CheckIn.objects.get()
    assert {part.kind for part in check_in.parts.all()} == {"face", "voice", "text"}
    assert check_in.parts.get(kind="text").content() == b"slept badly"
    on_disk = [path.read_bytes() for path in media_folder.glob("*/*")]
    assert len(on_disk) == 3
    assert not any(b"slept" in data or b"JFIF" in data or b"WAVE" in data for data in on_disk)


def test_a_repeated_upload_makes_one_check_in(ada, phone):
    body = samples.upload(face=samples.photo())
    first = send(phone(ada), body)
    body["face"].seek(0)
    second = send(phone(ada), body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second["Idempotency-Replayed"] == "true"
    assert first.json()["id"] == second.json()["id"]
    assert CheckIn.objects.count() == 1
    assert Part.objects.count() == 1


def test_an_id_cannot_be_used_for_other_content_or_by_another_person(ada, ben, phone):
    body = samples.upload(text="first")
    assert send(phone(ada), body).status_code == 201
    other_content = send(phone(ada), body | {"text": "second"})
    other_person = send(phone(ben), body)
    for refused in (other_content, other_person):
        assert refused.status_code == 409
        assert refused.json()["type"].endswith("id-reused")
        assert refused["Content-Type"] == "application/problem+json"
    assert other_content.json()["detail"] == other_person.json()["detail"]


@pytest.mark.parametrize(
    ("parts", "status", "pointer"),
    [
        ({}, 422, "/face"),
        ({"text": "x", "id": "not-a-uuid"}, 422, "/id"),
        ({"text": "x", "zone": "Mars/Olympus"}, 422, "/zone"),
        ({"text": "x", "recorded_at": "yesterday"}, 422, "/recorded_at"),
        ({"self_report": "[1]"}, 422, "/self_report"),
        ({"text": "x", "recorded_at": "1970-01-01T00:00:00Z"}, 422, "/recorded_at"),
        ({"text": "x", "context": '{"a": NaN}'}, 422, "/context"),
        ({"text": "x", "context": '{"a": 1e999}'}, 422, "/context"),
        ({"text": "x", "context": '{"a": "\\u0000"}'}, 422, "/context"),
        ({"text": "x", "context": '{"a": "\\ud800"}'}, 422, "/context"),
        ({"text": "x", "context": '{"a":' * 50_000}, 422, "/context"),
        ({"text": "x", "context": '{"a": ' + "9" * 5_000 + "}"}, 422, "/context"),
        ({"face": b"PK\x03\x04" + b"\0" * 50}, 415, None),
        ({"voice": b"GIF89a" + b"\0" * 50}, 415, None),
        ({"face": b"\xff\xd8" + b"\0" * (10 * 2**20)}, 413, None),
        ({"voice": b"RIFF" + b"\0" * (20 * 2**20)}, 413, None),
    ],
)
def test_a_wrong_upload_is_refused_with_a_clear_problem(ada, phone, parts, status, pointer):
    refused = send(phone(ada), samples.upload(**parts))
    assert refused.status_code == status
    problem = refused.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert not pointer or problem["errors"][0]["pointer"] == pointer
    assert not CheckIn.objects.exists()


def test_the_limits_are_named(ada, phone):
    too_large = send(phone(ada), samples.upload(voice=samples.recording(61, rate_hz=8000)))
    assert too_large.status_code == 413
    assert "60 seconds" in too_large.json()["detail"]


def test_a_truncated_photo_is_stored_and_found_out_later(ada, phone):
    whole = samples.photo(size=(640, 480))
    assert send(phone(ada), samples.upload(face=whole[: len(whole) // 2])).status_code == 201


def test_a_withdrawn_scope_is_refused_and_the_other_still_comes_in(ada, phone):
    factories.consent(ada, "face", given=False)
    refused = send(phone(ada), samples.upload(face=samples.photo()))
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:mhealth:problem:consent-withdrawn")
    assert send(phone(ada), samples.upload(voice=samples.recording())).status_code == 201


def test_somebody_who_stopped_sends_nothing_any_more(ada, phone):
    ada.status = "stopped"
    ada.save()
    assert send(phone(ada), samples.upload(text="x")).json()["type"].endswith("participation-stopped")


@pytest.mark.parametrize(
    "end", [lambda ada: people.stop(ada, delete_media=False), rights.erase], ids=["stop", "erasure"]
)
def test_an_upload_that_a_stop_or_an_erasure_overtakes_leaves_no_row_and_no_file(
    ada, phone, end, monkeypatch, media_folder
):
    """It ends between the first look at the person and the storing of the rows, while the photo is written."""
    client, put = phone(ada), media.FolderStore.put

    def ends_before(store, sealed: bytes) -> str:
        monkeypatch.setattr(media.FolderStore, "put", put)
        with acting_for_everybody(because="a worker erases"):
            end(ada)
        return store.put(sealed)

    monkeypatch.setattr(media.FolderStore, "put", ends_before)
    refused = send(client, samples.upload(face=samples.photo(), text="x"))
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:mhealth:problem:participation-stopped")
    assert not CheckIn.objects.exists()
    assert not list(media_folder.glob("*/*"))


@pytest.mark.django_db(transaction=True)
def test_an_upload_waits_for_a_stop_that_is_under_way(ada, phone):
    client, sent, answers = phone(ada), threading.Event(), []

    def upload():
        sent.set()
        answers.append(send_and_close(client, samples.upload(text="x")))

    thread = threading.Thread(target=upload)
    with transaction.atomic():
        people.stop(ada, delete_media=False)
        thread.start()
        sent.wait()
        thread.join(0.5)
        assert not answers, "it waits: at this moment nobody knows whether the stop will be stored"
    thread.join()
    assert answers == [403]
    assert not CheckIn.objects.exists()


@pytest.mark.parametrize(
    ("moment", "suspect", "late"),
    [
        (timedelta(0), False, False),
        (timedelta(minutes=9), False, False),
        (timedelta(minutes=11), True, False),
        (timedelta(days=-29), False, False),
        (timedelta(days=-31), False, True),
    ],
)
def test_the_phones_clock_is_judged(ada, phone, moment, suspect, late):
    recorded_at = timezone.now() + moment
    body = send(phone(ada), samples.upload(text="x", recorded_at=recorded_at.isoformat())).json()
    assert (body["clock_suspect"], body["late"]) == (suspect, late)
    stored = CheckIn.objects.get().recorded_at
    assert abs(stored - (timezone.now() if suspect else recorded_at)) < timedelta(seconds=30)


def test_a_check_in_is_seen_by_its_owner_and_their_clinician_only(ada, ben, carol, dan, rae, tom, ola, phone):
    check_in_id = send(phone(ada), samples.upload(text="x")).json()["id"]
    for person, status in [(ada, 200), (carol, 200), (ben, 404), (dan, 404), (rae, 403), (tom, 403), (ola, 403)]:
        answer = phone(person).get(f"{URL}{check_in_id}/")
        assert (person, answer.status_code) == (person, status)
        assert (check_in_id in answer.content.decode()) == (status == 200)
    assert phone().get(f"{URL}{check_in_id}/").status_code == 401


def test_a_list_comes_newest_first_in_cursor_pages(ada, phone):
    moments = [timezone.now() - timedelta(hours=n) for n in range(5)]
    for moment in moments:
        send(phone(ada), samples.upload(text="x", recorded_at=moment.isoformat()))
    first = phone(ada).get(URL, {"page_size": 3}).json()
    second = phone(ada).get(first["next"]).json()
    seen = [row["recorded_at"] for row in first["results"] + second["results"]]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 5
    since = phone(ada).get(URL, {"since": (timezone.now() - timedelta(minutes=90)).isoformat()}).json()
    assert len(since["results"]) == 2


@pytest.mark.parametrize(
    ("since", "status"),
    [("0210-12-16T11:36:59+21:50", 200), ("0001-01-01T00:00:00+21:50", 422), ("9999-12-31T23:59:59-21:50", 422)],
)
def test_a_moment_of_any_offset_is_read_as_utc_or_refused(ada, phone, since, status):
    answer = phone(ada).get(URL, {"since": since})
    assert answer.status_code == status, answer.content


def test_a_batch_takes_in_what_it_can_and_says_what_it_cannot(ada, phone):
    def item(**parts) -> dict:
        return {"id": str(uuid.uuid4()), "recorded_at": timezone.now().isoformat(), "zone": "UTC"} | parts

    words, photo, wrong, nothing = item(text="offline"), item(), item(), item()
    body = {
        "items": json.dumps([words, photo, wrong, nothing, words]),
        f"{photo['id']}.face": SimpleUploadedFile("a", samples.photo()),
        f"{wrong['id']}.voice": SimpleUploadedFile("b", b"PK\x03\x04"),
    }
    results = phone(ada).post(f"{URL}batch/", body, format="multipart").json()["results"]
    assert [result["status"] for result in results] == [201, 201, 415, 422, 200]
    assert results[2]["problem"]["type"].endswith("unsupported-media-type")
    assert results[0]["check_in"]["id"] == words["id"]
    assert {str(pk) for pk in CheckIn.objects.values_list("pk", flat=True)} == {words["id"], photo["id"]}
    too_many = {"items": json.dumps([item(text="x")] * 51)}
    assert phone(ada).post(f"{URL}batch/", too_many, format="multipart").status_code == 422


def test_only_an_id_is_echoed_never_what_stands_in_its_place(ada, phone):
    whole = {"recorded_at": timezone.now().isoformat(), "zone": "UTC", "text": "x"}
    said = ["Ada, ada@example.org", 7, ["ada"], {"name": "ada"}, None, str(uuid.uuid4()).upper()]
    items = [whole | {"id": each} for each in said] + [whole]
    answer = phone(ada).post(f"{URL}batch/", {"items": json.dumps(items)}, format="multipart")
    results = answer.json()["results"]
    assert [result["id"] for result in results] == [None, None, None, None, None, said[-1], None]
    assert [result["status"] for result in results] == [422, 422, 422, 422, 422, 201, 422]
    assert "ada@" not in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_same_upload_many_times_at_once_makes_one_row(ada, phone):
    body = samples.upload(text="at once", id=str(uuid.uuid4()))
    clients = [phone(ada) for _ in range(10)]
    statuses = []
    threads = [
        threading.Thread(target=lambda client=client: statuses.append(send_and_close(client, body)))
        for client in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 9 + [201]
    assert (CheckIn.objects.count(), Part.objects.count()) == (1, 1)


def send_and_close(client, body) -> int:
    from django.db import connection

    try:
        return send(client, body).status_code
    finally:
        connection.close()
