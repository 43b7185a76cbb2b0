"""B1: eight functions, shifted and rotated, in four and eight dimensions; equal budgets for everybody.

One run of 200 evaluations per method, function, dimension and seed, read at 50, 100 and 200. That handicaps the
methods that plan with their budget (ours, the published dandelion, L-SHADE): at 50 they are still spreading out.
A cell is one method in one dimension with one seed: all eight functions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from recommender.bench import peers, tables
from recommender.bench.cells import Cell
from recommender.bench.functions import FUNCTIONS, function

READ_AT, SEEDS, OURS = (50, 100, 200), 15, "dandelion"
MINUTES = {"GP with L-BFGS EI": 0.3, "Optuna TPE": 0.03, "CMA-ES": 0.01}
ABLATIONS = tuple(method for method in peers.METHODS if method.startswith("dandelion, no"))


def cells(quick: bool) -> list[Cell]:
    """Cheap methods and low seeds first; Optuna's Gaussian process takes a minute and a half a cell: left out."""
    methods = [m for m in peers.METHODS if m != "Optuna GP" and not (quick and m == "GP with L-BFGS EI")]
    return [
        Cell("optimizer", m, f"8 functions, d {d}", seed, _minutes(m) * d / 4 + seed)
        for seed in range(1 if quick else SEEDS)
        for d in (4, 8)
        for m in methods
    ]


def _minutes(method: str) -> float:
    return MINUTES.get(method, 0.1 if method.startswith("dandelion") and "paper" not in method else 0.01)


def work(cell: Cell, data: Path) -> dict[str, Any]:
    """Best value so far after each of READ_AT evaluations, by function."""
    d = int(cell.data.rsplit(" ", 1)[1])
    return {"best": {name: one_run(cell.method, name, d, cell.seed) for name in FUNCTIONS}}


def one_run(method: str, name: str, d: int, seed: int) -> list[float]:
    recorder = peers.run(method, function(name, d, seed), d, max(READ_AT), seed)
    lowest = np.minimum.accumulate(recorder.values_)
    return [float(lowest[min(n, len(lowest)) - 1]) for n in READ_AT]


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    problems, methods, values = complete(lines)
    text = tables.done(len(lines), total)
    if len(problems) < 2 or OURS not in methods:
        return text + "Too few cells for a comparison.\n"
    text += (
        f"{len(problems)} problems (function, dimension, seed) that all of {len(methods)} methods have finished.\n\n"
    )
    header = ["method", *(f"mean rank at {n}" for n in READ_AT), *(f"ours better at {n}" for n in READ_AT)]
    ranks = np.stack([stats.rankdata(values[:, :, k], axis=1) for k in range(len(READ_AT))], axis=2).mean(axis=0)
    body = [
        [
            methods[m],
            *(f"{rank:.2f}" for rank in ranks[m]),
            *(_wins(values, methods.index(OURS), m, k) for k in range(len(READ_AT))),
        ]
        for m in np.argsort(ranks[:, 1])
    ]
    _differences(ranks, methods, len(problems), out / "recommender-optimizer-ranks.png")
    _regrets(values, methods, problems, out / "recommender-optimizer-regret.png")
    return text + tables.markdown(header, body)


def complete(lines: list[dict[str, Any]]) -> tuple[list[tuple], list[str], np.ndarray]:
    """Problems that every method has finished, the methods, and best values (problems, methods, READ_AT)."""
    methods = [m for m in peers.METHODS if any(line["method"] == m for line in lines)]
    found = {
        (name, line["data"], line["seed"], line["method"]): best
        for line in lines
        for name, best in line["best"].items()
    }
    everywhere = {(n, d, s) for n, d, s, _ in found if all((n, d, s, m) in found for m in methods)}
    problems = sorted(everywhere)
    return problems, methods, np.array([[found[*p, m] for m in methods] for p in problems])


def _wins(values: np.ndarray, ours: int, other: int, k: int) -> str:
    """Share of problems on which we are strictly better, ties counting half."""
    if ours == other:
        return "–"
    a, b = values[:, ours, k], values[:, other, k]
    return f"{100 * ((a < b).mean() + 0.5 * (a == b).mean()):.0f} %"


def critical_difference(methods: int, problems: int, level: float = 0.05) -> float:
    """Smallest difference of mean ranks that is significant by Nemenyi's test (Demsar 2006, JMLR, eq. 5)."""
    q = stats.studentized_range.ppf(1 - level, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * problems)))


def _differences(ranks: np.ndarray, methods: list[str], problems: int, path: Path) -> None:
    """Mean ranks with bars of the critical difference around ours."""
    plt, reach = tables.plotting(), critical_difference(len(methods), problems)
    figure, axes = plt.subplots(1, len(READ_AT), figsize=(12, 0.28 * len(methods) + 1.4), sharey=True)
    order = np.argsort(-ranks[:, 1])
    for k, (axis, n) in enumerate(zip(axes, READ_AT, strict=True)):
        mine = ranks[methods.index(OURS), k]
        axis.axvspan(mine - reach, mine + reach, color="#ddcc77", alpha=0.4)
        axis.plot(ranks[order, k], range(len(methods)), "o", color="#4477aa")
        axis.plot([mine], [list(order).index(methods.index(OURS))], "o", color="#cc6677")
        axis.set_title(f"after {n} evaluations", fontsize=9)
        axis.set_xlabel("mean rank (1 is best)", fontsize=8)
        axis.set_xlim(0.5, len(methods) + 0.5)
    axes[0].set_yticks(range(len(methods)), [methods[m] for m in order], fontsize=8)
    figure.suptitle(f"Within the band: not told apart from ours (Nemenyi, .05, {problems} problems)", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _regrets(values: np.ndarray, methods: list[str], problems: list[tuple], path: Path) -> None:
    """Median best value by function in the most dimensions that are finished, against the evaluations spent."""
    plt, most = tables.plotting(), max(data for _, data, _ in problems)
    figure, axes = plt.subplots(2, 4, figsize=(13, 6), sharex=True)
    shown = [m for m in methods if m not in ABLATIONS]
    for axis, name in zip(axes.flat, FUNCTIONS, strict=True):
        chosen = [i for i, p in enumerate(problems) if p[0] == name and p[1] == most]
        for method in shown if chosen else []:
            curve = np.median(values[chosen, methods.index(method)], axis=0)
            style = {"color": "#cc6677", "linewidth": 2.5} if method == OURS else {"linewidth": 1}
            axis.plot(READ_AT, np.maximum(curve, 1e-9), marker="o", markersize=3, label=method, **style)
        axis.set_yscale("log")
        axis.set_title(f"{name}, {most.split(', ')[1]}", fontsize=9)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(shown), fontsize=7)
    figure.supxlabel("evaluations", fontsize=9)
    figure.supylabel("median best value (0 is the optimum)", fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    figure.savefig(path, dpi=130)
    plt.close(figure)
