import csv
import filecmp
import json
import re
from collections import Counter

import pandas as pd
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from emotion.estimate import EMOTIONS
from mhealth.people import rights
from mhealth.platform.models import AuditEvent
from mhealth.research import columns, package, services
from mhealth.research.cohort import Cohort, pseudonym
from mhealth.research.models import Export
from mhealth.research.rows import ROWS
from mhealth.trials import services as trials
from tests import factories as people
from tests.trials import factories

pytestmark = pytest.mark.django_db
PANDAS = {"string": "string", "integer": "Int64", "number": "Float64", "boolean": "boolean"}


@pytest.fixture
def export(story, rae, tmp_path):
    """`export()` writes the package as rae and returns its folder."""

    def write(name: str = "out"):
        services.export_to(trial=story, user=rae, reason="primary analysis", folder=tmp_path / name)
        return tmp_path / name

    return write


def rows(folder, table: str) -> list[dict]:
    with open(folder / f"{table}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def only(folder, table: str, **wanted: str) -> dict:
    found = [row for row in rows(folder, table) if wanted.items() <= row.items()]
    assert len(found) == 1, found
    return found[0]


def test_the_same_data_give_the_same_bytes(export):
    first, second = export("first"), export("second")
    names = sorted(path.name for path in first.iterdir())
    assert len(names) == 3 + 2 * 6
    assert filecmp.cmpfiles(first, second, names, shallow=False) == (names, [], [])


def test_new_data_give_other_bytes(export, ben):
    first = export("first")
    ben.occasions.first().responses.all().delete()
    second = export("second")
    assert (first / "answers_long.csv").read_bytes() != (second / "answers_long.csv").read_bytes()


def test_the_manifest_names_every_file_with_its_hash(export):
    folder = export()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    for name, entry in manifest["files"].items():
        assert entry == package._described(folder / name)
    assert manifest["people"] == {"allocated": 1, "candidate": 1, "erased": 0, "withdrawn": 1}
    assert manifest["responses_left_out"] == 1
    assert manifest["people_in_small_cells"] == 3
    assert manifest["versions"]["instruments"] == {"dass21 1": "dass21/test"}
    assert manifest["versions"]["recognisers"] == ["face-1"]


def test_the_wide_table_holds_scores_and_items_by_day(export, story, ada):
    folder, who = export(), pseudonym(story.study, ada)
    week_2 = only(folder, "occasions_wide", person=who, occasion="week 2")
    assert (week_2["day"], week_2["answered"], week_2["day_from_consent"]) == ("14", "true", "")
    assert (week_2["dass21_depression"], week_2["dass21_depression_band"]) == ("28.0", "extremely severe")
    assert week_2["dass21_q21"] == "2"
    baseline = only(folder, "occasions_wide", person=who, occasion="baseline")
    assert (baseline["dass21_q1"], baseline["dass21_q2"]) == ("3", "")
    assert (baseline["dass21_anxiety"], baseline["dass21_anxiety_prorated"]) == ("14.0", "true")
    assert baseline["dass21_anxiety_missing"] == "1"
    week_4 = only(folder, "occasions_wide", person=who, occasion="week 4")  # answered before it opened
    assert (week_4["answered"], week_4["dass21_depression"], week_4["day"]) == ("false", "", "")
    assert [row["planned_day"] for row in (baseline, week_2, week_4)] == ["14", "14", "42"]


def test_the_long_table_holds_the_same_values(export, story, ada):
    folder, who = export(), pseudonym(story.study, ada)
    counts = Counter((row["occasion"], row["kind"]) for row in rows(folder, "answers_long") if row["person"] == who)
    assert counts == {(name, kind): n for name in ("baseline", "week 2") for kind, n in (("item", 21), ("scale", 3))}
    item = only(folder, "answers_long", person=who, occasion="baseline", kind="item", name="q2")
    assert item["value"] == ""
    scale = only(folder, "answers_long", person=who, occasion="baseline", kind="scale", name="stress")
    assert (scale["value"], scale["band"], scale["prorated"]) == ("18.0", "mild", "false")


def test_people_who_were_never_randomised_count_from_consent(export, story, ben):
    folder, who = export(), pseudonym(story.study, ben)
    assert (only(folder, "people", person=who)["arm"], only(folder, "people", person=who)["status"]) == (
        "",
        "candidate",
    )
    baseline = only(folder, "occasions_wide", person=who)
    assert (baseline["day"], baseline["day_from_consent"]) == ("", "0")
    assert not [row for row in rows(folder, "engagement") if row["person"] == who]


def test_age_is_a_band_and_an_unsaid_sex_stays_empty(export):
    ages = Counter((row["age_band"], row["sex"], row["site"]) for row in rows(export(), "people"))
    assert ages == {("35-44", "female", "north"): 2, ("65 and over", "", "south"): 1}


def test_check_ins_and_estimates_are_in_it_without_weights(export, story, ada):
    folder, who = export(), pseudonym(story.study, ada)
    first = only(folder, "check_ins", person=who, number="1")
    assert (first["day"], first["p_happiness"], first["corrected_to"]) == ("4", "0.7", "happiness+surprise")
    second = only(folder, "check_ins", person=who, number="2")
    assert (second["status"], second["reason"], second["p_happiness"]) == ("unusable", "silent", "")
    assert only(folder, "estimates", person=who, modality="face")["model_version"] == "face-1"
    assert only(folder, "estimates", person=who, modality="voice")["reason"] == "silent"
    assert "weight" not in (folder / "codebook.csv").read_text()


def test_engagement_has_every_week_of_the_schedule(export, story, ada):
    folder, who = export(), pseudonym(story.study, ada)
    weeks = {row["week"]: row for row in rows(folder, "engagement") if row["person"] == who}
    assert list(weeks) == ["0", "1", "2", "3", "4", "5", "6"]
    assert (weeks["0"]["check_ins"], weeks["0"]["check_ins_read"]) == ("2", "1")
    assert (weeks["1"]["check_ins"], weeks["1"]["check_ins_read"]) == ("0", "0")
    assert (weeks["0"]["activities_offered"], weeks["0"]["activities_shown"]) == ("1", "1")  # on day 6
    assert (weeks["0"]["activities_completed"], weeks["1"]["activities_completed"]) == ("0", "1")
    assert (weeks["2"]["questionnaires_planned"], weeks["2"]["questionnaires_answered"]) == ("2", "2")


def test_registry_and_files_agree_both_ways(export, story):
    folder = export()
    registry = columns.tables(Cohort(story).versions)
    assert set(ROWS) == {table.name for table in registry}
    assert {path.stem for path in folder.glob("*.parquet")} == set(ROWS)
    assert [(row["table"], row["column"], row["type"]) for row in rows(folder, "codebook")] == [
        (table.name, column.name, column.type) for table in registry for column in table.columns
    ]
    for table in registry:
        header = (folder / f"{table.name}.csv").read_text().splitlines()[0]
        schema = pq.read_schema(folder / f"{table.name}.parquet")
        assert header.split(",") == schema.names == table.names
        assert schema.types == [package.ARROW[column.type] for column in table.columns]
        written = rows(folder, table.name)
        assert len({tuple(row[name] for name in table.key) for row in written}) == len(written) > 0
        for column in table.columns:
            values = {row[column.name] for row in written}
            assert not column.levels or values <= {*column.levels, ""}, column.name


def test_every_column_is_filled_by_somebody(export):
    """A column that stays empty in this story would hide a misspelt name."""
    folder = export()
    for table in ROWS:
        empty = [name for name in rows(folder, table)[0] if not any(row[name] for row in rows(folder, table))]
        assert empty == []


def test_an_unregistered_column_does_not_leave(export, monkeypatch):
    monkeypatch.setitem(ROWS, "people", lambda cohort: iter([{"person": "P1", "email": "ada@example.org"}]))
    with pytest.raises(package.UnregisteredColumn, match="email"):
        export()


def test_pandas_reads_the_right_types_and_both_formats_agree(export, story):
    folder = export()
    for table in columns.tables(Cohort(story).versions):
        types = {column.name: PANDAS[column.type] for column in table.columns}
        parquet = pd.read_parquet(folder / f"{table.name}.parquet", dtype_backend="numpy_nullable").astype(types)
        text = pd.read_csv(folder / f"{table.name}.csv", dtype=types, keep_default_na=False, na_values=[""])
        pd.testing.assert_frame_equal(parquet.replace("", pd.NA), text)
    plain = pd.read_csv(folder / "occasions_wide.csv")
    assert plain["dass21_depression"].dtype == "float64"
    assert plain["answered"].dtype == "bool"


def test_nobody_can_be_told_from_a_file(export, story, ada, ben):
    folder = export()
    text = "".join(path.read_text() for path in folder.iterdir() if path.suffix in {".csv", ".txt"})
    for path in folder.glob("*.parquet"):
        text += pq.read_table(path).to_pandas().to_csv() + str(pq.read_schema(path).metadata)
    assert pseudonym(story.study, ada) in text  # we do read what is there
    told = [part for person in (ada, ben) for part in (str(person.pk), person.user.email, person.user.first_name)]
    told += ["Leeds", "personalised", "fixed_sequence", "@"]
    assert [word for word in told if re.search(rf"\b{re.escape(word)}", text, re.IGNORECASE)] == []
    assert re.findall(r"\d{4}-\d{2}-\d{2}", text) == []
    assert re.findall(r"\d{1,2}:\d{2}", text) == []


def test_arms_are_letters_until_the_trial_is_unblinded(export, story, ada, rae, tmp_path):
    enrolment = ada.enrolments.get()
    who, letter = pseudonym(story.study, ada), story.labels()[enrolment.read_arm().pk]
    assert only(export("blind"), "people", person=who)["arm"] == letter
    trials.close(trial=story)
    trials.lock_plan(trial=story)
    tess, tom = (people.member(name, "trial_manager", story.study) for name in ("tess", "tom"))
    asked = trials.ask_to_unblind(trial=story, by=tom, reason="analysis")
    trials.decide_unblinding(request=asked, by=tess, approve=True)
    assert only(export("open"), "people", person=who)["arm"] == enrolment.read_arm().name


def test_an_erased_person_leaves_a_count_only(export, story, ada):
    who = pseudonym(story.study, ada)
    rights.erase(ada)
    folder = export()
    assert who not in "".join(path.read_text() for path in folder.glob("*.csv"))
    people_ = json.loads((folder / "manifest.json").read_text())["people"]
    assert people_ == {"candidate": 1, "erased": 1, "withdrawn": 1}


def test_a_pseudonym_is_of_one_study(study, ada):
    assert pseudonym(study, ada) == pseudonym(study, ada)
    assert pseudonym(study, ada) != pseudonym(people.study("other"), ada)
    assert re.fullmatch(r"P[A-Z2-7]{12}", pseudonym(study, ada))


def test_the_audit_says_who_why_how_much_and_what(export, rae):
    folder = export()
    event = AuditEvent.objects.get(action="research.exported")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert event.actor == str(rae.pk)
    assert event.details["reason"] == "primary analysis"
    assert event.details["rows"] == sum(manifest["rows"].values())
    assert event.details["sha256"] == Export.objects.get().sha256
    assert len(event.details["sha256"]) == 64


def test_the_command_writes_the_package(story, rae, tmp_path, capsys):
    call_command("export_trial", "calm-1", out=tmp_path / "a", by=rae.email, reason="primary analysis")
    assert "manifest SHA-256" in capsys.readouterr().out
    assert (tmp_path / "a" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"by": None}, "missing: --by"),
        ({"reason": "  "}, "missing: --reason"),
        ({"out": None, "reason": None}, "missing: --out, --reason"),
        ({"slug": "nowhere"}, "no trial nowhere"),
        ({"by": "nobody@example.org"}, "no user nobody@example.org"),
        ({"by": "tom@example.org"}, "tom@example.org cannot export calm-1: There is no such trial in your studies."),
        ({"by": "olaf@example.org"}, "olaf@example.org cannot export calm-1: There is no such trial in your studies."),
    ],
)
def test_the_command_refuses_in_one_line(story, rae, tom, tmp_path, change, says):
    people.member("olaf", "researcher", people.study("other"))
    given = {"slug": "calm-1", "out": tmp_path / "a", "by": rae.email, "reason": "primary analysis"} | change
    with pytest.raises(CommandError) as refused:
        call_command("export_trial", given.pop("slug"), **given)
    assert (str(refused.value), refused.value.returncode) == (says, 2)
    assert not (tmp_path / "a").exists()
    assert not Export.objects.exists()


def test_a_draft_has_nothing_to_export(study, rae, tmp_path):
    factories.load_dass21()
    with pytest.raises(services.NotSealed):
        services.export_to(trial=factories.trial(study), user=rae, reason="look", folder=tmp_path)


def test_the_registry_names_the_emotions_of_the_recognisers():
    assert columns.EMOTIONS == EMOTIONS
