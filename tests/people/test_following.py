"""A person's word is followed by every room, however often a room fails at first."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from mhealth.checkins import data_rights, tasks
from mhealth.checkins.models import CheckIn, Part
from mhealth.people import following, registry, rights, services
from mhealth.people.models import FollowUp
from mhealth.people.tasks import follow_withdrawals
from mhealth.platform import health
from tests import factories
from tests.checkins import samples

pytestmark = pytest.mark.django_db
ME = "/api/v1/me/"


class Room:
    """A room above people that fails as long as it is told to."""

    def __init__(self) -> None:
        self.fails, self.heard = False, []

    def withdraw(self, person, scope, said_at) -> None:
        if self.fails:
            raise OSError("the disk of ada@example.org is full")
        self.heard.append((person.pk, scope))


@pytest.fixture
def room():
    room = Room()
    registry.register("test_room", export_person=dict, erase_person=print, covers=(), withdraw=room.withdraw)
    yield room
    del registry.rooms["test_room"]


@pytest.fixture
def sent(ada, phone):
    """A photo of ada that nobody has read yet."""
    send_photo(phone(ada))
    return CheckIn.objects.get()


def send_photo(client) -> None:
    assert (
        client.post("/api/v1/check-ins/", samples.upload(face=samples.photo()), format="multipart").status_code == 201
    )


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    """Run what waits for the commit, as a real request does."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


def withdraw(client, committed, scope: str) -> None:
    with committed():
        assert client.post(f"{ME}consents/", {"scope": scope, "given": False}).status_code == 201


def files(folder) -> list:
    return list(folder.glob("*/*"))


def test_a_room_that_failed_to_follow_is_asked_again_until_it_has(ada, phone, room, committed):
    room.fails = True
    withdraw(phone(ada), committed, "face")
    assert not ada.consents_to("face"), "the word holds, whatever a room does"
    row = FollowUp.objects.get()
    assert (row.done_at, "test_room" in row.followed, "checkins" in row.followed) == (None, False, True)
    assert row.fault.startswith("OSError at tests.people.test_following:")
    assert "ada@" not in row.fault
    follow_withdrawals()
    assert FollowUp.objects.open().exists()
    room.fails = False
    follow_withdrawals()
    assert room.heard == [(ada.pk, "face")]
    assert not FollowUp.objects.open().exists()
    follow_withdrawals()
    assert room.heard == [(ada.pk, "face")], "what was followed is not asked again"


def test_a_process_that_dies_right_after_the_word_leaves_the_rest_to_the_sweep(ada, phone, sent, media_folder):
    """The transaction is stored, and what waits for the commit never runs."""
    assert phone(ada).post(f"{ME}consents/", {"scope": "face", "given": False}).status_code == 201
    assert len(files(media_folder)) == 1
    follow_withdrawals()
    assert files(media_folder) == []
    assert Part.objects.get().deleted_at


def test_photos_sent_under_a_consent_given_anew_outlive_the_late_follow_up(ada, phone, sent, room, committed):
    FollowUp.objects.create(participant=ada, scope="face")  # said now, not followed yet
    factories.consent(ada, "face", given=False)
    factories.consent(ada, "face")
    send_photo(phone(ada))
    follow_withdrawals()
    held = Part.objects.get(deleted_at=None)
    assert held.check_in_id != sent.pk


def test_who_only_stops_keeps_their_media_and_who_asks_for_it_loses_them(
    ada, study, phone, sent, committed, media_folder
):
    study.settings = {"media_retention_days": 7}
    study.save()
    with committed():
        services.stop(ada, delete_media=False)
    follow_withdrawals()
    tasks.analyse(check_in_id=str(sent.pk))
    sent.refresh_from_db()
    assert (sent.status, sent.reason, sent.fused) == ("unusable", "participation_stopped", None)
    assert len(files(media_folder)) == 1
    with committed():
        services.stop(ada, delete_media=True)
    assert files(media_folder) == []


def test_a_stop_holds_although_a_room_cannot_delete_its_media_yet(
    ada, phone, sent, committed, media_folder, monkeypatch
):
    def full(*_args, **_kwargs):
        raise OSError("read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr("mhealth.platform.media.FolderStore.delete", full)
        with committed():
            answer = phone(ada).post(f"{ME}participation/", {"action": "stop_and_delete_media"})
    assert answer.json()["status"] == "stopped"
    assert len(files(media_folder)) == 1
    follow_withdrawals()
    assert files(media_folder) == []


def test_following_twice_changes_nothing(ada, phone, sent, committed):
    withdraw(phone(ada), committed, "face")
    once = list(Part.objects.values_list("pk", "deleted_at"))
    data_rights.withdraw_consent(ada, "face", timezone.now())
    assert list(Part.objects.values_list("pk", "deleted_at")) == once


def test_the_doctor_names_the_room_that_has_not_followed(ada, phone, room, committed, capsys):
    room.fails = True
    withdraw(phone(ada), committed, "face")
    assert following.check_followed() == "every room has followed", "it has ten minutes"
    FollowUp.objects.update(said_at=timezone.now() - timedelta(minutes=11))
    with pytest.raises(health.Missing, match="1 not followed for more than 10 minutes by test_room"):
        following.check_followed()
    with pytest.raises(SystemExit):
        call_command("doctor")
    line = next(row for row in capsys.readouterr().out.splitlines() if "withdrawals" in row)
    assert line.startswith("MISSING")
    room.fails = False
    follow_withdrawals()
    assert following.check_followed() == "every room has followed"


def test_an_erasure_ends_what_was_still_to_follow(ada, phone, room, committed):
    room.fails = True
    withdraw(phone(ada), committed, "face")
    rights.erase(ada)
    assert not FollowUp.objects.exists()
