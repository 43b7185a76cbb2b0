"""B3: what does an optimizer favour when there is nothing to be found?

The objective is a fresh N(0, 1) draw at every call, whatever the point: where the best one lies after 60 evaluations
in eight dimensions must be uniform over 500 runs. Tested per coordinate by Kolmogorov-Smirnov, Holm-corrected at
.01, on the best points; beside it the share of all evaluated coordinates in the outer 5 % of the cube's edge (2.5 % at
either end), which is 5 % for a method without a liking for bounds. (Structural bias: Kononova et al. 2015, Inf. Sci.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from recommender.bench import peers, tables
from recommender.bench.cells import Cell

DIMENSIONS, BUDGET, LEVEL, OUTER = 8, 60, 0.01, 0.025
RUNS, QUICK_RUNS, IN_A_CELL = 500, 50, 25
LEFT_OUT = ("Optuna GP", "dandelion, no landing")
MINUTES = {"GP with L-BFGS EI": 1.0, "dandelion": 0.5, "dandelion, no moves": 0.5, "Optuna TPE": 0.4}


def cells(quick: bool) -> list[Cell]:
    """Twenty-five runs each, numbered by their first run."""
    runs = QUICK_RUNS if quick else RUNS
    methods = [m for m in peers.METHODS if m not in LEFT_OUT and not (quick and "GP" in m)]
    data = f"noise, d {DIMENSIONS}, {BUDGET} evaluations"
    return [Cell("noise", m, data, first, MINUTES.get(m, 0.1)) for first in range(0, runs, IN_A_CELL) for m in methods]


def work(cell: Cell, data: Path) -> dict[str, Any]:
    """Best point of every run, and the share of everything asked that lies in the outer 5 %."""
    best, outer = [], []
    for seed in range(cell.seed, cell.seed + IN_A_CELL):
        points, values = one_run(cell.method, seed)
        best.append(np.round(points[np.argmin(values)], 6).tolist())
        outer.append(float(((points < OUTER) | (points > 1 - OUTER)).mean()))
    return {"best": best, "outer": [round(share, 4) for share in outer]}


def one_run(method: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points asked, (BUDGET, D), and their values; the noise has its own stream."""
    rng = np.random.default_rng([seed, 99])
    recorder = peers.run(method, lambda x: rng.standard_normal(), DIMENSIONS, BUDGET, seed)
    return np.array(recorder.points_), np.array(recorder.values_)


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    if not lines:
        return tables.done(0, total)
    rows, methods = [], list(dict.fromkeys(line["method"] for line in lines))
    for method in methods:
        mine = [line for line in lines if line["method"] == method]
        rows.append(verdict(method, np.vstack([line["best"] for line in mine]), [o for m in mine for o in m["outer"]]))
    rows.sort(key=lambda row: row["rejected"])
    _figure(lines, methods, out / "recommender-noise.png")
    header = ["method", "runs", "smallest p (Holm)", "coordinates rejected", "best points in outer 5 %", "all points"]
    body = [
        [
            row["method"],
            row["runs"],
            f"{row['p']:.2g}",
            f"{row['rejected']} of {DIMENSIONS}",
            f"{100 * row['outer_best']:.1f} %",
            f"{100 * row['outer_all']:.1f} %",
        ]
        for row in rows
    ]
    return tables.done(len(lines), total) + tables.markdown(header, body)


def verdict(method: str, best: np.ndarray, outer: list[float]) -> dict[str, Any]:
    """best: (runs, D) best points.   p: smallest Holm-adjusted p value over coordinates."""
    p = holm(np.array([stats.kstest(column, "uniform").pvalue for column in best.T]))
    share = float(((best < OUTER) | (best > 1 - OUTER)).mean())
    rejected = int((p < LEVEL).sum())
    means = {"outer_best": share, "outer_all": float(np.mean(outer))}
    return {"method": method, "runs": len(best), "p": float(p.min()), "rejected": rejected, **means}


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p values (1979, Scand. J. Stat.)."""
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    return adjusted[np.argsort(order)]


def _figure(lines: list[dict[str, Any]], methods: list[str], path: Path) -> None:
    """Distribution of the best points' coordinates, all of them together."""
    plt = tables.plotting()
    columns = 4
    rows = -(-len(methods) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(11, 2.1 * rows), sharex=True, squeeze=False)
    for axis in axes.flat[len(methods) :]:
        axis.axis("off")
    for axis, method in zip(axes.flat, methods, strict=False):
        values = np.concatenate([np.ravel(line["best"]) for line in lines if line["method"] == method])
        axis.hist(values, bins=20, range=(0, 1), density=True, color="#4477aa")
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_title(f"{method} ({len(values) // DIMENSIONS} runs)", fontsize=8)
        axis.tick_params(labelsize=7)
    figure.supxlabel("coordinate of the best point under pure noise; a flat histogram is right", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
