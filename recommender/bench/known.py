"""Where regret comes from: what is given away by somebody who knows a part of a world and takes what is best by it.

    python -m recommender.bench.known --data DIR

300 people of the tuning seeds 5001 and 5002, never the test seeds; regret before mixing with chance, mean over seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from recommender import bandits, simulator
from recommender.bench import regret, tables

SEEDS = (5001, 5002)


def known(cohort: simulator.Cohort) -> dict[str, float]:
    """Regret per evening by what is known, each line with all of the lines before it."""
    world, there = cohort.world, cohort.available
    centred = world.attributes - world.attributes.mean(axis=0)
    truly = cohort._by_emotion(centred)  # (P, T, N)
    activity = np.broadcast_to(world.activity_effects, truly.shape)
    own = cohort.logits - truly - activity
    own = (own - own.mean(axis=2, keepdims=True)) @ (centred @ np.linalg.pinv(centred)).T  # its part in attributes
    seen, mean = _by_what_is_seen(cohort, centred @ world.gamma)
    scores = {
        "nothing (uniform)": None,
        "mean effect of every activity": activity + mean,
        "and what the emotion seen changes": activity + seen,
        "and what each person likes of attributes": activity + seen + own,
        "and the true emotion": activity + truly + own,
    }
    expected, n = cohort.expected[there], len(world.activities)
    laws = {k: np.full(expected.shape, 1 / n) if s is None else bandits._first(s[there]) for k, s in scores.items()}
    return {k: float((expected.max(axis=1) - (law * expected).sum(axis=1)).mean()) for k, law in laws.items()}


def _by_what_is_seen(cohort: simulator.Cohort, effect: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected effect given the emotion a check-in showed, and on average, (P, T, N) each.  effect: (N, 7)."""
    world, there = cohort.world, cohort.available
    share = np.bincount(cohort.emotion[there], minlength=7) / there.sum()
    right = world["sensor_accuracy"]
    likelihood = np.where(np.eye(7) > 0, right, (1 - right) / 6) * share  # (seen, true)
    by_seen = likelihood / likelihood.sum(axis=1, keepdims=True) @ effect.T
    turned = np.ones((*there.shape, 1))
    if world.misspecification == "nonlinear":
        turned = np.where(cohort.dass[..., 2] > world["dass_mean_stress"], -1.0, 1.0)[..., None]
    shown = np.where(cohort.seen[..., None] >= 0, by_seen[np.maximum(cohort.seen, 0)], share @ effect.T)
    return shown * turned, np.broadcast_to(share @ effect.T * turned.mean(), shown.shape)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recommender.bench.known", description=__doc__)
    parser.add_argument("--data", default="data", type=Path, metavar="DIR", help="folder of the data sets")
    data = parser.parse_args(arguments).data
    found: dict[str, list[str]] = {}
    for name in regret.WORLDS:
        world, residuals, _ = regret.prepared(name, data)
        cohorts = [world.cohort(regret.PEOPLE, seed, residuals=residuals) for seed in SEEDS]
        each = [known(cohort) for cohort in cohorts]
        for what in each[0]:
            found.setdefault(what, []).append(f"{np.mean([one[what] for one in each]):.3f}")
    print(tables.markdown(["known", *regret.WORLDS], [[what, *row] for what, row in found.items()]))  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
