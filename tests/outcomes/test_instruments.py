"""Instruments are data: loaded from files, fixed once used, their licence notes acknowledged."""

import json
import shutil

import pytest
from django.conf import settings
from django.core import checks
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mhealth.outcomes import instruments, services
from mhealth.outcomes.models import InstrumentVersion, Occasion, Response
from mhealth.people import registry
from mhealth.platform.models import AuditEvent
from tests.outcomes.instruments import answers
from tests.outcomes.test_questionnaires_api import plan

pytestmark = pytest.mark.django_db


def change(folder, **fields):
    path = folder / "dass21" / "1" / "instrument.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture
def folder(instruments_folder, tmp_path):
    return shutil.copytree(instruments_folder, tmp_path / "instruments")


def test_loading_again_changes_nothing(loaded, folder):
    again = services.load_instruments(folder)
    assert [row.pk for row in again] == [row.pk for row in loaded]
    assert InstrumentVersion.objects.count() == 4


def test_a_version_in_use_keeps_its_rule_and_its_words(ada, loaded, folder):
    change(folder, rule_version="dass21/new")
    plan(ada, 1)
    with pytest.raises(instruments.InvalidInstrument, match="in use"):
        services.load_instruments(folder)
    Occasion.objects.all().delete()
    services.load_instruments(folder)
    assert InstrumentVersion.objects.get(instrument__slug="dass21").rules.rule_version == "dass21/new"


def test_a_version_that_a_trial_counts_on_keeps_its_rule_before_anybody_is_asked(loaded, folder):
    assert services.freeze(["dass21", "sus"]) == {"dass21": "1", "sus": "1"}
    services.load_instruments(folder)
    change(folder, rule_version="dass21/new")
    with pytest.raises(instruments.InvalidInstrument, match="in use and has changed: give it a new version"):
        services.load_instruments(folder)
    change(folder, version="2")
    services.load_instruments(folder)
    assert services.freeze(["dass21"]) == {"dass21": "2"}
    with pytest.raises(services.UnknownInstrument):
        services.freeze(["phq9"])


def test_a_new_language_may_be_added_to_a_version_in_use(ada, loaded, folder):
    plan(ada, 1)
    shutil.copy(folder / "dass21" / "1" / "en.json", folder / "dass21" / "1" / "fr.json")
    services.load_instruments(folder)
    assert sorted(InstrumentVersion.objects.get(instrument__slug="dass21").texts) == ["de", "en", "fr"]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [({"scales": {"x": {"items": [22]}}}, "scale x"), ({"n_items": None}, "cannot be used")],
)
def test_a_broken_definition_is_named_and_nothing_is_loaded(folder, fields, complaint):
    change(folder, **fields)
    with pytest.raises(instruments.InvalidInstrument, match=complaint):
        services.load_instruments(folder)
    assert not InstrumentVersion.objects.exists()


def test_the_shipped_instruments_load_and_can_be_shown_in_english():
    versions = services.load_instruments(settings.BASE_DIR / "fixtures" / "instruments")
    slugs = {version.instrument.slug for version in versions}
    assert {"dass21", "sus"} <= slugs
    for version in versions:
        shown = services.shown(version, ["en"])
        assert len(shown["items"]) == version.rules.n_items
        assert [option["value"] for option in shown["options"]] == list(
            range(version.rules.minimum, version.rules.maximum + 1)
        )


def test_a_licence_note_is_shown_at_start_up_until_an_operator_acknowledges_it(loaded, ola):
    def warnings() -> list[str]:
        found = checks.run_checks(tags=[checks.Tags.database], databases=["default"])
        return [warning.msg for warning in found if warning.id == "outcomes.W001"]

    assert len(warnings()) == 1
    assert "unmodified, not sold" in warnings()[0]
    version = InstrumentVersion.objects.get(instrument__slug="dass21")
    instruments.acknowledge_licence(version=version, user=ola)
    assert warnings() == []
    assert AuditEvent.objects.get(action="instrument.licence").actor == str(ola.pk)


def test_the_note_is_shown_before_later_columns_are_made(loaded):
    """`migrate` runs the checks first, on the tables of the version before."""
    with CaptureQueriesContext(connection) as asked:
        checks.run_checks(tags=[checks.Tags.database], databases=["default"])
    (select,) = [query["sql"] for query in asked if 'FROM "outcomes_instrumentversion"' in query["sql"]]
    later = {field.column for field in InstrumentVersion._meta.concrete_fields} - {
        "id",
        "instrument_id",
        "version",
        "licence",
        "loaded_at",
        "licence_acknowledged_at",
    }
    assert "frozen_at" in later
    assert [column for column in later if f'"{column}"' in select] == []


def test_what_we_hold_on_a_person_is_exported_and_erased(ada, ben, loaded):
    from datetime import UTC, datetime

    for person in (ada, ben):
        services.answer(occasion=plan(person, 1), answers=answers(q3=2), answered_at=datetime.now(UTC))
    room = registry.rooms["outcomes"]
    (exported,) = room.export(ada)["questionnaires"]
    assert exported["instrument"] == "dass21"
    assert exported["responses"][0]["answers"] == answers(q3=2)
    assert exported["responses"][0]["scores"]["depression"] == {"value": 4, "band": "normal"}
    room.erase(ada)
    assert [response.participant for response in Response.objects.all()] == [ben]
    assert room.export(ada) == {"questionnaires": []}
