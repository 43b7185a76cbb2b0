"""B2: the cost of tuning real models, on tables measured once (`recommender.bench.tasks`), and trained for real.

Everybody may spend thirty full trainings. Read off: what it costs to reach the loss at which the best peer ends.
A cell is one tuner on one task with one seed. "…, trained" asks no table: each configuration that a tuner thinks of is
trained on a split of the data that no table was measured on.
"""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from recommender.bench import tables, tasks
from recommender.bench.cells import Cell
from recommender.bench.peers import Spent
from recommender.bench.tuners import BUDGET, TUNERS, Bill, Tabulated, Trained
from recommender.dandelion import BudgetSpent

SEEDS, TRAINED_SEEDS = 10, 3
TRAINED, TRAINED_SPLIT = ", trained", 2  # tables hold splits 0 and 1
COSTS = np.round(np.arange(1, 10 * BUDGET + 1) / 10, 1)  # full trainings


def cells(quick: bool) -> list[Cell]:
    kinds = [("", 2 if quick else SEEDS, 0.01), (TRAINED, 0 if quick else TRAINED_SEEDS, 0.3)]
    return [
        Cell("tuning", tuner, task + kind, seed, minutes * (seed + 1))
        for kind, seeds, minutes in kinds
        for seed in range(seeds)
        for task in tasks.TASKS
        for tuner in TUNERS
    ]


def work(cell: Cell, data: Path) -> dict[str, Any]:
    """Where the smallest loss after a full training improves: (cost, loss)."""
    name = cell.data.removesuffix(TRAINED)
    task = tasks.TASKS[name]
    trained = cell.data.endswith(TRAINED)
    bill: Bill = Trained(task, TRAINED_SPLIT, data) if trained else Tabulated(task, _table(name, 0, tasks.ROWS, data))
    with contextlib.suppress(Spent, BudgetSpent):
        TUNERS[cell.method](bill, task, cell.seed, _table(name, 1, tasks.EARLIER_ROWS, data))
    return {"curve": bill.curve_}


@cache
def _table(name: str, split: int, rows: int, data: Path) -> tasks.Table:
    return tasks.table(tasks.TASKS[name], split, data, rows)


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    """Per task, what every variant of ours pays for the loss that the best peer ends with."""
    text, curves = tables.done(len(lines), total), _curves(lines)
    tabulated, trained = ([task + kind for task in tasks.TASKS] for kind in ("", TRAINED))
    shown = [
        [task for task in part if all((task, tuner) in curves for tuner in TUNERS)] for part in (tabulated, trained)
    ]
    if not any(shown):
        return text + "Too few cells for a comparison.\n"
    for part, name in zip(shown, ("recommender-tuning.png", "recommender-tuning-trained.png"), strict=True):
        if part:
            _figure(curves, part, out / name)
            text += _ratios(curves, part) + "\n" + _ends(curves, part) + "\n"
    return text


def _ratios(curves: dict[tuple[str, str], np.ndarray], shown: list[str]) -> str:
    ours = [tuner for tuner in TUNERS if tuner.startswith("dandelion")]
    rivals = [tuner for tuner in TUNERS if tuner not in ours]
    body: list[list[str]] = []
    ratios: dict[str, list[float]] = {tuner: [] for tuner in ours}
    for task in shown:
        best = min(
            rivals, key=lambda tuner: (curves[task, tuner][-1], _reached(curves[task, tuner], curves[task, tuner][-1]))
        )
        level = curves[task, best][-1]
        cost = _reached(curves[task, best], level)
        for tuner in ours:
            ratios[tuner].append(_reached(curves[task, tuner], level) / cost)
        body.append([task, f"{best} ({level:.4f})", f"{cost:.1f}", *(_share(ratios[tuner][-1]) for tuner in ours)])
    body.append(["middle of the tasks", "", "", *(_share(float(np.median(ratios[tuner]))) for tuner in ours)])
    return tables.markdown(["task", "best peer (its loss at the end)", "its cost", *ours], body)


def _curves(lines: list[dict[str, Any]]) -> dict[tuple[str, str], np.ndarray]:
    """Median over the seeds that all tuners of a task have: the smallest loss so far, on COSTS, infinite at first."""
    found: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for line in lines:
        found.setdefault((line["data"], line["method"]), {})[line["seed"]] = steps(line["curve"])
    medians = {}
    for (task, tuner), curves in found.items():
        common = set.intersection(*(set(other) for (of, _), other in found.items() if of == task))
        if common:
            medians[task, tuner] = np.median([curves[seed] for seed in sorted(common)], axis=0)
    return medians


def steps(curve: list[tuple[float, float]]) -> np.ndarray:
    """A falling step function on COSTS."""
    costs, losses = (np.array([point[i] for point in curve], dtype=float) for i in (0, 1))
    known = np.searchsorted(costs, COSTS + 1e-3, side="right")
    return np.concatenate([[np.inf], losses])[known]


def _reached(curve: np.ndarray, level: float) -> float:
    """The first cost at which the curve is as low; infinite if it never is."""
    there = np.flatnonzero(curve <= level + 1e-12)
    return float(COSTS[there[0]]) if len(there) else np.inf


def _share(ratio: float) -> str:
    return "not reached" if np.isinf(ratio) else f"{100 * ratio:.0f} %"


def _ends(curves: dict[tuple[str, str], np.ndarray], shown: list[str]) -> str:
    """Median loss after ten and after all full trainings."""
    ten = int(np.flatnonzero(COSTS == 10)[0])
    body = [
        [tuner, *(f"{curves[task, tuner][ten]:.4f} / {curves[task, tuner][-1]:.4f}" for task in shown)]
        for tuner in TUNERS
    ]
    return tables.markdown([f"loss at 10 / {BUDGET} trainings", *shown], body)


def _figure(curves: dict[tuple[str, str], np.ndarray], shown: list[str], path: Path) -> None:
    plt = tables.plotting()
    figure, axes = plt.subplots(1, len(shown), figsize=(max(3.2 * len(shown), 9), 4), squeeze=False)
    for axis, task in zip(axes.flat, shown, strict=True):
        lowest = min(curves[task, tuner][-1] for tuner in TUNERS)
        for tuner in TUNERS:
            ours = tuner.startswith("dandelion")
            style = (
                {"linewidth": 2.2, "linestyle": "-" if "no rungs" not in tuner else "--"} if ours else {"linewidth": 1}
            )
            axis.plot(COSTS, curves[task, tuner] - lowest + 1e-4, label=tuner, **style)
        axis.set_yscale("log")
        axis.set_title(task, fontsize=9)
        axis.tick_params(labelsize=7)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=5, fontsize=7)
    figure.supxlabel("cost in full trainings", fontsize=9)
    figure.supylabel("median loss above the lowest found", fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.9))
    figure.savefig(path, dpi=130)
    plt.close(figure)
