"""How different two distributions are, and how unusual that is among people whose face and voice agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ALERT_BELOW = 0.05
OWN_AFTER = 20.0  # congruent windows of a person that weigh as much as the whole population


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Divergence of two distributions in bits, [0, 1] (Lin 1991)."""
    middle = (p + q) / 2

    def relative_entropy(a: np.ndarray) -> float:
        some = a > 0
        return float((a[some] * np.log2(a[some] / middle[some])).sum())

    return max(0.0, (relative_entropy(p) + relative_entropy(q)) / 2)


def disagreement(p: np.ndarray, q: np.ndarray) -> float:
    """−ln Σ_k p_k q_k: how unlikely it is that both mean the same emotion, in nats.

    For calibrated distributions under a uniform prior this rises with the likelihood ratio of "two emotions"
    against "one"; that is why it tells the two apart better than a divergence does. Two flat distributions
    disagree by ln K: nothing is known.
    """
    return float(-np.log(max(float(np.dot(p, q)), 1e-12)))


@dataclass(frozen=True)
class Null:
    """Scores of congruent clips that the recognisers had not been trained on.

    population: of other people.  own: this person's, from moments known to be congruent (calibration check-ins).
    """

    population: tuple[float, ...]
    own: tuple[float, ...] = ()

    def p_value(self, score: float) -> float:
        """Conformal p-value (Vovk et al. 2005, with the ties counted against an alert), moved to the person.

        Some faces and voices always lie further apart. The score is read relative to the mean of the person's own
        n scores, which counts n / (n + OWN_AFTER) against the population's. Without any it is the population's
        p-value, which is valid: below 5 % for at most 5 % of congruent clips of new people.
        """
        return _exceeding(self.population, score - self.shift)

    @property
    def shift(self) -> float:
        """How far this person's scores lie from everybody's, drawn to zero."""
        if not self.own:
            return 0.0
        share = len(self.own) / (len(self.own) + OWN_AFTER)
        return share * float(np.mean(self.own) - np.mean(self.population))

    def knowing(self, own: Sequence[float]) -> Null:
        return Null(self.population, (*self.own, *own))

    def to_json(self) -> dict[str, Any]:
        return {"population": list(self.population), "own": list(self.own)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Null:
        return cls(tuple(map(float, stored["population"])), tuple(map(float, stored.get("own", ()))))


def _exceeding(scores: Sequence[float], score: float) -> float:
    return float(1 + (np.asarray(scores) >= score).sum()) / (len(scores) + 1)
