"""Every format against the one registry, both ways; and as other people's software reads it."""

import csv
import filecmp
import itertools
import json
import math
import time
from datetime import timedelta

import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pyreadstat
import pytest
from django.utils import timezone
from fhir.resources.R4B import get_fhir_model_class
from frictionless import Package, system

from mhealth.people import rights
from mhealth.research import datapackage, ndjson, redcap, registry, statistical, tabular
from mhealth.research.cohort import Cohort, pseudonym
from tests.research.conftest import only, rows

pytestmark = pytest.mark.django_db
PANDAS = {"string": "string", "integer": "Int64", "number": "Float64", "boolean": "boolean"}
POLARS = {"string": pl.String, "integer": pl.Int64, "number": pl.Float64, "boolean": pl.Boolean}
R_TYPES = {"string": "character", "integer": "integer", "number": "numeric", "boolean": "logical"}


@pytest.fixture
def tables(story) -> dict:
    return {table.name: table for table in registry.tables(Cohort(story).versions)}


@pytest.fixture
def wide(tables):
    return tables["occasions_wide"]


def test_csv_parquet_and_codebook_hold_what_the_registry_names(export, tables):
    folder = export()
    assert {path.stem for path in folder.glob("*.parquet")} == set(tables)
    assert [(row["table"], row["column"], row["type"]) for row in rows(folder, "codebook")] == [
        (table.name, column.name, column.type) for table in tables.values() for column in table.columns
    ]
    for table in tables.values():
        header = (folder / f"{table.name}.csv").read_text().splitlines()[0]
        schema = pq.read_schema(folder / f"{table.name}.parquet")
        assert header.split(",") == schema.names == table.names
        assert schema.types == [tabular.ARROW[column.type] for column in table.columns]
        assert [field.metadata[b"label"].decode() for field in schema] == [column.label for column in table.columns]
        written = rows(folder, table.name)
        assert len({tuple(row[name] for name in table.key) for row in written}) == len(written) > 0
        for column in table.columns:
            values = {row[column.name] for row in written}
            assert not column.levels or values <= {*column.levels, ""}, column.name


def test_spss_holds_what_the_registry_names_with_labels_and_reasons(export, wide, story, ada):
    frame, meta = pyreadstat.read_sav(export() / "occasions_wide.sav", user_missing=True)
    assert meta.column_names == wide.names
    assert meta.column_labels == [column.label[:255] for column in wide.columns]
    assert meta.file_label == "Calm, first trial"
    assert meta.variable_value_labels["dass21_q1"][3.0] == "option 3"
    assert meta.variable_value_labels["dass21_depression_band"][5.0] == "extremely severe"
    assert meta.missing_ranges["dass21_q2"] == [{"lo": -999.0, "hi": -996.0}]
    mine = frame[frame["person"] == pseudonym(story.study, ada)].set_index("occasion")
    assert mine.loc["baseline", ["dass21_q1", "dass21_q2", "dass21_depression"]].tolist() == [3.0, -999.0, 14.0]
    assert mine.loc["week 4", ["dass21_q1", "dass21_depression"]].tolist() == [-997.0, -997.0]
    assert meta.variable_value_labels["dass21_q2"][-999.0] == "Item left unanswered"
    assert meta.variable_measure["dass21_q1"] == "ordinal"


def test_stata_holds_what_the_registry_names_with_labels_and_reasons(export, wide, story, ada):
    folder = export()
    frame, meta = pyreadstat.read_dta(folder / "occasions_wide.dta", user_missing=True)
    assert meta.column_names == [statistical.stata_name(name) for name in wide.names]
    assert meta.variable_value_labels["dass21_q1"] == {
        **{n: f"option {n}" for n in range(4)},
        **{letter: label for _, letter, label in statistical.MISSING.values()},
    }
    mine = frame[frame["person"] == pseudonym(story.study, ada)].set_index("occasion")
    assert mine.loc["baseline", ["dass21_q1", "dass21_q2", "dass21_depression"]].tolist() == [3.0, "a", 14.0]
    assert mine.loc["week 4", "dass21_q1"] == "c"
    plain = pd.read_stata(folder / "occasions_wide.dta", convert_categoricals=False)  # another reader
    assert plain["dass21_depression"].dtype.kind == "f"
    assert plain.set_index(["person", "occasion"]).loc[(pseudonym(story.study, ada), "week 2"), "dass21_q21"] == 2


def test_spss_stata_and_parquet_hold_the_same_values(export, wide):
    folder = export()
    truth = pq.read_table(folder / "occasions_wide.parquet").to_pandas()
    for kind, read in (("sav", pyreadstat.read_sav), ("dta", pyreadstat.read_dta)):
        frame, _ = read(folder / f"occasions_wide.{kind}")
        assert len(frame) == len(truth)
        for column in wide.columns:
            for ours, theirs in zip(truth[column.name], frame[statistical.stata_name(column.name)], strict=True):
                assert same(column, ours, theirs), (kind, column.name, ours, theirs)


def same(column, ours, theirs) -> bool:
    if pd.isna(ours):
        return theirs == "" or pd.isna(theirs)
    if column.levels:
        return column.levels[int(theirs) - 1] == ours
    return theirs == ours or math.isclose(float(theirs), float(ours))


def test_a_name_too_long_for_stata_is_shortened_and_stays_its_own():
    names = [f"accessibility_accessibility_{end}" for end in ("missing", "prorated", "answered")]
    assert [len(statistical.stata_name(name)) for name in names] == [32, 32, 32]
    assert len({statistical.stata_name(name) for name in names}) == 3
    assert statistical.stata_name("dass21_depression_prorated") == "dass21_depression_prorated"


def test_redcap_holds_what_the_registry_names_and_imports_what_its_dictionary_allows(export, tables):
    folder = export()
    dictionary = {row["Variable / Field Name"]: row for row in rows(folder, "redcap_dictionary")}
    assert next(iter(dictionary)) == "person"
    assert list(dictionary) == list(dict.fromkeys(tables["people"].names + tables["occasions_wide"].names))
    assert all(name == name.lower() and name.replace("_", "").isalnum() for name in dictionary)
    given = rows(folder, "redcap_import")
    extra = ["redcap_repeat_instrument", "redcap_repeat_instance"]
    assert list(given[0]) == ["person", *extra, *list(dictionary)[1:]]
    assert len(given) == len(rows(folder, "people")) + len(rows(folder, "occasions_wide"))
    for row, (name, field) in itertools.product(given, dictionary.items()):
        if row[name] == "":
            continue
        assert name == "person" or (row[extra[0]] or "people") == field["Form Name"]
        if field["Field Type"] == "radio":
            choices = field["Choices, Calculations, OR Slider Labels"].split(" | ")
            assert row[name] in [choice.partition(", ")[0] for choice in choices]
        if field["Field Type"] == "yesno":
            assert row[name] in ("0", "1")
        if low := field["Text Validation Min"]:
            assert float(row[name]) >= float(low)
    instances = [(row["person"], row[extra[1]]) for row in given if row[extra[0]]]
    assert len(set(instances)) == len(instances) == 7
    assert redcap.fields(tables)[0][1].name == "person"


def test_the_data_package_is_valid_and_names_every_file(export, tables):
    folder = export()
    with system.use_context(trusted=True):
        package = Package(str(folder / "datapackage.json"))
        report = package.validate()
    assert report.valid, report.flatten(["type", "note"])
    assert {each.path for each in package.resources} == {p.name for p in folder.iterdir()} - {
        "manifest.json",
        "datapackage.json",
    }
    for name, table in tables.items():
        fields = package.get_resource(f"{name.replace('_', '-')}-csv").schema.fields
        assert [(field.name, field.type) for field in fields] == [(c.name, c.type) for c in table.columns]


def test_a_changed_value_makes_the_data_package_invalid(export):
    folder = export()
    text = (folder / "people.csv").read_text()
    (folder / "people.csv").write_text(text.replace("female", "femina"))
    with system.use_context(trusted=True):
        report = Package(str(folder / "datapackage.json")).validate()
    assert {error[0] for error in report.flatten(["type"])} >= {"constraint-error", "hash-count"}


def lines(folder, kind: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{kind}.ndjson").read_text().splitlines()]


def test_fhir_resources_have_the_published_structure(export):
    folder = export()
    for kind in ndjson.FILES:
        found = lines(folder, kind)
        assert found
        for resource in found:
            get_fhir_model_class(kind).model_validate(resource)


def test_fhir_holds_the_rows_of_the_long_table(export):
    folder = export()
    days = {"day": "valueInteger", "day_from_consent": "valueInteger", "arm": "valueString", "occasion": "valueString"}
    found = set()
    for resource in lines(folder, "QuestionnaireResponse") + lines(folder, "Observation"):
        said = {each["url"].rpartition(":")[2].replace("-", "_"): each for each in resource["extension"]}
        about = {name: str(said[name][kind]) if name in said else "" for name, kind in days.items()}
        who = (resource["subject"]["identifier"]["value"], about["arm"], about["occasion"])
        who += (about["day"], about["day_from_consent"])
        if resource["resourceType"] == "Observation":
            value = resource.get("valueQuantity", {}).get("value")
            name = resource["code"]["coding"][0]["code"]
            found.add((*who, "scale", name, "" if value is None else repr(float(value))))
        else:
            given = {item["linkId"]: item["answer"][0]["valueCoding"]["code"] for item in resource["item"]}
            found |= {(*who, "item", f"q{n}", f"{given[f'q{n}']}.0" if f"q{n}" in given else "") for n in range(1, 22)}
    names = ("person", "arm", "occasion", "day", "day_from_consent", "kind", "name", "value")
    assert found == {tuple(row[name] for name in names) for row in rows(folder, "answers_long")}


def test_fhir_scores_carry_their_snomed_codes_and_bands(export):
    scores = lines(export(), "Observation")
    codes = {each["code"]["coding"][0]["code"]: each["code"]["coding"][1]["code"] for each in scores}
    assert codes == {"depression": "416954004", "anxiety": "416619008", "stress": "416767005"}
    assert "extremely severe" in {each["interpretation"][0]["coding"][0]["code"] for each in scores}


def test_pandas_reads_the_right_types_and_both_formats_agree(export, tables):
    folder = export()
    for table in tables.values():
        types = {column.name: PANDAS[column.type] for column in table.columns}
        parquet = pd.read_parquet(folder / f"{table.name}.parquet", dtype_backend="numpy_nullable").astype(types)
        text = pd.read_csv(folder / f"{table.name}.csv", dtype=types, keep_default_na=False, na_values=[""])
        pd.testing.assert_frame_equal(parquet, text)
    plain = pd.read_csv(folder / "occasions_wide.csv")
    assert plain["dass21_depression"].dtype == "float64"
    assert plain["answered"].dtype == "bool"


def test_polars_infers_the_right_types_without_being_told(export, tables):
    folder = export()
    for table in tables.values():
        parquet = pl.read_parquet(folder / f"{table.name}.parquet")
        assert parquet.schema == {column.name: POLARS[column.type] for column in table.columns}
        text = pl.read_csv(folder / f"{table.name}.csv")
        for column in table.columns:
            if text[column.name].null_count() < len(text):
                assert text.schema[column.name] == POLARS[column.type], column.name


def test_a_reader_by_the_rules_of_r_finds_the_right_types(export, tables):
    folder = export()
    for table in tables.values():
        with open(folder / f"{table.name}.csv", encoding="utf-8", newline="") as file:
            header, *body = list(csv.reader(file))
        for place, column in enumerate(table.columns):
            assert header[place] == column.name
            values = [row[place] for row in body]
            if any(values):
                assert r_type(values) == R_TYPES[column.type], column.name


def r_type(values: list[str]) -> str:
    """As `utils::type.convert` with na.strings = "" decides: logical, else integer, else numeric, else character."""
    given = [value for value in values if value != ""]
    if all(value in {"T", "F", "TRUE", "FALSE", "true", "false"} for value in given):
        return "logical"
    for kind, convert in (("integer", int), ("numeric", float)):
        try:
            numbers = [convert(value) for value in given]
        except ValueError:
            continue
        if kind == "numeric" or all(abs(number) < 2**31 for number in numbers):
            return kind
    return "character"


def test_a_package_made_later_has_the_same_bytes_in_all_formats(export, monkeypatch):
    """The clock of everything that asks for it is moved on; then a real second passes as well."""
    first = export("first")
    later = timezone.now() + timedelta(minutes=1)
    with monkeypatch.context() as clock:
        clock.setattr(timezone, "now", lambda: later)
        second = export("second")
    time.sleep(1.1)
    third = export("third")
    names = sorted(path.name for path in first.iterdir())
    assert {name.rpartition(".")[2] for name in names} == {"csv", "dta", "json", "ndjson", "parquet", "sav", "txt"}
    for other in (second, third):
        assert filecmp.cmpfiles(first, other, names, shallow=False) == (names, [], [])
    stamped = pyreadstat.read_sav(first / "occasions_wide.sav", metadataonly=True)[1].creation_time
    cut_off = json.loads((first / "manifest.json").read_text())["cut_off"]
    assert stamped.isoformat() == cut_off.removesuffix("+00:00")


def test_only_what_was_asked_for_is_in_it(export, story):
    folder = export(formats=("csv", "spss"), sites=("south",))
    kinds = {path.suffix for path in folder.iterdir()}
    assert kinds == {".csv", ".sav", ".json", ".txt"}
    assert not (folder / "redcap_import.csv").exists()
    assert [row["site"] for row in rows(folder, "people")] == ["south"]
    assert only(folder, "people")["status"] == "withdrawn"
    assert json.loads((folder / "manifest.json").read_text())["filters"] == {"sites": ["south"]}
    assert datapackage.PROFILE in (folder / "datapackage.json").read_text()


def test_people_of_other_sites_are_not_counted_as_erased(export, ada):
    counts = json.loads((export(sites=("south",)) / "manifest.json").read_text())["people"]
    assert counts == {"erased, any site": 0, "withdrawn": 1}

    rights.erase(ada)  # who was of another site, which nobody knows any more
    counts = json.loads((export("later", sites=("south",)) / "manifest.json").read_text())["people"]
    assert counts == {"erased, any site": 1, "withdrawn": 1}


def test_a_wide_table_too_long_for_memory_has_no_spss_and_stata(export, monkeypatch):
    monkeypatch.setattr(statistical, "MAX_ROWS", 5)
    folder = export()
    assert {path.suffix for path in folder.iterdir()} == {".csv", ".parquet", ".json", ".ndjson", ".txt"}
    assert "No .sav and .dta" in (folder / "README.txt").read_text()
