"""The tower: imports and foreign keys point downwards, and every room answers for the people in it."""

import os
import subprocess
import sys
from pathlib import Path

from django.apps import apps

from mhealth.people import registry, rights
from mhealth.people.models import Participant

ROOT = Path(__file__).parent.parent
FLOORS = (
    "platform",
    "people",
    "safety",
    "outcomes",
    "trials",
    "checkins",
    "interventions",
    "research",
    "portal",
)


def test_every_room_is_a_floor_of_the_tower():
    ours = [app.label for app in apps.get_app_configs() if app.name.startswith(("mhealth", "interventions"))]
    assert ours == list(FLOORS)


def test_imports_point_downwards():
    ran = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout


def relations() -> list[tuple[str, str]]:
    """("app.Model.field", app of the target) for every relation between our own rooms."""
    return [
        (f"{model._meta.label}.{field.name}", field.related_model._meta.app_label)
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.get_fields(include_hidden=True)
        if field.is_relation and field.concrete and model._meta.app_label in FLOORS
        if field.related_model is not None and field.related_model._meta.app_label in FLOORS
    ]


def test_foreign_keys_point_downwards():
    found = relations()
    assert ("people.Participant.data_key", "platform") in found
    upwards = [name for name, target in found if FLOORS.index(target) > FLOORS.index(name.split(".")[0])]
    assert upwards == []


def personal_models() -> set[str]:
    """Models that lead to a participant by any number of foreign keys: rows about a person."""
    reaches, before = {Participant}, None
    while reaches != before:
        before = set(reaches)
        for model in apps.get_models(include_auto_created=True):
            targets = {f.related_model for f in model._meta.get_fields() if f.is_relation and f.concrete}
            if targets & reaches and model._meta.app_label in FLOORS:
                reaches.add(model)
    return {model._meta.label for model in reaches - {Participant}}


def test_some_room_exports_and_erases_every_row_about_a_person():
    covered = {label for room in registry.rooms.values() for label in room.covers}
    assert "people.Consent" in personal_models()
    assert sorted(personal_models() - covered) == []


def test_rooms_cover_and_keep_only_models_that_exist():
    for room in registry.rooms.values():
        assert set(room.keeps) <= set(room.covers)
        for label in room.covers:
            assert apps.get_model(label)


def test_every_room_that_holds_people_has_registered():
    holding = {label.split(".")[0] for label in personal_models()}
    assert holding <= set(registry.rooms)


def test_rows_of_a_person_have_no_door_but_visible_to():
    without = [
        label for label in rights.personal_models() if not hasattr(apps.get_model(label)._default_manager, "visible_to")
    ]
    assert without == ["people.EnrolmentCode"]  # staff see that a code was used, not by whom


WEB = """
import sys
from mhealth import wsgi
from django.urls import get_resolver
from django.test import RequestFactory
get_resolver().url_patterns
print(" ".join(sorted({"torch", "librosa", "facenet_pytorch", "torchvision"} & set(sys.modules))))
"""


def test_with_a_broker_the_web_process_holds_no_networks(tmp_path):
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "mhealth.settings",
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",  # nobody there: importing needs no broker
        "VAR_DIR": str(tmp_path),
    }
    ran = subprocess.run([sys.executable, "-c", WEB], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == ""
