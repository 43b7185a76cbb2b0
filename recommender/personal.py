"""What one person's deliveries add to the pooled reward head: an exact posterior, its scores and what they consist of.

Shapes:  N activities   n deliveries of the person   d shared coefficients   q coefficients of a person
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from recommender.catalogue import Activity

if TYPE_CHECKING:
    from recommender.reward import RewardHead, Row


@dataclass
class PersonalReward:
    """Joint posterior of the shared and one person's coefficients: mean (d+q,), covariance (d+q, d+q).

    influence: (n, d+q) what each of the person's n deliveries has added to the mean.
    """

    head: RewardHead
    mean: np.ndarray
    covariance: np.ndarray
    updates: int = 0
    influence: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    def update(self, row: Row) -> None:
        """Take in one delivery exactly, by a rank-one update (Sherman and Morrison 1950)."""
        x, z, y, noise = self.head.design([row])
        v = np.concatenate([x[0], z[0]])
        gain = self.covariance @ v
        spread = v @ gain + noise[0]
        added = gain * (y[0] - v @ self.mean) / spread
        self.mean = self.mean + added
        self.influence = np.vstack([self.influence.reshape(-1, len(v)), added])
        self.covariance = self.covariance - np.outer(gain, gain) / spread
        self.updates += 1

    def without(self, block: str) -> PersonalReward:
        """The same posterior with every coefficient of a context block integrated out."""
        keep = np.concatenate([self.head.outside(block), np.ones(len(self.head.person_variance), dtype=bool)])
        covariance, influence = self.covariance[np.ix_(keep, keep)], self.influence.reshape(-1, len(keep))[:, keep]
        return PersonalReward(self.head.without(block), self.mean[keep], covariance, self.updates, influence)

    def score(self, context: np.ndarray, activities: Sequence[Activity] | None = None, extra=None):
        """Return the expected reward of each activity, (N,), and the sd of what tells them apart, (N,).

        The sd is of each activity's advantage over the mean of those scored: uncertainty that all share moves no
        choice. An activity without own experience carries the prior variance of an intercept as well.
        """
        if activities is not None and not activities:
            return np.zeros(0), np.zeros(0)
        features = self._centred(context, activities, extra)
        base = self._baseline(context) @ self.mean
        variance = np.einsum("nd,nd->n", features @ self.covariance, features)
        return base + features @ self.mean, np.sqrt(np.maximum(variance + self._unseen_variance(activities), 0.0))

    def explain(
        self, context: np.ndarray, index: int, activities: Sequence[Activity] | None = None, extra=None
    ) -> dict[str, float]:
        """Return named parts of one score; they sum to it exactly (up to rounding).

        Names: "baseline", "attribute:…", "attribute:…*column", "activity:…", "model:…", "personal:…".
        """
        row = self._centred(context, activities, extra)[index] + self._baseline(context)
        parts: dict[str, float] = defaultdict(float)
        for name, value in zip(self._names(), row * self.mean, strict=True):
            if value:
                parts["baseline" if name.startswith("baseline") else name] += float(value)
        return dict(parts)

    def added(self, context: np.ndarray, index: int, activities: Sequence[Activity] | None = None, extra=None):
        """What each of the person's deliveries adds to the advantage of one activity over all, (n,)."""
        share: np.ndarray = self.influence @ self._centred(context, activities, extra)[index]
        return share

    def alone(self) -> PersonalReward:
        """The posterior mean as if nothing had been heard of this person: what `added` is counted from."""
        return replace(self, mean=self.mean - self.influence.sum(axis=0), influence=self.influence[:0])

    def _names(self) -> list[str]:
        own = [*self.head.attribute_names, *(f"activity:{name}" for name in self.head.ids)]
        return [*self.head.names_, "baseline", *(f"personal:{n}" for n in own[: self.head.own_attributes.shape[1]])]

    def _baseline(self, context: np.ndarray) -> np.ndarray:
        q = len(self.head.person_variance)
        return np.concatenate([self.head.baseline(context), [1.0], np.zeros(q - 1)])

    def _centred(self, context: np.ndarray, activities, extra) -> np.ndarray:
        """Features minus their mean over the activities, (N, d+q); zero in all that the activities share."""
        head = self.head
        phi = head.features(context, activities, extra)
        both = np.hstack([phi, np.zeros((len(phi), 1)), head.own_features(activities)])
        return both - both.mean(axis=0)

    def _unseen_variance(self, activities: Sequence[Activity] | None) -> np.ndarray | float:
        if activities is None:
            return 0.0
        known = set(self.head.ids)
        return np.array([0.0 if a.id in known else self.head.config.activity**2 for a in activities])


def posterior(head: RewardHead, in_fit: Sequence[Row] = (), since: Sequence[Row] = ()) -> PersonalReward:
    """Return the posterior for one person.

    in_fit: the person's rows that the pooled fit has seen.   since: rows after it, taken in together, which
    is exactly what rank-one updates of one after the other give.
    """
    d, q = len(head.mean_), len(head.person_variance)
    mean, covariance = np.concatenate([head.mean_, np.zeros(q)]), np.zeros((d + q, d + q))
    covariance[:d, :d] = head.covariance_
    covariance[d:, d:] = np.diag(head.person_variance)
    influence = np.zeros((len(in_fit) + len(since), d + q))
    if in_fit:
        x, z, y, noise = head.design(in_fit)
        gain = head.gain(z, noise)  # (q, n)
        pulled = -gain @ x @ head.covariance_  # (q, d)
        influence[: len(in_fit), d:] = (gain * (y - x @ head.mean_)).T
        covariance[d:, :d], covariance[:d, d:] = pulled, pulled.T
        covariance[d:, d:] -= gain @ (z * head.person_variance) + pulled @ (gain @ x).T
    if since:
        x, z, y, noise = head.design(since)
        v = np.hstack([x, z])  # (n, d+q)
        reach = covariance @ v.T
        gain = np.linalg.solve(v @ reach + np.diag(noise), reach.T).T  # (d+q, n)
        before = mean + influence.sum(axis=0)
        influence[len(in_fit) :] = (gain * (y - v @ before)).T
        covariance = covariance - gain @ reach.T
    return PersonalReward(head, mean + influence.sum(axis=0), covariance, len(since), influence)
