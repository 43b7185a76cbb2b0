"""B8: estimates of what another policy would have earned: the formulas, the coverage, and a real trial.

parity      values of IPS, SNIPS and DR against Open Bandit Pipeline (`sb-obp`, Saito et al. 2021), where it is
            installed, on HeartSteps V1 and on a simulated log; largest absolute difference.
simulator   one log per run: people of the world `prompted`, offers half by chance, half by LinUCB, which learns;
            evaluated: clinicians' rules, and one fixed activity per technique at random. The truth is the mean, over
            the moments that were available to 10,000 other people, of what the evaluated law earns.
heartsteps  6,590 available points of 37 people, reward log(steps in 30 minutes + .5), actions nothing, active and
            sedentary at .4, .3, .3: what sending always the one or the other would have earned.

The estimand is the immediate effect of one decision.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from recommender import bandits, heartsteps, ope, simulator
from recommender.bench import BenchFailed, tables
from recommender.bench.cells import Cell
from recommender.policy import PolicyConfig
from recommender.trials import play

RUNS, QUICK_RUNS, IN_A_CELL, PEOPLE, WORLD = 400, 50, 50, 150, "prompted"
GOAL, FOLDS = (0.93, 0.97), 5
HEARTSTEPS = {
    "as randomised": [0.4, 0.3, 0.3],
    "nothing": [1.0, 0.0, 0.0],
    "always active": [0.0, 1.0, 0.0],
    "always sedentary": [0.0, 0.0, 1.0],
    "evenly": [1 / 3, 1 / 3, 1 / 3],
}


def cells(quick: bool) -> list[Cell]:
    runs = QUICK_RUNS if quick else RUNS
    return [
        Cell("ope", "HeartSteps", "heartsteps", 0, 0.2),
        Cell("ope", "parity", "heartsteps", 0, 0.1),
        *(
            Cell("ope", "coverage", f"{WORLD}, {PEOPLE} people", first, 2.0 + first / 1e4)
            for first in range(0, runs, IN_A_CELL)
        ),
    ]


def work(cell: Cell, data: Path) -> dict[str, Any]:
    return {"HeartSteps": _heartsteps, "parity": _parity, "coverage": _coverage}[cell.method](cell, data)


def _heartsteps(cell: Cell, data: Path) -> dict[str, Any]:
    logged, features = read_heartsteps(data)
    expected = ope.cross_fitted(features, logged, 3)
    rows = []
    for name, law in HEARTSTEPS.items():
        for method in ope.METHODS:
            laws = np.tile(law, (len(logged.reward), 1))
            found = ope.estimate(logged, laws, method, expected=expected)
            rows.append(
                [name, method, *(round(v, 5) for v in (found.value, found.low, found.high, found.effective_sample))]
            )
    return {"decisions": len(logged.reward), "people": len(np.unique(logged.person)), "rows": rows}


def read_heartsteps(data: Path) -> tuple[ope.Logged, np.ndarray]:
    """The log as randomised, and features known before each decision: time in the study, slot, steps before."""
    try:
        rows = heartsteps.read(data)
    except heartsteps.NotAtHand as absent:
        raise BenchFailed(str(absent)) from absent
    logged = ope.Logged(rows.reward, rows.action, heartsteps.PROBABILITIES[rows.action], rows.person)
    return logged, np.column_stack([rows.index / 210, rows.steps_before, np.eye(6)[rows.slot.clip(0, 5)][:, 1:]])


def _parity(cell: Cell, data: Path) -> dict[str, Any]:
    """Largest difference to sb-obp over the policies above; raises ImportError without it."""
    from obp.ope import DoublyRobust, InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting

    logged, features = read_heartsteps(data)
    expected = ope.cross_fitted(features, logged, 3)
    theirs = {
        "IPS": InverseProbabilityWeighting,
        "SNIPS": SelfNormalizedInverseProbabilityWeighting,
        "DR": DoublyRobust,
    }
    apart = dict.fromkeys(theirs, 0.0)
    for law in HEARTSTEPS.values():
        laws = np.tile(law, (len(logged.reward), 1))
        for method, estimator in theirs.items():
            value = estimator().estimate_policy_value(
                reward=logged.reward,
                action=logged.action,
                pscore=logged.probability,
                action_dist=laws[:, :, None],
                **({"estimated_rewards_by_reg_model": expected[:, :, None]} if method == "DR" else {}),
            )
            apart[method] = max(apart[method], abs(value - ope.estimate(logged, laws, method, expected=expected).value))
    return {"largest_difference": apart}


def _coverage(cell: Cell, data: Path) -> dict[str, Any]:
    """How many intervals hold the truth, and by how much the estimates miss it on average."""
    world, rewards, truth = _prepared()
    hits = {(policy, m): 0 for policy in truth for m in ope.METHODS}
    missed = dict.fromkeys(hits, 0.0)
    width = dict.fromkeys(hits, 0.0)
    for run in range(cell.seed, cell.seed + IN_A_CELL):
        logged, contexts, laws = simulated_log(world, rewards, world.test_seeds[1] * 10_000 + run)
        expected = ope.cross_fitted(contexts[:, bandits.EMOTION], logged, len(world.activities), ridge=5.0)
        for policy in truth:
            for method in ope.METHODS:
                found = ope.estimate(
                    logged, laws[policy], method, expected=expected, resamples=1000, seed=run, least_sample=1
                )
                key = (policy, method)
                hits[key] += found.low <= truth[policy] <= found.high
                missed[key] += found.value - truth[policy]
                width[key] += found.high - found.low
    rows = [[*key, hits[key], round(missed[key], 5), round(width[key], 5)] for key in hits]
    return {"runs": IN_A_CELL, "truth": truth, "rows": rows}


@lru_cache(maxsize=1)
def _prepared() -> tuple[simulator.World, simulator.Rewards, dict[str, float]]:
    world = simulator.load(WORLD)
    rewards = simulator.Rewards(world)
    return world, rewards, _truth(world, rewards)


def _truth(world: simulator.World, rewards: simulator.Rewards) -> dict[str, float]:
    """Mean observed reward of each evaluated law at the available moments of many other people."""
    values: dict[str, list[float]] = {}
    for seed in range(10):
        cohort, rng = world.cohort(1000, 77_000_000 + seed), np.random.default_rng(seed)
        for day in range(cohort.days):
            who = np.flatnonzero(cohort.available[:, day])
            contexts = cohort.contexts(day, np.zeros(cohort.people))[who]
            for policy, law in _laws(world, contexts).items():
                chosen = np.zeros(cohort.people, dtype=int)
                chosen[who] = (rng.random((len(who), 1)) > law.cumsum(axis=1)).sum(axis=1).clip(max=law.shape[1] - 1)
                parts = [part[who] for part in cohort.outcome(day, chosen)]
                values.setdefault(policy, []).extend(rewards.of(chosen[who], *parts)[0])
    return {policy: float(np.mean(all_)) for policy, all_ in values.items()}


def _laws(world: simulator.World, contexts: np.ndarray) -> dict[str, np.ndarray]:
    first = np.zeros(len(world.activities))
    first[::4] = 1 / len(first[::4])
    return {
        "clinician rules": bandits.Rules(world).law(0, contexts, np.arange(len(contexts))),
        "easiest of each technique": np.tile(first, (len(contexts), 1)),
    }


def simulated_log(world: simulator.World, rewards: simulator.Rewards, seed: int):
    """Offers of one trial, the contexts they were made in, and the evaluated laws there."""
    cohort = world.cohort(PEOPLE, seed)
    policy = Listening(bandits.LinUcb(len(world.activities)))
    play(cohort, policy, rewards, config=PolicyConfig(epsilon=0.5))
    offers = policy.heard
    parts = {
        name: np.concatenate([getattr(o, name) for o in offers])
        for name in ("who", "contexts", "chosen", "reward", "laws")
    }
    p = parts["laws"][np.arange(len(parts["who"])), parts["chosen"]]
    logged = ope.Logged(parts["reward"], parts["chosen"], p, parts["who"])
    return logged, parts["contexts"], _laws(world, parts["contexts"])


class Listening:
    """A policy that remembers its offers."""

    def __init__(self, policy) -> None:
        self.policy, self.law = policy, policy.law
        self.heard: list[bandits.Offers] = []

    def learn(self, offers: bandits.Offers) -> None:
        self.heard.append(offers)
        self.policy.learn(offers)


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    by = {
        method: [line for line in lines if line["method"] == method] for method in ("parity", "HeartSteps", "coverage")
    }
    parts = [tables.done(len(lines), total)]
    for line in by["parity"]:
        rows = [[m, f"{value:.1e}"] for m, value in line["largest_difference"].items()]
        parts.append(tables.markdown(["method", "largest difference to sb-obp"], rows) + "\n")
    if by["coverage"]:
        parts.append(_coverage_table(by["coverage"]) + "\n")
    for line in by["HeartSteps"]:
        rows = [[p, m, f"{v:.3f}", f"{lo:.3f} to {hi:.3f}", f"{n:.0f}"] for p, m, v, lo, hi, n in line["rows"]]
        parts.append(tables.markdown(["HeartSteps: policy", "method", "value", "95 %", "effective sample"], rows))
        _figure(line["rows"], out / "recommender-ope.png")
    return "".join(parts)


def _coverage_table(lines: list[dict[str, Any]]) -> str:
    runs = sum(line["runs"] for line in lines)
    rows = []
    for i, (policy, method, *_) in enumerate(lines[0]["rows"]):
        hits, missed, width = (sum(line["rows"][i][k] for line in lines) for k in (2, 3, 4))
        share = hits / runs
        error = 1.96 * np.sqrt(share * (1 - share) / runs)
        within = "yes" if GOAL[0] <= share <= GOAL[1] else "no"
        rows.append(
            [policy, method, runs, f"{share:.3f} ± {error:.3f}", within, f"{missed / runs:+.4f}", f"{width / runs:.4f}"]
        )
    return tables.markdown(["simulator: policy", "method", "runs", "coverage", "within .93-.97", "bias", "width"], rows)


def _figure(rows: list[list[Any]], path: Path) -> None:
    """HeartSteps: values and intervals of every policy by every method."""
    plt = tables.plotting()
    figure, axis = plt.subplots(figsize=(7, 3.4))
    for shift, method in enumerate(ope.METHODS):
        mine = [row for row in rows if row[1] == method]
        at = np.arange(len(mine)) + 0.18 * (shift - 1)
        value, low, high = (np.array([row[k] for row in mine]) for k in (2, 3, 4))
        axis.errorbar(value, at, xerr=[value - low, high - value], fmt="o", markersize=4, label=method)
    axis.set(
        yticks=range(len(HEARTSTEPS)), yticklabels=list(HEARTSTEPS), xlabel="mean of log(steps in 30 minutes + .5)"
    )
    axis.invert_yaxis()
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
