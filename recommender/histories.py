"""From histories to tensors: what each person was given until a moment, what they made of it, what came next.

Shapes:  U people   T deliveries in all   B moments in a batch   L deliveries in a history   N activities
         F token features   R repeat features
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from recommender.catalogue import Activity, Delivery, attribute_matrix, attribute_names
from recommender.context import Context
from recommender.network import EMOTION, REPEAT_FEATURES, SENSING, TOKEN_FEATURES, Batch, Items, Targets

DAY_S = 86_400.0
SMALL = 16_384  # numbers; below it a sparse matrix costs more than it saves


@dataclass
class People:
    """Histories end to end, oldest delivery first: person p owns start[p]:start[p + 1].

    activity: (T,) known ids.   features: (T, F).   at_s: (T,).   strength: (T,).   start: (U + 1,).
    """

    activity: np.ndarray
    features: np.ndarray
    at_s: np.ndarray
    strength: np.ndarray
    start: np.ndarray

    def spread(self, first: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return row numbers and positions of `length` deliveries from `first` on for each row, flat."""
        rows = np.repeat(np.arange(len(length)), length)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(length) - length, length)
        return rows, first[rows] + within


@dataclass
class Moment:
    """A decision moment: the first `length` deliveries of a person, at a time, in a context; and what followed."""

    person: int
    length: int
    at_s: float
    context: np.ndarray
    target: int = -1
    weight: float = 0.0
    reward: float = 0.0
    reward_variance: float = 0.0


class Reader:
    """Knows the catalogue: turns deliveries into ids, moments and batches.

    place: known id of each activity; what is not in it gets the id N.   with_context: histories have contexts, times
    and outcomes; without, they are rows of a table.
    """

    def __init__(self, activities: Sequence[Activity], history_length: int, with_context: bool) -> None:
        if not activities or len({a.id for a in activities}) < len(activities):
            raise ValueError("activities must be there and have ids that differ")
        self.activities, self.history_length, self.with_context = list(activities), history_length, with_context
        self.place = {activity.id: i for i, activity in enumerate(self.activities)}
        self.attribute_names = attribute_names(self.activities) or ("",)
        # in double precision an explanation adds up to its score to the last digits; film ratings need no explanation
        self.dtype = torch.float64 if with_context else torch.float32

    def items(self, activities: Sequence[Activity] | None = None) -> Items:
        activities = self.activities if activities is None else activities
        ids = [self.place.get(activity.id, len(self.place)) for activity in activities]
        attributes = attribute_matrix(activities, self.attribute_names)
        return Items(self.tensor(attributes), torch.tensor(ids, dtype=torch.long))

    def tensor(self, array: np.ndarray) -> Tensor:
        """Shares the memory of an array that has the type already."""
        return torch.from_numpy(array).to(self.dtype)

    def people(self, histories: Sequence[Sequence[Delivery]]) -> People:
        if any(a.at > b.at for history in histories for a, b in zip(history, history[1:], strict=False)):
            raise ValueError("a history must run from the oldest delivery to the newest")
        flat = [delivery for history in histories for delivery in history]
        at = np.array([delivery.at.timestamp() for delivery in flat], dtype=float)
        start = np.cumsum([0, *map(len, histories)])
        gaps = np.diff(at, prepend=at[:1]) / DAY_S
        gaps[start[:-1][start[:-1] < len(flat)]] = 0.0
        return People(
            np.array([self.place.get(d.activity, len(self.place)) for d in flat], dtype=np.int64),
            np.array([_token(d, gap) for d, gap in zip(flat, gaps, strict=True)]).reshape(-1, TOKEN_FEATURES),
            at,
            np.array([strength(delivery) for delivery in flat], dtype=float),
            start,
        )

    def moments(self, histories, contexts, people: People, weight_clip: float) -> list[Moment]:
        """Every delivery of a known activity as a moment whose past is known; oldest first within a person."""
        moments = []
        for p, (history, moods) in enumerate(zip(histories, contexts, strict=True)):
            for i, (delivery, context) in enumerate(zip(history, moods, strict=True)):
                if delivery.activity not in self.place:
                    continue
                place = people.start[p] + i
                weight = people.strength[place] * min(1 / (delivery.probability or 1.0), weight_clip)
                target, at_s = self.place[delivery.activity], people.at_s[place]
                moments.append(Moment(p, i, at_s, context.vector(), target, weight))
        return moments

    def asked(self, questions) -> tuple[People, list[Moment]]:
        """Moments of (history, context, at) triples; without `at`, the last delivery's."""
        people = self.people([history for history, _, _ in questions])
        moments = []
        for p, (_, context, at) in enumerate(questions):
            past = people.at_s[people.start[p] : people.start[p + 1]]
            at_s = at.timestamp() if at else float(past.max(initial=0.0))
            moments.append(Moment(p, int((past <= at_s).sum()), at_s, (context or Context()).vector()))
        return people, moments

    def table(self, histories: Sequence[Sequence[Delivery]]) -> np.ndarray:
        """X_ui = sum of completion x (helpfulness or 1), (U, N)."""
        return self.table_until(self.people(histories), math.inf)

    def table_until(self, people: People, until_s: float) -> np.ndarray:
        """The same before a time, (U, N)."""
        n, users = len(self.activities), len(people.start) - 1
        owner = np.repeat(np.arange(users), np.diff(people.start))
        past = people.at_s < until_s
        x = np.zeros((users, n + 1))
        np.add.at(x, (owner[past], people.activity[past]), people.strength[past])
        return x[:, :n]

    def batch(self, people: People, moments: Sequence[Moment], ease, fold=None, items: Items | None = None) -> Batch:
        """ease: (N, N), or (F, N, N) with the fold of each moment, (B,)."""
        b, n = len(moments), len(self.activities)
        length = np.array([m.length for m in moments], dtype=np.int64)
        first = people.start[[m.person for m in moments]]
        now = np.array([m.at_s for m in moments])
        x, repeat = self._linear_inputs(people, first, length, now)
        scores = by_fold(x[:, :n], ease, np.zeros(b, dtype=int) if fold is None else fold)
        ids = np.arange(n) if items is None else items.ids.numpy()
        if not self.with_context:
            return self.table_batch(x[:, :n], scores, ids)
        linear = np.append(standardised(scores), np.zeros((b, 1)), axis=1)
        repeat[:, n] = 0.0  # an activity outside the catalogue has no past
        activity, features, age, seen = self._tokens(people, first, length, now)
        return Batch(
            torch.from_numpy(activity),
            self.tensor(features),
            self.tensor(age),
            torch.from_numpy(seen),
            self.tensor(np.array([m.context for m in moments])),
            self.tensor(linear[:, ids]),
            self.tensor(repeat[:, ids]),
        )

    def table_batch(self, x: np.ndarray, scores: np.ndarray, ids: np.ndarray | None = None) -> Batch:
        """Rows without times.  x: (B, N) what was taken up.   scores: (B, N) of EASE."""
        b, linear = len(x), standardised(scores)
        if ids is not None:
            linear = np.append(linear, np.zeros((b, 1)), axis=1)[:, ids]
        none = torch.zeros(b, 0)
        repeat = torch.zeros(1, 1, len(REPEAT_FEATURES))
        seen, table = torch.zeros(b, 0, dtype=torch.bool), self.tensor(x > 0)
        activity, features = torch.zeros(b, 0, dtype=torch.long), torch.zeros(b, 0, TOKEN_FEATURES)
        return Batch(activity, features, none, seen, none, self.tensor(linear), repeat, table)

    def without_some_check_ins(self, batch: Batch, share: float, rng: np.random.Generator) -> Batch:
        """Some check-ins are taken away, so that the model can do without them."""
        missing = torch.from_numpy(rng.random(len(batch.context)) < share)
        context = batch.context.clone()
        empty = self.tensor(Context().vector())
        columns = torch.tensor(EMOTION + SENSING)
        context[missing.nonzero(), columns] = empty[columns]
        return replace(batch, context=context)

    def _linear_inputs(self, people: People, first, length, now) -> tuple[np.ndarray, np.ndarray]:
        """Strengths (B, N+1) and repeat features (B, N+1, R) of each moment's past; last column: unknown ids."""
        b, n = len(length), len(self.activities) + 1
        rows, at = people.spread(first, length)
        activity, features = people.activity[at], people.features[at]
        x, repeat = np.zeros((b, n)), np.zeros((b, n, len(REPEAT_FEATURES)))
        np.add.at(x, (rows, activity), people.strength[at])
        repeat[rows, activity, 0] = 1.0  # of equal places the last assignment, the latest delivery, stays
        repeat[rows, activity, 1] = (2 * features[:, 0] - 1) * features[:, 1]  # done 1, not -1, never heard 0
        repeat[rows, activity, 2] = features[:, 2]
        repeat[rows, activity, 3] = np.exp(-np.maximum(now[rows] - people.at_s[at], 0) / DAY_S / 3)
        return x, repeat

    def _tokens(self, people: People, first, length, now):
        """The last L deliveries of each moment: ids (B, L), features (B, L, F), age in days and seen (B, L)."""
        kept = np.minimum(length, self.history_length)
        b, width = len(length), max(int(kept.max(initial=0)), 1)
        rows, at = people.spread(first + length - kept, kept)
        column = np.arange(len(rows)) - np.repeat(np.cumsum(kept) - kept, kept)
        activity = np.full((b, width), len(self.activities), dtype=np.int64)
        features, age = np.zeros((b, width, TOKEN_FEATURES)), np.zeros((b, width))
        seen = np.zeros((b, width), dtype=bool)
        activity[rows, column], features[rows, column] = people.activity[at], people.features[at]
        age[rows, column] = np.maximum(now[rows] - people.at_s[at], 0) / DAY_S
        seen[rows, column] = True
        return activity, features, age, seen


def targets_of(moments: Sequence[Moment], n: int) -> Targets:
    activity = torch.tensor([m.target for m in moments])
    weights = torch.zeros(len(moments), n, dtype=torch.float64)
    weights[torch.arange(len(moments)), activity] = torch.tensor([m.weight for m in moments], dtype=torch.float64)
    return Targets(weights, None, activity, torch.tensor([m.reward for m in moments], dtype=torch.float64))


def strength(delivery: Delivery) -> float:
    """completion x (helpfulness or 1), helpfulness scaled so that the middle of the scale counts 1."""
    if not delivery.outcome.completed:
        return 0.0
    return 1.0 if delivery.outcome.helpfulness is None else delivery.outcome.helpfulness / 3


def by_fold(x: np.ndarray, weights: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Scores of each row by the weights of its fold, (B, N); weights: (F, N, N) or (N, N) for all.

    Histories are short beside the catalogue: the product runs over what is there, unless all of it is small.
    """
    weights = weights.reshape(-1, x.shape[1], x.shape[1])
    rows = x if x.size <= SMALL else scipy.sparse.csr_array(x)
    if len(weights) == 1:
        alike: np.ndarray = rows @ weights[0]
        return alike
    scores = np.empty(x.shape, dtype=weights.dtype)
    for f in np.unique(fold):
        scores[fold == f] = rows[fold == f] @ weights[f]
    return scores


def standardised(scores: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and sd 1; rows without any difference become 0."""
    spread = scores.std(axis=1, keepdims=True)
    return (scores - scores.mean(axis=1, keepdims=True)) / np.where(spread > 1e-9, spread, np.inf)


def chunks(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for i in range(0, len(order), size):
        yield order[i : i + size]


def _token(delivery: Delivery, gap_days: float) -> list[float]:
    outcome = delivery.outcome
    helpful = 0.0 if outcome.helpfulness is None else (outcome.helpfulness - 3) / 2
    return [
        float(bool(outcome.completed)),
        float(outcome.completed is not None),
        helpful,
        float(outcome.helpfulness is not None),
        outcome.mood_change or 0.0,
        float(outcome.mood_change is not None),
        math.log1p(max(gap_days, 0.0)),
    ]
