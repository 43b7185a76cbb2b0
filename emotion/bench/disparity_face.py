"""E10: a face read relative to the person, from the mean action units of each clip.

A logistic regression of other people's clips over 35 action units, each relative to what is usual for the person:
their mean and deviation over earlier clips, unlabelled, drawn to everybody's. The constants are those of the first
try; that a face of this kind is worth having was seen on the people of the bench.

Shapes:  n clips   U action units   K classes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

PRIOR_CLIPS = 8.0
PENALTY = 0.1  # inverse strength of the ridge
OWN_WEIGHT = 4.0  # of a labelled clip of the person against one of somebody else's
LEAST_DEVIATION = 0.3  # of everybody's: a person who never moved a muscle in ten clips may do so in the next
FOLDS = 5


@dataclass(frozen=True)
class Units:
    """units: (n, U).  labels: (n,) into the classes.  people: (n,)."""

    units: np.ndarray
    labels: np.ndarray
    people: np.ndarray
    classes: int

    @cached_property
    def everybody(self) -> list[str]:
        return sorted(set(map(str, self.people)))

    def of_others(self, person: str, earlier: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n, K) posteriors of everybody but `person`, whose clips nothing here has seen; their rows are even.

        earlier: rows of each person's earlier clips.
        """
        out = np.full((len(self.units), self.classes), 1 / self.classes)
        rest = [other for other in self.everybody if other != person]
        for held_out in (rest[k::FOLDS] for k in range(FOLDS)):
            learned = self._fit([p for p in rest if p not in held_out], earlier)
            for other in held_out:
                mine = np.flatnonzero(self.people == other)
                out[mine] = learned.predict_proba(self._relative(mine, earlier[other], rest))
        return out

    def of_person(
        self, person: str, earlier: Mapping[str, np.ndarray], own: np.ndarray, labelled: bool = False
    ) -> np.ndarray:
        """(n, K) posteriors of one person, rows of others even. own: rows of their earlier clips.

        labelled: those clips are learned from as well, with `OWN_WEIGHT`.
        """
        rest = [other for other in self.everybody if other != person]
        mine = np.flatnonzero(self.people == person)
        learned = self._fit(rest, earlier, (own, self._relative(own, own, rest)) if labelled else None)
        out = np.full((len(self.units), self.classes), 1 / self.classes)
        out[mine] = learned.predict_proba(self._relative(mine, own, rest))
        return out

    def _fit(self, people: Sequence[str], earlier: Mapping[str, np.ndarray], own=None):
        from sklearn.linear_model import LogisticRegression

        rows = [np.flatnonzero(self.people == p) for p in people]
        vectors = [self._relative(mine, earlier[p], people) for mine, p in zip(rows, people, strict=True)]
        weights = [np.ones(len(mine)) for mine in rows]
        if own is not None:
            rows, vectors = [*rows, own[0]], [*vectors, own[1]]
            weights = [*weights, np.full(len(own[0]), OWN_WEIGHT)]
        return LogisticRegression(C=PENALTY, tol=1e-3, max_iter=500).fit(
            np.concatenate(vectors), self.labels[np.concatenate(rows)], sample_weight=np.concatenate(weights)
        )

    def _relative(self, rows: np.ndarray, earlier: np.ndarray, population: Sequence[str]) -> np.ndarray:
        """Units of `rows` against the mean and deviation of `earlier` rows, drawn to those of `population`."""
        among = self.units[np.isin(self.people, population)]
        mean, square = among.mean(0), (among**2).mean(0)
        spread = np.sqrt(np.maximum(square - mean**2, 1e-9))
        share = len(earlier) / (len(earlier) + PRIOR_CLIPS)
        if len(earlier):
            mean = mean + share * (self.units[earlier].mean(0) - mean)
            square = square + share * ((self.units[earlier] ** 2).mean(0) - square)
        own = np.sqrt(np.maximum(square - mean**2, (LEAST_DEVIATION * spread) ** 2))
        return (self.units[rows] - mean) / own
