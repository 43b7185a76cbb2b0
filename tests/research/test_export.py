import filecmp
import json
import re
from collections import Counter
from datetime import timedelta

import pyarrow.parquet as pq
import pyreadstat
import pytest
from django.core.management import CommandError, call_command

from emotion.estimate import EMOTIONS
from mhealth.people import rights
from mhealth.platform.models import AuditEvent
from mhealth.research import columns, package, services, tabular
from mhealth.research.cohort import Cohort, pseudonym
from mhealth.research.models import Export
from mhealth.trials import services as trials
from tests import factories as people
from tests.research.conftest import check_in, earlier, only, rows, unblind
from tests.trials import factories

pytestmark = pytest.mark.django_db


def test_the_same_data_give_the_same_bytes(export):
    first, second = export("first"), export("second")
    names = sorted(path.name for path in first.iterdir())
    assert len(names) == 4 + 2 * 6 + 2 + 2 + 4
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
    assert [row["planned_day"] for row in (baseline, week_2, week_4)] == ["-3", "14", "42"]


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


def test_engagement_runs_from_enrolment_to_the_end_of_participation(export, story, ada):
    folder, who = export(), pseudonym(story.study, ada)
    weeks = {row["week"]: row for row in rows(folder, "engagement") if row["person"] == who}
    assert [(week, row["days"]) for week, row in weeks.items()] == [("-1", "3"), ("0", "7"), ("1", "7"), ("2", "1")]
    assert (weeks["-1"]["questionnaires_planned"], weeks["-1"]["questionnaires_answered"]) == ("1", "1")
    assert (weeks["0"]["check_ins"], weeks["0"]["check_ins_read"]) == ("2", "1")
    assert (weeks["1"]["check_ins"], weeks["1"]["check_ins_read"]) == ("0", "0")
    assert (weeks["0"]["activities_offered"], weeks["0"]["activities_shown"]) == ("1", "1")  # on day 6
    assert (weeks["0"]["activities_completed"], weeks["1"]["activities_completed"]) == ("0", "1")
    assert (weeks["2"]["questionnaires_planned"], weeks["2"]["questionnaires_answered"]) == ("1", "1")


def test_what_somebody_does_before_enrolment_or_after_leaving_is_not_of_the_trial(export, story, ada):
    who = pseudonym(story.study, ada)
    check_in(ada, 30)
    withdrawal = trials.withdraw(enrolment=ada.enrolments.get(), kind="stop")
    earlier(withdrawal, timedelta(days=8), "recorded_at")
    weeks = {row["week"]: row for row in rows(export(), "engagement") if row["person"] == who}
    assert [(week, row["days"]) for week, row in weeks.items()] == [("-1", "3"), ("0", "7")]
    assert (weeks["0"]["check_ins"], weeks["0"]["questionnaires_planned"]) == ("2", "0")


def test_the_change_since_baseline_is_by_the_reliable_change_index(export, story, ada):
    """Depression 28 after 14 (SD 7.74, reliability .88): 14 / (7.74 * sqrt(2) * sqrt(.12)) = 3.69."""
    folder, who = export(), pseudonym(story.study, ada)
    week_2 = only(folder, "occasions_wide", person=who, occasion="week 2")
    assert round(float(week_2["dass21_depression_rci"]), 2) == 3.69
    assert week_2["dass21_depression_change"] == "deteriorated"
    baseline = only(folder, "occasions_wide", person=who, occasion="baseline")
    assert (baseline["dass21_depression_rci"], baseline["dass21_depression_change"]) == ("", "")


def test_every_column_is_filled_by_somebody(export):
    """A column that stays empty in this story would hide a misspelt name."""
    folder = export()
    for table in [*tabular.ROWS, "answers_long"]:
        if not (folder / f"{table}.csv").exists():
            continue
        empty = [name for name in rows(folder, table)[0] if not any(row[name] for row in rows(folder, table))]
        assert empty == []


def test_an_unregistered_column_does_not_leave(export, monkeypatch):
    monkeypatch.setitem(tabular.ROWS, "people", lambda cohort: iter([{"person": "P1", "email": "ada@example.org"}]))
    with pytest.raises(tabular.UnregisteredColumn, match="email"):
        export()


def test_nobody_can_be_told_from_a_file(export, story, ada, ben):
    folder = export()
    text = "".join(path.read_text() for path in folder.iterdir() if path.suffix in {".csv", ".txt", ".ndjson"})
    text = text.replace(f"Data cut-off: {Cohort(story).cut_off:%Y-%m-%d %H:%M:%S} UTC", "")  # the only moment told
    for kind, read in (("sav", pyreadstat.read_sav), ("dta", pyreadstat.read_dta)):
        frame, meta = read(folder / f"occasions_wide.{kind}")
        text += frame.to_csv() + str(meta.column_labels) + str(meta.variable_value_labels) + str(meta.notes)
    for path in folder.glob("*.parquet"):
        text += pq.read_table(path).to_pandas().to_csv() + str(pq.read_schema(path).metadata)
    assert pseudonym(story.study, ada) in text  # we do read what is there
    told = [part for person in (ada, ben) for part in (str(person.pk), person.user.email, person.user.first_name)]
    told += ["Leeds", "personalised", "fixed_sequence", "@"]
    assert [word for word in told if re.search(rf"\b{re.escape(word)}", text, re.IGNORECASE)] == []
    assert re.findall(r"\d{4}-\d{2}-\d{2}", text) == []
    assert re.findall(r"\d{1,2}:\d{2}", text) == []


def test_arms_are_letters_until_the_trial_is_unblinded(export, story, ada):
    enrolment = ada.enrolments.get()
    who, letter = pseudonym(story.study, ada), story.labels()[enrolment.read_arm().pk]
    assert only(export("blind"), "people", person=who)["arm"] == letter
    unblind(story)
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
