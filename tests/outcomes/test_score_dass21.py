"""`manage.py score_dass21 FILE.csv`, and the published figures of the DASS-42 data where they are at hand."""

import csv
import gzip
import io
import json
import os
import statistics
from collections import Counter
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from mhealth.outcomes import scoring
from tests.outcomes.instruments import BANDS, ITEMS, answers

DATA = Path(os.environ.get("DATA_DIR", Path(__file__).parents[2].parent / "shared" / "data")) / "dass42"
HEADER = "id," + ",".join(f"q{n}" for n in range(1, 22))


def score_file(path: Path) -> list[dict]:
    out = io.StringIO()
    call_command("score_dass21", str(path), stdout=out)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def line(row_id: str, row: list) -> str:
    return ",".join([row_id, *("" if value is None else str(value) for value in row)])


def test_each_line_is_scored_with_bands_missing_and_proration(tmp_path):
    rows = score_file(
        write(
            tmp_path / "answers.csv",
            line("a", answers(q3=3, q5=3, q10=3)),
            line("b", answers(q3=None, q5=3, q10=3, q13=2)),
            line("c", answers(q2=None, q4=None, q1=1)),
        )
    )
    assert rows[0] == {
        "id": "a",
        "depression": "18",
        "depression_band": "moderate",
        "depression_missing": "0",
        "depression_prorated": "0",
        "anxiety": "0",
        "anxiety_band": "normal",
        "anxiety_missing": "0",
        "anxiety_prorated": "0",
        "stress": "0",
        "stress_band": "normal",
        "stress_missing": "0",
        "stress_prorated": "0",
    }
    assert (rows[1]["depression"], rows[1]["depression_band"]) == ("18.666667", "moderate")
    assert (rows[1]["depression_missing"], rows[1]["depression_prorated"]) == ("1", "1")
    assert (rows[2]["anxiety"], rows[2]["anxiety_band"], rows[2]["anxiety_missing"]) == ("", "", "2")
    assert rows[2]["stress"] == "2"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (HEADER + "\n" + line("a", answers(q7=4)) + "\n", "line 2: q7 is '4'"),
        (HEADER + "\n" + line("a", answers()) + ",0\n", "line 2: 22 fields"),
        (HEADER.replace(",q21", "") + "\n", "look at q21"),
        (HEADER + ",q3\n", "look at q3"),
        ("", "look at id, q1"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_with_exit_code_2(tmp_path, text, complaint):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CommandError) as refusal:
        score_file(path)
    assert refusal.value.returncode == 2
    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    with pytest.raises(CommandError, match="No such file") as refusal:
        score_file(tmp_path / "none.csv")
    assert refusal.value.returncode == 2
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"\n\xff\xfe,1")
    with pytest.raises(CommandError, match="not UTF-8"):
        score_file(tmp_path / "latin.csv")


def test_the_rule_that_is_shipped_is_the_one_of_the_manual():
    from django.conf import settings

    from mhealth.outcomes.instruments import newest_definition

    shipped = newest_definition(settings.BASE_DIR / "fixtures" / "instruments", "dass21")
    assert {scale.slug: list(scale.items) for scale in shipped.scales} == ITEMS
    assert {scale.slug: dict(scale.bands) for scale in shipped.scales} == BANDS
    assert {(scale.multiplier, scale.max_missing) for scale in shipped.scales} == {(2, 1)}


# Figures of the 5,000 respondents: mean and SD of the doubled scores, alpha, people per band.
TARGETS = {
    "depression": (20.81, 12.25, 0.907, [1082, 425, 1062, 732, 1699]),
    "anxiety": (16.86, 10.88, 0.846, [1123, 320, 949, 591, 2017]),
    "stress": (19.94, 10.55, 0.854, [1783, 626, 950, 983, 658]),
}


@pytest.fixture(scope="module")
def respondents(tmp_path_factory) -> tuple[Path, list[list[int]]]:
    """The public DASS-42 answers as a file of DASS-21 answers."""
    if not DATA.exists():
        pytest.skip(f"no DASS-42 data at {DATA}; the constructed cases stand alone")
    mapping = json.loads((DATA / "dass21_mapping.json").read_text())["dass21_item_to_dass42_item"]
    with gzip.open(DATA / "dass42_5000.csv.gz", "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    column = {
        name.split("_")[0].removeprefix("dass"): name for name in rows[0] if name.startswith("dass") and "_" in name
    }
    people = [[int(row[column[str(mapping[str(n)])]]) - 1 for n in range(1, 22)] for row in rows]
    path = tmp_path_factory.mktemp("dass") / "answers.csv"
    return write(path, *(line(str(n), row) for n, row in enumerate(people))), people


@pytest.mark.parametrize("scale", TARGETS)
def test_the_public_respondents_score_as_published(respondents, scale):
    mean, sd, alpha, counts = TARGETS[scale]
    path, people = respondents
    rows = score_file(path)
    values = [float(row[scale]) for row in rows]
    assert len(values) == 5000
    assert round(statistics.fmean(values), 2) == mean
    assert round(statistics.stdev(values), 2) == sd
    found = Counter(row[f"{scale}_band"] for row in rows)
    assert [found[band] for band in BANDS[scale]] == counts
    items = [[row[item - 1] for item in ITEMS[scale]] for row in people]
    assert round(scoring.cronbach_alpha(items), 3) == alpha


def test_all_items_of_the_public_respondents_hang_together_as_published(respondents):
    assert round(scoring.cronbach_alpha(respondents[1]), 3) == 0.938
