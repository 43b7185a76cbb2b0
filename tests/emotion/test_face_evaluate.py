"""The contract of `evaluate`: every row counts, against scikit-learn as oracle."""

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from emotion.estimate import EMOTIONS, Estimate
from emotion.evaluate import (
    BadManifest,
    Outcome,
    Row,
    confidence_scores,
    first_rows,
    read_manifest,
    report,
    scores,
    uar_interval,
)


def said(emotion, confidence=0.7, abstained=False):
    p = np.full(7, (1 - confidence) / 6)
    p[EMOTIONS.index(emotion)] = confidence
    return Outcome(Estimate(p, quality=1.0, model_version="test", abstained=abstained))


def row(emotion, person="p1"):
    return Row(Path("x.png"), EMOTIONS.index(emotion), person)


def test_figures_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 7, 500)
    predicted = np.where(rng.random(500) < 0.6, truth, rng.integers(0, 7, 500))
    found = scores(truth, predicted)
    assert found["uar"] == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    precision = metrics.precision_score(truth, predicted, average=None)
    assert [found["per_class"][e]["precision"] for e in EMOTIONS] == pytest.approx(precision)
    assert np.array(found["confusion"]["rows"])[:, :-1].tolist() == metrics.confusion_matrix(truth, predicted).tolist()


def test_an_unusable_row_counts_as_wrong_and_is_told_with_its_reason():
    rows = [row("happiness"), row("happiness"), row("sadness"), row("sadness")]
    outcomes = [said("happiness"), Outcome(reason="no_face"), said("sadness"), said("sadness")]
    found = report(rows, outcomes)
    assert found["n"] == 4
    assert found["accuracy"] == pytest.approx(3 / 4)
    assert found["uar"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["unusable"] == {"count": 1, "reasons": {"no_face": 1}}
    everything_read = report(rows, [said("happiness"), said("happiness"), said("sadness"), said("sadness")])
    assert everything_read["uar"] == 1.0
    assert everything_read["unusable"] == {"count": 0, "reasons": {}}


def test_a_class_that_does_not_occur_leaves_the_uar_alone():
    rows = [row("anger"), row("anger"), row("fear")]
    found = report(rows, [said("anger"), said("disgust"), said("fear")])
    assert found["uar"] == pytest.approx((1 / 2 + 1) / 2)
    assert set(found["per_class"]) == {"anger", "fear"}


def test_abstention_is_counted_but_never_excused():
    rows = [row("anger"), row("fear")]
    found = report(rows, [said("anger"), said("anger", abstained=True)])
    assert found["abstained"] == 1
    assert found["accuracy"] == 0.5


def test_a_manifest_of_which_nothing_could_be_read_scores_zero():
    found = report([row("anger")], [Outcome(reason="broken_file")])
    assert (found["uar"], found["accuracy"], found["ece"]) == (0.0, 0.0, None)


def test_an_honest_confidence_has_little_calibration_error_and_a_boast_has_much():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 0.95, 5000)
    truth = np.where(rng.random(5000) < confidence, 0, 1)

    def distributions(top):
        return np.column_stack([top, *[(1 - top) / 6] * 6])

    assert confidence_scores(truth, distributions(confidence))["ece"] < 0.03
    assert abs(confidence_scores(truth, distributions(confidence))["ece_beyond_chance"]) < 0.015
    assert confidence_scores(truth, distributions(np.full(5000, 0.95)))["ece"] > 0.25


def test_the_interval_covers_the_figure_and_narrows_with_more_people():
    rng = np.random.default_rng(0)

    def width(people):
        truth = np.tile(np.arange(7), people)
        predicted = np.where(rng.random(len(truth)) < 0.7, truth, (truth + 1) % 7)
        low, high = uar_interval(truth, predicted, np.repeat(np.arange(people), 7), rng)
        assert low <= scores(truth, predicted)["uar"] <= high
        return high - low

    assert width(200) < width(20) / 2


def test_the_first_rows_of_each_person_are_found_in_the_order_of_the_file():
    rows = [row("anger", who) for who in "aabab"]
    assert first_rows(rows, 2).tolist() == [True, True, True, False, True]
    assert first_rows(rows, 0).tolist() == [False] * 5


def write(folder, lines, header="path,label,person"):
    path = folder / "m.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_paths_are_relative_to_the_manifest_or_absolute(tmp_path):
    rows = read_manifest(write(tmp_path, ["a/b.png,fear,7", "/data/c.png, anger ,8"]))
    assert rows[0] == Row(tmp_path / "a" / "b.png", EMOTIONS.index("fear"), "7")
    assert rows[1].path == Path("/data/c.png")


@pytest.mark.parametrize(
    ("header", "lines", "complaint"),
    [
        ("path,label", ["a.png,anger"], "column person is missing"),
        ("path,label,person", ["a.png,anger,1", "b.png,angry,1"], "line 3: label 'angry' is not one of"),
        ("path,label,person", [",anger,1"], "line 2: no path"),
        ("path,label,person", [], "no rows"),
        ("path,label,person", ["a.png"], "line 2: label ''"),
    ],
)
def test_a_faulty_manifest_is_refused_with_its_line(tmp_path, header, lines, complaint):
    with pytest.raises(BadManifest, match=complaint):
        read_manifest(write(tmp_path, lines, header))


def test_a_manifest_written_by_a_spreadsheet_is_read(tmp_path):
    path = tmp_path / "m.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["person", "path", "label"], ["1", "ä, b.png", "neutral"]])
    assert read_manifest(path)[0].path.name == "ä, b.png"
