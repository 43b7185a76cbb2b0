"""B5: expected reward given away per evening, in six worlds, by what people would use instead.

300 people, 56 evenings, ten test seeds per world. Every policy meets the same people with the same luck, hears the same
rewards (`OutcomeModel` of the recommender) and is mixed with the same share of chance, which the trial needs.

ours                       the reward head as the decision layer runs it, refitted every night, without the deep part;
                           it starts with a positive prior for activities that clinicians made for the emotion shown
ours, no rules             starts without that prior
ours, centred on the law   takes off features their mean under the sampling law, not that of all activities alike
mixed-effects, narrow      that peer drawing as narrowly as ours: what of the difference to it is due to that alone

regret  of the law that was drawn from: what people got.   learnt  of the policy's law before mixing.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from recommender import bandits, simulator
from recommender.bench import tables
from recommender.bench.cells import Cell
from recommender.trials import Played, play

WORLDS = ("linear-small", "linear-wild", "nonlinear", "drifting", "sensor", "heartsteps")
MISSPECIFIED = ("nonlinear", "drifting", "sensor", "heartsteps")
PEOPLE, SEEDS = 300, 10
COST = {  # share of a seed's minutes, for the order within it
    "uniform": 0.0, "oracle": 0.0, "popularity": 0.0, "clinician rules": 0.0, "EASE": 0.01, "LinUCB": 0.02,
    "ours": 0.3, "ours, no rules": 0.3, "ours, centred on the law": 0.31, "pooled regression": 0.31,
    "mixed-effects bandit": 0.32,
    "mixed-effects, narrow": 0.325, "LinTS": 0.33, "Vowpal Wabbit": 0.34,
}  # fmt: skip
OURS = ("ours", "ours, no rules", "ours, centred on the law")
NARROW = "mixed-effects, narrow"  # no peer: it borrows our setting
TITLES = {
    "regret": "Regret per evening of the law drawn from",
    "learnt": "Regret before mixing with chance",
    "worst_quarter": "75th percentile of people's own regret",
}


def cells(quick: bool) -> list[Cell]:
    """One seed of everything before the next one. Vowpal Wabbit only where it is installed."""
    here = [m for m in COST if m != "Vowpal Wabbit" or importlib.util.find_spec("vowpalwabbit")]
    worlds = ("linear-wild",) if quick else WORLDS
    methods = [m for m in here if not (quick and COST[m] > 0.32)]
    seeds = range(1 if quick else SEEDS)
    return [Cell("regret", m, w, seed, seed + COST[m]) for seed in seeds for w in worlds for m in methods]


def work(cell: Cell, data: Path) -> dict[str, Any]:
    world, residuals, rewards = prepared(cell.data, data)
    seed = world.test_seeds[cell.seed]
    cohort = world.cohort(PEOPLE, seed, residuals=residuals)
    played = play(cohort, bandits.make(cell.method, world, cohort, seed), rewards)
    return figures(played)


@lru_cache(maxsize=2)
def prepared(name: str, data: Path):
    """A world, the residuals it needs, and the rewards of its pilot."""
    world = simulator.load(name)
    residuals = simulator.heartsteps_residuals(data) if name == "heartsteps" else None
    return world, residuals, simulator.Rewards(world, residuals=residuals)


def figures(played: Played) -> dict[str, float]:
    """Means over person-evenings; of people the quarter that fares worst."""
    by_person = played.regret()
    done, late = played.done, played.done[:, 28:]
    values = {
        "regret": np.nanmean(played.best - played.value),
        "learnt": np.nanmean(played.best - played.own),
        "worst_quarter": np.nanquantile(by_person, 0.75),
        "completed": np.nanmean(done),
        "completed_late": np.nanmean(late) if np.isfinite(late).any() else np.nan,
    }
    return {name: round(float(value), 5) for name, value in values.items() if np.isfinite(value)}


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    if not lines:
        return tables.done(0, total)
    _figure(lines, out / "recommender-regret.png")
    missing = "" if any(line["method"] == "Vowpal Wabbit" for line in lines) else "Not run: Vowpal Wabbit.\n\n"
    parts = [tables.done(len(lines), total) + missing]
    for figure, title in TITLES.items():
        parts.append(f"{title}; mean over seeds.\n\n{_table(lines, figure)}\n")
    return "".join(parts) + _against(lines)


def _table(lines: list[dict[str, Any]], figure: str) -> str:
    rows = []
    for method in COST:
        means = [_mean(lines, method, world, figure) for world in WORLDS]
        if any(np.isfinite(means)):
            rows.append([method, *(f"{m:.4f}" if np.isfinite(m) else "-" for m in means)])
    counts = [len(_seeds(lines, world)) for world in WORLDS]
    return tables.markdown(["policy", *(f"{w} ({n})" for w, n in zip(WORLDS, counts, strict=True))], rows)


def _mean(lines: list[dict[str, Any]], method: str, world: str, figure: str) -> float:
    """Over the seeds that every policy has, so that the same people are compared."""
    known = _seeds(lines, world)
    mine = [x[figure] for x in lines if x["method"] == method and x["data"] == world and x["seed"] in known]
    return float(np.mean(mine)) if len(mine) == len(known) and known else np.nan


def _seeds(lines: list[dict[str, Any]], world: str) -> set[int]:
    """Seeds that every policy with a line in this world has finished."""
    done: dict[str, set[int]] = {}
    for line in lines:
        if line["data"] == world:
            done.setdefault(line["method"], set()).add(line["seed"])
    return set.intersection(*done.values()) if done else set()


def _against(lines: list[dict[str, Any]]) -> str:
    """Ours against the best peer of each world, in paired seeds."""
    rows = []
    for world in WORLDS:
        peers = {m: _mean(lines, m, world, "regret") for m in COST if m not in (*OURS, NARROW, "oracle")}
        peers = {m: v for m, v in peers.items() if np.isfinite(v)}
        for method in OURS:
            ours = _mean(lines, method, world, "regret")
            if peers and np.isfinite(ours):
                best = min(peers, key=lambda m: peers[m])
                floor = ours / peers.get("pooled regression", np.nan)
                narrow = ours / _mean(lines, NARROW, world, "regret")
                shares = [
                    f"{share:.1%}" if np.isfinite(share) else "-" for share in (ours / peers[best], floor, narrow)
                ]
                rows.append([world, method, best, *shares])
    header = ["world", "policy", "best peer", "of the best peer's regret", "of pooled regression's", f"of {NARROW}'s"]
    return tables.markdown(header, rows)


def _figure(lines: list[dict[str, Any]], path: Path) -> None:
    """Regret of every policy in every world, one point per seed."""
    plt = tables.plotting()
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.2), sharey=True)
    methods = [m for m in COST if m != "oracle" and any(line["method"] == m for line in lines)]
    for axis, world in zip(axes.flat, WORLDS, strict=True):
        for place, method in enumerate(methods):
            values = [x["regret"] for x in lines if x["data"] == world and x["method"] == method]
            colour = "#cc3311" if method in OURS else "#4477aa"
            axis.plot(values, [place] * len(values), "o", color=colour, markersize=4, alpha=0.7)
        title = f"{world} (oracle {_mean(lines, 'oracle', world, 'regret'):.3f})"
        axis.set(title=title, yticks=range(len(methods)), yticklabels=methods)
        axis.tick_params(labelsize=8)
        axis.grid(axis="x", alpha=0.3)
    axes[0, 0].invert_yaxis()
    figure.supxlabel("expected reward given away per evening (smaller is better); one point per seed", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
