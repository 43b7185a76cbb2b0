"""A person's say over their data: consent, participation, export, erasure."""

import io
import json
import zipfile
from datetime import timedelta

import pytest
from django.utils import timezone

from mhealth.people import registry, rights, services, tasks
from mhealth.people.models import (
    AppendOnlyError,
    Consent,
    DataExport,
    Device,
    ErasureRequest,
    Participant,
    User,
)
from mhealth.platform import embedded, media
from mhealth.platform.crypto import KeyDestroyed
from mhealth.platform.models import AuditEvent, DataKey
from tests.factories import phone as sign_in_as

pytestmark = pytest.mark.django_db
ME = "/api/v1/me/"


def kind(response) -> str:
    return response.json()["type"].removeprefix("urn:mhealth:problem:")


@pytest.fixture
def room():
    """A room above people that writes down what it is asked to do."""
    heard = []
    registry.register(
        "test_room",
        export_person=lambda person: {"notes": [f"about {person.pk}"]},
        erase_person=lambda person: heard.append(("erase", person.pk)),
        covers=(),
        export_files=lambda person: [("face.jpg", b"jpeg of " + str(person.pk).encode())],
        delete_media=lambda person: heard.append(("media", person.pk)),
        withdraw=lambda person, scope, said_at: heard.append(("withdraw", person.pk, scope)),
    )
    yield heard
    del registry.rooms["test_room"]


def test_a_person_sees_and_changes_their_own_profile(ada):
    client = sign_in_as(ada)
    changed = client.patch(ME, {"language": "de", "zone": "Europe/Berlin", "gender": "woman"})
    assert changed.status_code == 200
    mine = client.get(ME).json()
    assert (mine["language"], mine["zone"], mine["gender"]) == ("de", "Europe/Berlin", "woman")
    assert mine["email"] == "ada@example.org"
    event = AuditEvent.objects.get(action="profile.changed")
    assert event.details == {"fields": ["gender", "language", "zone"]}


def test_a_profile_value_that_the_study_does_not_know_is_refused_by_its_field(ada):
    client = sign_in_as(ada)
    refused = client.patch(ME, {"site": "moon", "zone": "Mars/Base"})
    assert refused.status_code == 422
    assert {error["pointer"] for error in refused.json()["errors"]} == {"/site", "/zone"}
    assert client.get(ME).json()["site"] == "north"


def test_status_and_study_cannot_be_changed_by_the_profile(ada):
    client = sign_in_as(ada)
    assert client.patch(ME, {"status": "erased", "id": "0"}).status_code == 200
    assert client.get(ME).json()["status"] == "active"


def test_consent_needs_the_text_that_the_study_really_has(team, agreed):
    from tests import factories

    person = factories.participant(team, "gil", consents=())
    client = sign_in_as(person)
    assert not person.consents_to("voice")
    forged = client.post(f"{ME}consents/", agreed("voice") | {"text_digest": "0" * 64})
    assert (forged.status_code, kind(forged)) == (422, "consent-document-unknown")
    assert client.post(f"{ME}consents/", agreed("voice")).status_code == 201
    assert person.consents_to("voice")
    assert not person.consents_to("face")
    answer = client.get(f"{ME}consents/").json()
    assert answer["scopes"]["voice"] is True
    assert answer["document"]["text_digest"] == agreed("voice")["text_digest"]


def test_withdrawing_holds_at_once_and_keeps_the_history(ada, room, django_capture_on_commit_callbacks):
    client = sign_in_as(ada)
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(f"{ME}consents/", {"scope": "voice", "given": False}).status_code == 201
    assert not Participant.objects.get(pk=ada.pk).consents_to("voice")
    assert ada.consents_to("face")
    assert room == [("withdraw", ada.pk, "voice")]
    history = [(c["scope"], c["given"]) for c in client.get(f"{ME}consents/").json()["history"]]
    assert ("voice", True) in history
    assert history[-1] == ("voice", False)


def test_a_withdrawal_counts_although_our_clock_was_set_back(ada):
    Consent.objects.create(
        participant=ada,
        scope="face",
        given=False,
        given_at=timezone.now() - timedelta(hours=1),
        document_version="1",
        language="en",
        text_digest="0" * 64,
    )
    assert not ada.consents_to("face")
    assert ada.scopes()["face"] is False
    assert ada.consents_to("voice")


def test_giving_without_a_document_names_what_is_missing(ada):
    refused = sign_in_as(ada).post(f"{ME}consents/", {"scope": "voice", "given": True})
    assert refused.status_code == 422
    assert {e["pointer"] for e in refused.json()["errors"]} == {"/document_version", "/language", "/text_digest"}


def test_a_consent_row_can_be_neither_changed_nor_saved_again(ada):
    row = ada.consents.first()
    row.given = False
    with pytest.raises(AppendOnlyError):
        row.save()
    with pytest.raises(AppendOnlyError):
        Consent.objects.update(given=False)


def test_devices_are_listed_named_and_signed_out_by_their_owner_only(ada, ben):
    here, there, bens = sign_in_as(ada), sign_in_as(ada), sign_in_as(ben)
    rows = here.get(f"{ME}devices/").json()["results"]
    assert len(rows) == 2
    other = next(row for row in rows if not row["this_device"])
    assert bens.delete(f"{ME}devices/{other['id']}/").status_code == 404
    named = here.patch(f"{ME}devices/{other['id']}/", {"name": "old phone", "push_token": "secret-push"})
    assert named.json()["name"] == "old phone"
    assert b"secret-push" not in here.get(f"{ME}devices/").content
    assert here.delete(f"{ME}devices/{other['id']}/").status_code == 204
    assert there.get(ME).status_code == 401


def test_stopping_ends_processing_and_media_go_only_when_asked(ada, room, django_capture_on_commit_callbacks):
    client = sign_in_as(ada)
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(f"{ME}participation/", {"action": "stop"}).json()["status"] == "stopped"
    assert not Participant.objects.get(pk=ada.pk).consents_to("face")
    assert room == [("withdraw", ada.pk, "trial")]
    room.clear()
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(f"{ME}participation/", {"action": "stop"}).status_code == 200
    assert room == [], "stopping again asks nothing of anybody"
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(f"{ME}participation/", {"action": "stop_and_delete_media"}).status_code == 200
    assert room == [("media", ada.pk), ("withdraw", ada.pk, "trial")]
    assert client.get(f"{ME}participation/").json()["stopped_at"] is not None


def test_an_export_is_written_by_a_task_and_holds_everything_of_this_person_alone(ada, ben, room):
    client = sign_in_as(ada)
    assert kind(client.get(f"{ME}export/")) == "no-export"
    asked = client.post(f"{ME}export/")
    assert (asked.status_code, asked.json()["status"]) == (202, "queued")
    assert client.get(f"{ME}export/").status_code == 202
    embedded.run_pending()
    ready = client.get(f"{ME}export/", headers={"accept": "application/zip"})
    assert (ready.status_code, ready["Content-Type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(ready.content)) as file:
        people = json.loads(file.read("people.json"))
        assert people["account"]["email"] == "ada@example.org"
        assert len(people["consents"]) == 6
        assert json.loads(file.read("test_room.json")) == {"notes": [f"about {ada.pk}"]}
        assert file.read("media/test_room/face.jpg").endswith(str(ada.pk).encode())
        assert "consents: 6" in file.read("summary.txt").decode()
        assert not any(b"ben@example.org" in file.read(name) for name in file.namelist())
    assert kind(sign_in_as(ben).get(f"{ME}export/")) == "no-export"


def test_the_stored_export_is_sealed_and_goes_after_a_week(ada, media_folder):
    rights.ask_for_export(ada)
    tasks.export_person(export_id=str(ada.exports.get().pk))
    stored = [path.read_bytes() for path in media_folder.rglob("*") if path.is_file()]
    assert len(stored) == 1
    assert b"ada@example.org" not in stored[0]
    assert not stored[0].startswith(b"PK")
    DataExport.objects.update(finished_at=timezone.now() - timedelta(days=8))
    tasks.sweep_exports()
    assert not DataExport.objects.exists()
    assert not list(media.store("exports").names())


def test_asking_twice_makes_one_export(ada):
    client = sign_in_as(ada)
    client.post(f"{ME}export/"), client.post(f"{ME}export/")
    assert DataExport.objects.count() == 1


def test_an_erasure_waits_a_week_and_can_be_cancelled(ada):
    client = sign_in_as(ada)
    assert client.get(f"{ME}erasure/").json()["state"] == "none"
    assert client.post(f"{ME}erasure/").status_code == 202
    assert client.post(f"{ME}erasure/").status_code == 202
    assert ErasureRequest.objects.count() == 1
    tasks.erase_due()
    embedded.run_pending()
    assert client.delete(f"{ME}erasure/").status_code == 204
    assert client.get(f"{ME}erasure/").json()["state"] == "none"
    assert kind(client.delete(f"{ME}erasure/")) == "no-erasure-pending"
    ErasureRequest.objects.update(due_at=timezone.now())
    tasks.erase_due()
    embedded.run_pending()
    assert client.get(ME).json()["email"] == "ada@example.org"


def test_a_due_erasure_leaves_an_empty_row_and_touches_nobody_else(ada, ben, room):
    client, bens = sign_in_as(ada), sign_in_as(ben)
    sealed = ada.data_key.seal(b"a diary line", "somewhere")
    rights.ask_for_export(ada)
    tasks.export_person(export_id=str(ada.exports.get().pk))
    client.post(f"{ME}erasure/")
    ErasureRequest.objects.update(due_at=timezone.now())
    tasks.erase_due()
    embedded.run_pending()
    tombstone = Participant.objects.get(pk=ada.pk)
    assert (tombstone.status, tombstone.user, tombstone.birth_year, tombstone.sex, tombstone.site) == (
        "erased",
        None,
        None,
        "",
        "",
    )
    assert ("erase", ada.pk) in room
    assert not User.objects.filter(email="ada@example.org").exists()
    assert not Consent.objects.filter(participant=ada).exists()
    assert not list(media.store("exports").names())
    with pytest.raises(KeyDestroyed):
        DataKey.objects.get(pk=ada.data_key_id).unseal(sealed, "somewhere")
    assert AuditEvent.objects.filter(action="erasure.done", subject=f"people.Participant/{ada.pk}").exists()
    assert client.get(ME).status_code == 401
    assert bens.get(ME).json()["email"] == "ben@example.org"
    assert Device.objects.count() == 1


def test_an_erasure_that_leaves_rows_behind_fails_and_changes_nothing(ada, monkeypatch):
    forgetful = registry.Room(export=dict, erase=lambda person: None, covers=())
    monkeypatch.setattr(registry, "rooms", {"forgetful": forgetful})
    with pytest.raises(rights.SomethingLeft, match=r"people\.Consent"):
        rights.erase(ada)
    assert ada.data_key.unseal(ada.data_key.seal(b"x", "c"), "c") == b"x"
    assert services.Participant.objects.get(pk=ada.pk).user is not None
