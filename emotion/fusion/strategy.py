"""What every way of pooling has in common, so that they can be compared on the same check-ins.

Shapes:  K classes   n clips   a distribution is (K,)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotion.estimate import EMOTIONS

LEAST = 1e-12  # keeps logarithms finite

# modality -> (n, K), rows belonging together; a modality that is missing from a clip is a row of NaN
Posteriors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Reading:
    """One modality of one check-in as its recogniser gave it: a distribution (K,) and a quality in [0, 1]."""

    distribution: np.ndarray
    quality: float = 1.0


class Strategy:
    """A rule that pools the modalities of a check-in, whichever are there.

    Population parameters come from `fit`; before it a strategy treats all modalities alike. What it knows
    of one person is a value that `start` makes and `learn` renews; `None` where a strategy is not personal.
    """

    name = ""
    personal = False

    def __init__(self, classes: Sequence[str] = EMOTIONS) -> None:
        self.classes = tuple(classes)

    def fit(self, posteriors: Posteriors, truth: np.ndarray, people: np.ndarray) -> Strategy:
        """Learn from people other than those to be fused. truth, people: (n,). Returns itself."""
        return self

    def start(self) -> Any:
        """A person of whom nothing is known."""
        return None

    def learn(self, person: Any, readings: Mapping[str, Reading], truth: int) -> Any:
        """The person after one labelled check-in; O(1)."""
        return person

    def pool(self, readings: Mapping[str, Reading], person: Any = None) -> np.ndarray:
        """The fused distribution (K,); the prior where there is no modality."""
        raise NotImplementedError

    def weights(self, readings: Mapping[str, Reading], person: Any = None) -> dict[str, float]:
        """The share of each modality present, summing to 1."""
        return {m: 1 / len(readings) for m in readings}

    def prior(self) -> np.ndarray:
        return np.full(len(self.classes), 1 / len(self.classes))


def rows(posteriors: Posteriors, clip: int) -> dict[str, Reading]:
    """The modalities that clip number `clip` has, in alphabetical order."""
    return {m: Reading(posteriors[m][clip]) for m in sorted(posteriors) if not np.isnan(posteriors[m][clip, 0])}


def present(posterior: np.ndarray) -> np.ndarray:
    """Which rows of (n, K) are there: (n,) bool."""
    return ~np.isnan(posterior[:, 0])


def logs(distribution: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(distribution, LEAST))


def normalised(log_scores: np.ndarray) -> np.ndarray:
    """Distributions (…, K) from unnormalised logarithms."""
    p = np.exp(log_scores - log_scores.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def shares(amounts: Mapping[str, float]) -> dict[str, float]:
    """Amounts >= 0 as shares of their sum; equal ones where all are 0."""
    total = sum(amounts.values())
    return {m: float(a / total) if total > 0 else 1 / len(amounts) for m, a in amounts.items()}
