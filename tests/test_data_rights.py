"""Export and erasure of one person over all rooms, in the world of the access matrix."""

import io
import zipfile

import pytest
from django.apps import apps

from mhealth.people import registry, rights
from mhealth.people.models import Participant
from tests.access import world
from tests.access.requests import happened
from tests.factories import phone

pytestmark = pytest.mark.django_db


@pytest.fixture
def made():
    made = world.make()
    reported = phone(made.ada).post(
        f"/api/v1/trials/{made.objects['enrolment'].trial.slug}/adverse-events/",
        happened(made, severity="mild", serious=False, related="unlikely"),
    )
    assert reported.status_code == 201
    return made


def stored_words() -> str:
    """Everything every table holds, as text."""
    rows = (row for model in apps.get_models() for row in model._base_manager.values_list())
    return "\n".join(str([bytes(v) if isinstance(v, memoryview) else v for v in row]) for row in rows)


def test_an_export_holds_what_each_room_knows_of_this_person_and_nothing_of_another(made):
    with zipfile.ZipFile(io.BytesIO(rights.archive(made.ada))) as file:
        assert {f"{room}.json" for room in registry.rooms} <= set(file.namelist())
        everything = b"\n".join(file.read(name) for name in file.namelist()).decode()
    assert str(made.objects["check_in"].pk) in everything
    assert "ada@example.org" in everything
    other = made.people["other"]
    assert other.email not in everything
    assert str(other.participant.pk) not in everything


def test_an_erased_person_leaves_tombstones_that_say_nothing(made):
    assert world.PLANTED in stored_words()
    enrolments = made.objects["enrolment"].trial.enrolments.count()
    rights.erase(made.ada)
    left = stored_words()
    assert world.PLANTED not in left
    assert "ada@example.org" not in left
    assert str(made.objects["check_in"].pk) not in left
    assert made.objects["enrolment"].trial.enrolments.count() == enrolments
    assert Participant.objects.get(pk=made.ada.pk).status == "erased"
    assert "ben@example.org" in left


def test_erasing_twice_is_harmless(made):
    rights.erase(made.ada)
    rights.erase(Participant.objects.get(pk=made.ada.pk))
    assert Participant.objects.get(pk=made.ada.pk).status == "erased"
    assert "ben@example.org" in stored_words()
