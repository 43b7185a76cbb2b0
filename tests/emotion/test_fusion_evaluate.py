"""`python -m emotion evaluate fusion`, as a user types it."""

import csv
import json

import numpy as np
import pytest

from emotion.__main__ import main
from emotion.fusion import STRATEGIES, posteriors, protocol

CLASSES = ("calm", "sad", "tense")
HEADER = ["clip", "person", "label", *[f"voice_{c}" for c in CLASSES], *[f"face_{c}" for c in CLASSES]]


def rows_of(person, count, rng, swapped=False, start=0):
    """The voice is often right; the face is right, but of a swapped person it says sad for tense and tense for sad."""
    for clip in range(start, start + count):
        truth = int(rng.integers(3))
        shown = (0, 2, 1)[truth] if swapped else truth
        heard = truth if rng.random() < 0.6 else int(rng.integers(3))
        cells = np.concatenate([np.eye(3)[heard] * 0.4 + 0.2, np.eye(3)[shown] * 0.7 + 0.1])
        yield [f"c{clip}", person, CLASSES[truth], *[f"{x:.3f}" for x in cells]]


def write(path, lines, header=HEADER):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    return path


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    lines = [line for i in range(6) for line in rows_of(f"p{i}", 30, rng, swapped=i % 2 == 1)]
    return write(tmp_path / "e5.csv", [*lines, *rows_of("short", 20, rng)])


def result(table, tmp_path, *more):
    out = tmp_path / "out.json"
    assert main(["evaluate", "fusion", "--posteriors", str(table), "--out", str(out), *more]) == 0
    return json.loads(out.read_text())


def test_all_strategies_are_judged_on_the_same_clips_for_every_k(table, tmp_path, capsys):
    found = result(table, tmp_path)
    assert set(found["strategies"]) == set(STRATEGIES)
    assert found["classes"] == list(CLASSES)
    assert (found["people"], found["people_too_short"], found["n"]) == (6, ["short"], 200)
    ours, product = found["strategies"]["best_modality"], found["strategies"]["product"]
    assert set(ours) == {"0", "5", "10", "20"}
    assert ours["20"]["accuracy"] > ours["0"]["accuracy"] + 0.1  # half of the faces are swapped
    assert product["0"] == product["20"]  # knows nobody
    gain = ours["20"]["difference_to_product"]
    assert gain["accuracy"] == pytest.approx(ours["20"]["accuracy"] - product["20"]["accuracy"])
    assert gain["accuracy_interval_95"][0] < gain["accuracy"] < gain["accuracy_interval_95"][1]
    assert {"uar", "accuracy", "macro_f1", "ece", "uar_interval_95"} <= set(ours["0"])
    assert "best_modality" in capsys.readouterr().out


def test_the_product_of_a_known_table_scores_what_can_be_counted(tmp_path):
    """Every clip says its truth, but for those of one person, whose face and voice are both wrong."""
    right, wrong = [0.8, 0.1, 0.1, 0.8, 0.1, 0.1], [0.1, 0.8, 0.1, 0.1, 0.8, 0.1]
    lines = [
        [f"c{i}", p, "calm", *(wrong if p == "p3" else right)] for p in ("p1", "p2", "p3", "p4") for i in range(22)
    ]
    table = posteriors.read(write(tmp_path / "t.csv", lines))
    found = protocol.run(table, strategies={"product": STRATEGIES["product"]}, shuffles=3)
    said = found.predictions["product", 0]
    assert len(said.row) == 4 * 3 * 2  # people, shuffles, clips after the 20th
    assert np.mean(said.probabilities.argmax(1) == 0) == 0.75


def test_labels_after_the_kth_are_never_used(table):
    """Change the labels of everything but the first five clips of the one shuffle: what is said stays."""
    read = posteriors.read(table)
    people = {"best_modality": STRATEGIES["best_modality"]}
    order = np.random.default_rng(0).permutation(np.flatnonzero(read.people == "p0"))

    def said(table, k):
        found = protocol.run(table, read, strategies=people, known=(5, 20), shuffles=1)
        mine = table.people[found.predictions["best_modality", k].row] == "p0"
        return found.predictions["best_modality", k].probabilities[mine]

    truth = read.truth.copy()
    truth[order[5:]] = (truth[order[5:]] + 1) % 3
    other = posteriors.Table(read.classes, read.posteriors, truth, read.people, read.clips)
    assert (said(read, 5) == said(other, 5)).all()
    assert not np.allclose(said(read, 20), said(other, 20))


def judged(table, population=None):
    strategies = {name: STRATEGIES[name] for name in ("best_modality", "attention")}
    return protocol.run(table, population, strategies=strategies, known=(0, 10), shuffles=2).predictions


def alike(some, others):
    return all(np.allclose(some[key].probabilities, others[key].probabilities) for key in some)


def test_of_a_population_file_the_person_s_own_rows_are_left_out(table):
    read = posteriors.read(table)
    assert alike(judged(read), judged(read, read))
    assert not alike(judged(read.take(read.people != "p5")), judged(read.take(read.people != "p5"), read))


def test_a_population_may_list_its_classes_in_another_order_and_judge_one_person(table, tmp_path):
    header, *lines = csv.reader(table.read_text().splitlines())
    order = [0, 1, 2, 5, 3, 4, 8, 6, 7]
    turned = write(tmp_path / "o.csv", [[x[i] for i in order] for x in lines], [header[i] for i in order])
    read = posteriors.read(table)
    one = read.take(read.people == "p1")
    assert posteriors.read(turned).classes == ("tense", "calm", "sad")
    assert alike(judged(one, read), judged(one, posteriors.read(turned)))


def test_a_missing_modality_is_an_empty_cell_and_text_joins_in(tmp_path):
    rng = np.random.default_rng(1)
    header = [*HEADER, *[f"text_{c}" for c in CLASSES]]
    lines = [[*line, "0.2", "0.3", "0.5"] for i in range(3) for line in rows_of(f"p{i}", 24, rng)]
    for i, line in enumerate(lines):
        if i % 3 == 0:
            line[6:9] = ["", "", ""]
        if i % 4 == 0:
            line[9:] = ["", "", ""]
    read = posteriors.read(write(tmp_path / "t.csv", lines, header))
    assert sorted(read.posteriors) == ["face", "text", "voice"]
    assert np.isnan(read.posteriors["face"][0]).all()
    found = protocol.run(read, known=(0, 5), shuffles=1)
    for key, said in found.predictions.items():
        assert np.isfinite(said.probabilities).all(), key
        assert said.probabilities.sum(1) == pytest.approx(1), key


GOOD = ["c1", "p", "calm", ".8", ".1", ".1", ".8", ".1", ".1"]


@pytest.mark.parametrize(
    ("header", "line", "complaint"),
    [
        (HEADER[1:], GOOD[1:], "column clip is missing"),
        (HEADER[:6], GOOD[:6], "no column face_<class>"),
        ([*HEADER[:8], "face_glad"], GOOD, "voice and face have different classes"),
        (HEADER, ["c1", "p", "glad", *GOOD[3:]], "line 2: label 'glad' is not one of calm, sad, tense"),
        (HEADER, ["c1", "", *GOOD[2:]], "line 2: no person"),
        (HEADER, [*GOOD[:3], "", *GOOD[4:]], "line 2: some voice cells are empty"),
        (HEADER, [*GOOD[:3], "high", *GOOD[4:]], "line 2: voice holds something that is no number"),
        (HEADER, [*GOOD[:3], "nan", *GOOD[4:]], "line 2: voice is not a distribution"),
        (HEADER, [*GOOD[:3], ".9", *GOOD[4:]], "line 2: voice is not a distribution"),
        (HEADER, GOOD, "nobody has more than 20 clips"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_a_bad_table_is_one_line_and_exit_code_2(header, line, complaint, tmp_path, capsys):
    table = write(tmp_path / "bad.csv", [line], header)
    assert main(["evaluate", "fusion", "--posteriors", str(table), "--out", str(tmp_path / "o.json")]) == 2
    told = capsys.readouterr().err
    assert complaint in told
    assert told.count("\n") == 1
    assert not (tmp_path / "o.json").exists()


def test_a_person_alone_has_nobody_to_learn_from(tmp_path, capsys):
    table = write(tmp_path / "one.csv", list(rows_of("p", 30, np.random.default_rng(0))))
    assert main(["evaluate", "fusion", "--posteriors", str(table), "--out", str(tmp_path / "o.json")]) == 2
    assert "no other people" in capsys.readouterr().err
    assert main(["evaluate", "fusion", "--out", str(tmp_path / "o.json")]) == 2
    assert "--posteriors is missing" in capsys.readouterr().err
