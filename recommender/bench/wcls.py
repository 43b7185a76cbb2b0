"""B7: does the interval of the excursion effect cover, however the probabilities came about?

A generative model with a known effect (after section 5 of Boruvka et al. 2018): a state S = -1 or 1 moves the outcome,
the probability of sending, and the effect, whose mean over S and over people is EFFECT; the analysis leaves S and the
person's level out of its regression, and errors are auto-correlated. Probabilities are

    fixed     .7 where S = 1, .3 where S = -1
    personal  the person's own posterior of the effect given S, from that person's past, within [.2, .8]
    pooled    one posterior from everybody's past, learning during the trial
    frozen    the pooled posterior at the end of an earlier trial of the same size, then kept

"naive OLS" regresses on the action without weights or centring, on the same data, with the same sandwich.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from recommender import wcls
from recommender.bench import tables
from recommender.bench.cells import Cell

PEOPLE, POLICIES = (20, 37, 100), ("fixed", "personal", "frozen", "pooled")
DECISIONS, EFFECT, MODERATION, PERSON_SD, EFFECT_SD, AUTOCORRELATION = 84, 0.1, 0.3, 0.7, 0.1, 0.5
RUNS, QUICK_RUNS, AT_ONCE = 4000, 200, 100
LEVEL, GOAL = 0.95, (0.935, 0.965)


def cells(quick: bool) -> list[Cell]:
    runs = QUICK_RUNS if quick else RUNS
    return [Cell("wcls", policy, f"n {n}, {runs} runs", 0, n / 60) for n in PEOPLE for policy in POLICIES]


def work(cell: Cell, data: Path) -> dict[str, Any]:
    """Coverage, bias and mean width over all runs, for the method and for naive OLS."""
    n, runs = (int(word) for word in cell.data.replace(",", "").split() if word.isdigit())
    rng = np.random.default_rng([cell.seed, n, POLICIES.index(cell.method)])
    found: dict[str, list[np.ndarray]] = {"wcls": [], "ols": []}
    for _ in range(runs // AT_ONCE):
        y, a, p = simulate(rng, AT_ONCE, n, cell.method)
        found["wcls"].append(_intervals(y, a, p))
        found["ols"].append(_naive(y, a))
    return {name: _summary(np.concatenate(parts)) for name, parts in found.items()} | {"runs": runs, "people": n}


def simulate(rng: np.random.Generator, runs: int, n: int, policy: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, actions and probabilities of several trials, each (runs, n, T)."""
    if policy != "frozen":
        return _trial(rng, runs, n, policy)[:3]
    learnt = _trial(rng, runs, n, "pooled")[3]
    return _trial(rng, runs, n, "frozen", learnt)[:3]


def _trial(rng, runs: int, n: int, policy: str, learnt: np.ndarray | None = None):
    level = PERSON_SD * rng.standard_normal((runs, n))
    own_effect = EFFECT + EFFECT_SD * rng.standard_normal((runs, n))
    error = rng.standard_normal((runs, n))
    counts, sums = np.zeros((2, runs, n, 2)), np.zeros((2, runs, n, 2))  # by state; nothing, sent
    y, a, p = (np.empty((runs, n, DECISIONS)) for _ in range(3))
    for t in range(DECISIONS):
        state = rng.integers(0, 2, (runs, n))
        probability = _probabilities(policy, state, counts, sums) if learnt is None else _of(learnt, state)
        action = (rng.random((runs, n)) < probability).astype(int)
        signed = 2 * state - 1
        error = AUTOCORRELATION * error + np.sqrt(1 - AUTOCORRELATION**2) * rng.standard_normal((runs, n))
        outcome = level + 0.8 * signed + action * (own_effect + MODERATION * signed) + error
        y[..., t], a[..., t], p[..., t] = outcome, action, probability
        for s in (0, 1):
            for sent in (0, 1):
                here = (state == s) & (action == sent)
                counts[s, ..., sent] += here
                sums[s, ..., sent] += here * outcome
    return y, a, p, _posterior(counts.sum(axis=2, keepdims=True), sums.sum(axis=2, keepdims=True))


def _probabilities(policy: str, state: np.ndarray, counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
    if policy == "fixed":
        return np.where(state == 1, 0.7, 0.3)
    if policy == "pooled":
        counts, sums = counts.sum(axis=2, keepdims=True), sums.sum(axis=2, keepdims=True)
    return _of(_posterior(counts, sums), state)


def _posterior(counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Probability that sending helps in each state, within [.2, .8]; (2, runs, n or 1)."""
    variance = (1 / (counts + 1)).sum(axis=-1)  # one imagined decision with outcome 0 in each cell
    mean = sums / (counts + 1)
    return np.clip(stats.norm.cdf((mean[..., 1] - mean[..., 0]) / np.sqrt(variance)), 0.2, 0.8)


def _of(learnt: np.ndarray, state: np.ndarray) -> np.ndarray:
    return np.where(state == 1, learnt[1], learnt[0])


def _intervals(y, a, p) -> np.ndarray:
    """Estimate, lower, upper of each run, (runs, 3)."""
    numerator = a.mean(axis=(1, 2), keepdims=True)
    return _fit(y, a - numerator, wcls.weights(a, p, numerator))


def _naive(y, a) -> np.ndarray:
    return _fit(y, a, np.ones_like(y))


def _fit(y, action, w) -> np.ndarray:
    x = np.stack([np.ones_like(y), action], axis=-1)
    weighted = np.swapaxes(w[..., None] * x, -1, -2)
    found = wcls.effect(weighted @ x, (weighted @ y[..., None])[..., 0], 1)
    return np.concatenate([found.estimate, found.interval(LEVEL)[:, 0]], axis=1)


def _summary(found: np.ndarray) -> dict[str, float]:
    covers = (found[:, 1] <= EFFECT) & (found[:, 2] >= EFFECT)
    figures = {
        "coverage": covers.mean(),
        "bias": found[:, 0].mean() - EFFECT,
        "width": np.mean(found[:, 2] - found[:, 1]),
    }
    return {name: round(float(value), 5) for name, value in figures.items()}


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    lines = sorted(lines, key=lambda line: (POLICIES.index(line["method"]), line["people"]))
    if lines:
        _figure(lines, out / "recommender-wcls.png")
    header = ["probabilities", "n", "runs", "coverage", "within .935-.965", "bias", "width", "OLS coverage", "OLS bias"]
    return tables.done(len(lines), total) + tables.markdown(header, [_row(line) for line in lines])


def _row(line: dict[str, Any]) -> list[Any]:
    ours, ols = line["wcls"], line["ols"]
    within = "yes" if GOAL[0] <= ours["coverage"] <= GOAL[1] else "no"
    shown = [f"{ours['coverage']:.4f}", within, f"{ours['bias']:+.4f}", f"{ours['width']:.3f}"]
    return [line["method"], line["people"], line["runs"], *shown, f"{ols['coverage']:.4f}", f"{ols['bias']:+.4f}"]


def _figure(lines: list[dict[str, Any]], path: Path) -> None:
    """Coverage by number of people; a point is one cell, bars are its Monte Carlo error."""
    plt = tables.plotting()
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharex=True)
    for axis, name, title in zip(axes, ("wcls", "ols"), ("weighted and centred", "naive OLS"), strict=True):
        for shift, policy in enumerate(POLICIES):
            mine = [line for line in lines if line["method"] == policy]
            share = np.array([line[name]["coverage"] for line in mine])
            error = 1.96 * np.sqrt(share * (1 - share) / [line["runs"] for line in mine])
            at = np.array([PEOPLE.index(line["people"]) for line in mine]) + 0.1 * (shift - 1.5)
            axis.errorbar(at, share, error, fmt="o", label=policy, markersize=4)
        axis.axhspan(*GOAL, color="#dddddd", zorder=0)
        axis.set(title=title, xlabel="people", xticks=range(len(PEOPLE)), xticklabels=PEOPLE)
    axes[0].set(ylabel="coverage of 95 % intervals", ylim=(0.9, 1.0))
    axes[1].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
