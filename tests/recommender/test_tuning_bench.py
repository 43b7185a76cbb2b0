"""B2: tables are read and filled, bills are exact, and every tuner spends what it says."""

import json

import numpy as np
import pytest

from recommender.bench import tasks, tuning
from recommender.bench.peers import Spent
from recommender.bench.tuners import TUNERS, Tabulated, Trained
from recommender.dandelion import BudgetSpent
from recommender.space import Float, Int, Space

PLAIN = tasks.Task(
    "a bowl",
    Space({"x": Float(-1.0, 1.0), "n": Int(0, 9)}),
    (1, 3, 9),
    "steps",
    lambda config, split, data: [(config["x"] - 0.3) ** 2 + config["n"] / 100 + 1 / rung for rung in (1, 3, 9)],
)


@pytest.fixture
def bowl(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "CURVES", tmp_path)
    return tasks.table(PLAIN, 0, tmp_path, 60)


def test_a_table_is_measured_once_and_an_interrupted_one_goes_on(bowl, tmp_path):
    path = tmp_path / "a-bowl.jsonl"
    measured = path.read_text().splitlines()
    assert len(measured) == 60
    path.write_text("\n".join(measured[:20]) + "\n")
    again = tasks.table(PLAIN, 0, tmp_path, 60)
    assert (again.losses == bowl.losses).all()
    config = tasks.configuration(PLAIN, 0, 7)
    assert bowl.losses[7] == pytest.approx(PLAIN.curve(config, 0, tmp_path), abs=1e-5)
    assert bowl.nearest(PLAIN.space.encode(config)) == 7
    assert json.loads(path.read_text().splitlines()[30])["row"] == 30


def test_a_bill_charges_a_promoted_trial_only_for_what_is_added(bowl):
    bill, unit = Tabulated(PLAIN, bowl, budget=2), bowl.units[4]
    bill(unit, 0)
    assert bill.spent_ == pytest.approx(1 / 9)
    assert bill.curve_ == []
    assert bill(unit, 2, paid=0) == bowl.losses[4, 2]
    assert bill.curve_ == [(1.0, bowl.losses[4, 2])]
    bill(bowl.units[5])
    with pytest.raises(Spent):
        bill(unit, 0)


def test_a_row_is_sold_once_and_gone_on_with_as_often_as_asked(bowl):
    bill, unit = Tabulated(PLAIN, bowl, budget=30), bowl.units[4]
    assert bill(unit) == bowl.losses[4, -1]
    second = bowl.nearest(unit, {4})
    assert bill(unit) == bowl.losses[second, -1]
    assert bill(unit, 2, paid=0) == bowl.losses[second, -1]
    bought = {bill(bowl.units[4], 0) for _ in range(len(bowl.units) - 2)}
    assert bowl.losses[4, 0] not in bought
    assert bill(unit, 0) == bowl.losses[4, 0], "when all are sold it begins anew"


def test_trained_for_real_the_point_asked_for_is_the_point_told_of(tmp_path):
    bill, unit = Trained(PLAIN, 2, tmp_path, budget=3), np.array([0.25, 0.5])
    curve = PLAIN.curve(PLAIN.space.decode(unit), 2, tmp_path)
    assert bill(unit, 0) == curve[0]
    assert bill(unit, 2, paid=0) == curve[2]
    assert bill.curve_ == [(1.0, curve[2])]
    assert bill(unit) == curve[2], "asked again, it is paid again"
    assert bill.spent_ == pytest.approx(2)


@pytest.mark.parametrize("tuner", [tuner for tuner in TUNERS if "TPE" not in tuner])
def test_every_tuner_spends_its_budget_and_finds_a_good_row(tuner, bowl, tmp_path):
    bill = Tabulated(PLAIN, bowl, budget=14)
    with pytest.raises((Spent, BudgetSpent)):
        TUNERS[tuner](bill, PLAIN, 0, tasks.table(PLAIN, 1, tmp_path, 8))
    assert 13 < bill.spent_ <= 14
    assert bill.curve_[-1][1] <= np.quantile(bowl.losses[:, -1], 0.25)


def test_the_report_reads_the_cost_of_reaching_the_best_peers_end(tmp_path, monkeypatch):
    """The peer reaches .2 after twenty trainings, ours after five: a quarter; without rungs ours never does."""
    monkeypatch.setattr(tasks, "TASKS", {"a bowl": PLAIN})
    curves = {tuner: [(2.0, 0.9)] for tuner in TUNERS}
    curves |= {"BOHB-style": [(1.0, 0.5), (20.0, 0.2)], "dandelion": [(1.0, 0.6), (5.0, 0.1)]}
    lines = [{"data": "a bowl", "method": tuner, "seed": 0, "curve": curve} for tuner, curve in curves.items()]
    lines.append({"data": "a bowl", "method": "random", "seed": 1, "curve": [(1.0, 0.0)]})  # which nobody else has run
    report = tuning.report(lines, 99, tmp_path)
    row = next(line for line in report.splitlines() if line.startswith("| a bowl"))
    assert row.split(" | ")[:4] == ["| a bowl", "BOHB-style (0.2000)", "20.0", "25 %"]
    assert "not reached" in row
    assert (tmp_path / "recommender-tuning.png").exists()
    assert tuning.steps([(1.0, 0.5), (20.0, 0.2)])[[8, 9, 198, 199]].tolist() == [np.inf, 0.5, 0.5, 0.2]


@pytest.mark.parametrize("task", tasks.TASKS.values(), ids=tasks.TASKS)
def test_the_committed_tables_have_each_row_once_with_all_its_rungs(task):
    path = tasks.CURVES / f"{task.name.replace(' ', '-')}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    places = {(row["split"], row["row"]) for row in rows}
    assert len(places) == len(rows)
    assert places <= {(0, n) for n in range(tasks.ROWS)} | {(1, n) for n in range(tasks.EARLIER_ROWS)}
    assert all(len(row["losses"]) == len(task.rungs) for row in rows)


def test_a_row_of_a_committed_table_comes_out_again():
    """A row is found by its number alone: whoever changes a space must measure its table again."""
    task = tasks.TASKS["gradient boosting"]
    row = json.loads((tasks.CURVES / "gradient-boosting.jsonl").read_text().splitlines()[0])
    assert task.curve(tasks.configuration(task, 0, 0), 0, tasks.CURVES) == pytest.approx(row["losses"], abs=1e-4)
