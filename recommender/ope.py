"""What another policy would have earned, from the decisions that were logged.

    w = pi(a|x) / p                                            p: the stored probability of what was done
    IPS    mean of w r                                          Horvitz and Thompson (1952)
    SNIPS  sum of w r / sum of w                                Swaminathan and Joachims (2015)
    DR     mean of sum_a pi(a|x) q(x, a) + w (r - q(x, a_done))   Dudik, Langford and Li (2011)

The estimand is the immediate effect of one decision: the mean reward if the evaluated policy had made a single
decision at each logged moment and nothing else had changed. It says nothing of following that policy for weeks.
Intervals resample people, who are independent, not decisions, which are not. Under an effective sample size
(sum w)^2 / sum w^2 of 100 there is no estimate.

Shapes:  n decisions   K actions   P people
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEAST_SAMPLE = 100.0
METHODS = ("IPS", "SNIPS", "DR")


class TooLittleOverlap(ValueError):
    """The logged decisions say too little about the policy; the message says how much."""


class InvalidLog(ValueError):
    """Lengths differ, a probability is not in (0, 1], a law does not sum to 1, a reward is not a number."""


@dataclass(frozen=True)
class Logged:
    """Decisions as they were made.

    reward: (n,).   action: (n,) position of what was done.   probability: (n,) of it, as stored.
    person: (n,) labels.   Raises InvalidLog.
    """

    reward: np.ndarray
    action: np.ndarray
    probability: np.ndarray
    person: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.reward)
        if not n == len(self.action) == len(self.probability) == len(self.person):
            raise InvalidLog("rewards, actions, probabilities and people differ in number")
        if not (np.isfinite(self.reward).all() and ((self.probability > 0) & (self.probability <= 1)).all()):
            raise InvalidLog("rewards must be numbers and probabilities lie in (0, 1]")


@dataclass(frozen=True)
class Estimate:
    """Value of a policy with the ends of its interval; effective_sample in decisions."""

    method: str
    value: float
    low: float
    high: float
    effective_sample: float
    decisions: int
    people: int


def estimate(
    logged: Logged,
    law: np.ndarray,
    method: str = "SNIPS",
    *,
    expected: np.ndarray | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    least_sample: float = LEAST_SAMPLE,
) -> Estimate:
    """Estimate the value of a policy.

    law: (n, K) its probabilities at each logged moment.   expected: (n, K) modelled rewards, for DR; fit them on other
    people (`cross_fitted`).   Raises TooLittleOverlap and InvalidLog.
    """
    over, under, w = terms(logged, law, method, expected)
    sample = effective_sample(w)
    if sample < least_sample:
        raise TooLittleOverlap(f"effective sample size {sample:.0f} of {len(w)} decisions, {least_sample:.0f} needed")
    names, index = np.unique(logged.person, return_inverse=True)
    sums = np.stack([np.bincount(index, over), np.bincount(index, under)])  # (2, P)
    low, high = bootstrap(sums, level, resamples, seed)
    return Estimate(method, float(over.sum() / under.sum()), low, high, sample, len(w), len(names))


def terms(logged: Logged, law: np.ndarray, method: str, expected: np.ndarray | None = None):
    """Return what each decision adds above and below the fraction, and its weight; (n,) each."""
    law = np.asarray(law, dtype=float)
    if len(law) != len(logged.reward) or not np.allclose(law.sum(axis=1), 1, atol=1e-6) or law.min(initial=0) < 0:
        raise InvalidLog("the law must hold one distribution per decision")
    w = _taken(law, logged.action) / logged.probability
    if method == "SNIPS":
        return w * logged.reward, w, w
    if method == "IPS":
        return w * logged.reward, np.ones_like(w), w
    if method == "DR" and expected is not None:
        model = (law * expected).sum(axis=1)
        return model + w * (logged.reward - _taken(expected, logged.action)), np.ones_like(w), w
    raise InvalidLog("DR needs modelled rewards" if method == "DR" else f"no method {method!r}")


def effective_sample(w: np.ndarray) -> float:
    """(sum w)^2 / sum w^2 (Kish 1965), in decisions; 0 when no decision counts."""
    squares = float((w**2).sum())
    return float(w.sum() ** 2 / squares) if squares else 0.0


def bootstrap(sums: np.ndarray, level: float, resamples: int, seed: int) -> tuple[float, float]:
    """Ends of a percentile interval over people, expanded for few of them (Hesterberg 2015, Am. Stat. 69:371).

    sums: (2, P) of each person, above and below the fraction. Resamples in which nothing counts are drawn out.
    """
    n = sums.shape[1]
    if n < 2:
        raise TooLittleOverlap("one person tells nothing about others")
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples)  # (B, P)
    above, below = counts @ sums[0], counts @ sums[1]
    values = above[below > 0] / below[below > 0]
    tail = stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t(n - 1).ppf((1 - level) / 2))
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def cross_fitted(
    features: np.ndarray, logged: Logged, actions: int, *, ridge: float = 1.0, folds: int = 5, seed: int = 0
) -> np.ndarray:
    """Expected reward of every action by ridge regression on the people of the other folds, (n, K).

    features: (n, F). Each action has its own coefficients, shrunken to those that all share.
    """
    names, index = np.unique(logged.person, return_inverse=True)
    fold = (np.random.default_rng(seed).permutation(len(names)) % folds)[index]
    shared = np.column_stack([np.ones(len(features)), features])  # (n, F + 1)
    result = np.empty((len(features), actions))
    for f in np.unique(fold):
        rest = fold != f
        everyone = _ridge(shared[rest], logged.reward[rest], 1e-6)
        left = logged.reward[rest] - shared[rest] @ everyone
        for k in range(actions):
            mine = logged.action[rest] == k
            own = _ridge(shared[rest][mine], left[mine], ridge)
            result[fold == f, k] = shared[fold == f] @ (everyone + own)
    return result


def _ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)


def _taken(values: np.ndarray, action: Sequence | np.ndarray) -> np.ndarray:
    return np.asarray(values)[np.arange(len(values)), action]
