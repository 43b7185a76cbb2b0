"""The reward of a delivered activity, and a Bayesian linear model of it with a part for each person.

Shapes:  N activities   A attributes   C context columns   d shared coefficients   q coefficients of a person

    r = g(context)'a + (phi(context, activity) - mean of phi under the sampling law)'b + z'u_person + noise

Action-centring (Greenewald, Tewari, Klasnja & Murphy 2017) keeps what all activities share at a moment, and a wrong
model of it, out of the comparison between them. Everything is normal, so pooled fit, per-person effects and
rank-one updates are exact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from recommender.catalogue import Activity, Outcome, attribute_matrix, attribute_names
from recommender.context import BLOCK_OF, COLUMNS, RANKING_BLOCKS, columns_of


@dataclass(frozen=True)
class RewardDefinition:
    """Weights of what a person did and said; never of what a recogniser saw.

    A policy rewarded by a recogniser would learn to please the sensor's errors.
    window_hours: how long after the offer an outcome still counts.
    """

    completed: float = 0.5
    helpfulness: float = 0.3
    mood_change: float = 0.2
    window_hours: float = 48.0


class OutcomeModel:
    """Turns outcomes into rewards, centred per technique; a missing answer is predicted, not dropped.

    A missing answer takes its expectation among people with the same technique and completion, shrunken towards all
    techniques and then towards the middle of the scale; the variance of that guess is reported beside the reward.

    strength: number of answers the shrinkage is worth.
    """

    def __init__(self, definition: RewardDefinition | None = None, strength: float = 4.0) -> None:
        self.definition = definition or RewardDefinition()
        self.strength = strength
        self.cells_: dict[str, tuple[float, float]] = {}
        self.centres_: dict[str, float] = {}

    def fit(self, techniques: Sequence[str], outcomes: Sequence[Outcome]) -> OutcomeModel:
        """Learn the expectations of missing answers and the mean reward of each technique."""
        values: dict[str, list[float]] = defaultdict(list)
        for technique, outcome in zip(techniques, outcomes, strict=True):
            for part, value in _unit_values(outcome).items():
                for key in _keys(part, technique, outcome.completed):
                    values[key].append(value)
        for key in sorted(values, key=lambda name: name.count("|")):  # wide cells first: narrow ones lean on them
            self.cells_[key] = self._shrunken(values[key], self._cell(key.rpartition("|")[0]))
        self._centre(techniques, outcomes)
        return self

    def reward(self, technique: str, outcome: Outcome) -> tuple[float, float]:
        """Return the reward centred per technique, and the variance that its missing parts leave in it."""
        value, variance = self._uncentred(technique, outcome)
        return value - self.centres_.get(technique, self.centres_.get("", 0.0)), variance

    def _uncentred(self, technique: str, outcome: Outcome) -> tuple[float, float]:
        known, total, variance = _unit_values(outcome), 0.0, 0.0
        for part in ("completed", "helpfulness", "mood_change"):
            weight = getattr(self.definition, part)
            mean, spread = known.get(part), 0.0
            if mean is None:
                mean, spread = self._cell(_keys(part, technique, outcome.completed)[-1])
            total, variance = total + weight * mean, variance + weight**2 * spread
        return total, variance

    def _cell(self, key: str) -> tuple[float, float]:
        """Mean and variance of the narrowest known cell around a key."""
        while key and key not in self.cells_:
            key = key.rpartition("|")[0]
        return self.cells_.get(key, (0.5, 1 / 12))  # knowing nothing: uniform on the scale

    def _shrunken(self, values: list[float], towards: tuple[float, float]) -> tuple[float, float]:
        n, k = len(values), self.strength
        mean = (sum(values) + k * towards[0]) / (n + k)
        squares = sum((value - mean) ** 2 for value in values) + k * (towards[1] + (towards[0] - mean) ** 2)
        return mean, squares / (n + k)

    def _centre(self, techniques: Sequence[str], outcomes: Sequence[Outcome]) -> None:
        rewards: dict[str, list[float]] = defaultdict(list)
        for technique, outcome in zip(techniques, outcomes, strict=True):
            rewards[technique].append(self._uncentred(technique, outcome)[0])
        everyone = [value for values in rewards.values() for value in values]
        middle = sum(everyone) / len(everyone) if everyone else 0.0
        k = self.strength
        self.centres_ = {t: (sum(values) + k * middle) / (len(values) + k) for t, values in rewards.items()}
        self.centres_[""] = middle

    def to_dict(self) -> dict[str, Any]:
        return {
            "definition": asdict(self.definition),
            "strength": self.strength,
            "cells": {key: list(cell) for key, cell in self.cells_.items()},
            "centres": self.centres_,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OutcomeModel:
        model = cls(RewardDefinition(**values["definition"]), values["strength"])
        model.cells_ = {key: (mean, variance) for key, (mean, variance) in values["cells"].items()}
        model.centres_ = dict(values["centres"])
        return model


@dataclass(frozen=True)
class RewardConfig:
    """Prior standard deviations, in units of reward, and blocks of the context that may favour an activity.

    Components of internet CBT differ by little, hence the narrow priors.
    person_activity: what a person likes of single activities beyond their attributes; 0 leaves it out.
    """

    noise: float = 0.3
    baseline: float = 0.3
    attribute: float = 0.15
    activity: float = 0.1
    interaction: float = 0.1
    extra: float = 0.3
    person: float = 0.15
    person_attribute: float = 0.1
    person_activity: float = 0.0
    blocks: tuple[str, ...] = RANKING_BLOCKS


@dataclass(frozen=True)
class Row:
    """One delivery with its reward.

    context: (C,).   activity: position among the head's activities.   reward: centred.
    reward_variance: left by missing answers.   law: (N,) sampling law at that moment; None for uniform.
    extra: (N, E) further columns per activity, such as a model's score.
    """

    context: np.ndarray
    activity: int
    reward: float
    reward_variance: float = 0.0
    law: np.ndarray | None = None
    extra: np.ndarray | None = None


class RewardHead:
    """Bayesian linear reward over a catalogue; `fit` pooled, then `personal` for one person.

    extra_names: names of the E further columns per activity.
    After `fit`: mean_ (d,), covariance_ (d, d), names_ of the coefficients.
    """

    def __init__(
        self, activities: Sequence[Activity], config: RewardConfig | None = None, extra_names: Sequence[str] = ()
    ) -> None:
        self.config = config or RewardConfig()
        self.ids = tuple(activity.id for activity in activities)
        self.attribute_names = attribute_names(activities)
        self.extra_names = tuple(extra_names)
        self.attributes = attribute_matrix(activities, self.attribute_names)  # (N, A)
        self.columns = columns_of(self.config.blocks)
        self.names_, prior_sd = self._coefficients()
        self.prior_variance = prior_sd**2
        self.own_attributes = self._own(self.attributes, np.eye(len(self.ids)))  # (N, q - 1)
        deviations = [self.config.person] + [self.config.person_attribute] * len(self.attribute_names)
        deviations += [self.config.person_activity] * (self.own_attributes.shape[1] - len(self.attribute_names))
        self.person_variance = np.array(deviations) ** 2
        self.mean_ = np.zeros(len(self.names_))
        self.covariance_ = np.diag(self.prior_variance)

    def fit(self, people: Mapping[Any, Sequence[Row]]) -> RewardHead:
        """Learn from all people at once, each person's own effects integrated out exactly."""
        precision, pull = np.diag(1 / self.prior_variance), np.zeros(len(self.names_))
        for rows in people.values():
            if not rows:
                continue
            x, z, y, noise = self._design(rows)
            within, whitened = self._person_precision(z, noise)
            gain = np.linalg.solve(within, whitened)  # (q, n)
            weighted = x.T / noise - (x.T @ whitened.T) @ gain  # (d, n): X' V^-1 by Woodbury
            precision += weighted @ x
            pull += weighted @ y
        self.covariance_ = np.linalg.inv(precision)
        self.covariance_ = (self.covariance_ + self.covariance_.T) / 2
        self.mean_ = self.covariance_ @ pull
        return self

    def personal(self, in_fit: Sequence[Row] = (), since: Sequence[Row] = ()) -> PersonalReward:
        """Return the posterior for one person.

        in_fit: the person's rows that the pooled fit has seen.   since: rows after it, taken one by one.
        """
        d, q = len(self.mean_), len(self.person_variance)
        mean, covariance = np.zeros(d + q), np.zeros((d + q, d + q))
        mean[:d], covariance[:d, :d] = self.mean_, self.covariance_
        covariance[d:, d:] = np.diag(self.person_variance)
        if in_fit:
            x, z, y, noise = self._design(in_fit)
            within, whitened = self._person_precision(z, noise)
            gain = np.linalg.solve(within, whitened)
            pulled = -gain @ x @ self.covariance_  # (q, d)
            mean[d:] = gain @ (y - x @ self.mean_)
            covariance[d:, :d], covariance[:d, d:] = pulled, pulled.T
            covariance[d:, d:] = np.linalg.inv(within) - pulled @ (gain @ x).T
        person = PersonalReward(self, mean, covariance)
        for row in since:
            person.update(row)
        return person

    def score(self, context: np.ndarray, activities: Sequence[Activity] | None = None, extra=None):
        """Return posterior mean and sd of the reward of each activity, (N,) and (N,), for an unknown person."""
        return self.personal().score(context, activities, extra)

    def without(self, block: str) -> RewardHead:
        """The same posterior with every coefficient of a context block integrated out."""
        keep = self._outside(block)
        blocks = tuple(name for name in self.config.blocks if name != block)
        other = RewardHead.__new__(RewardHead)
        other.__dict__.update(self.__dict__)
        other.config = RewardConfig(**{**asdict(self.config), "blocks": blocks})
        other.columns = columns_of(blocks)
        other.names_ = tuple(np.array(self.names_, dtype=object)[keep])
        other.baseline_columns_ = [c for c in self.baseline_columns_ if BLOCK_OF[COLUMNS[c]] != block]
        other.prior_variance = self.prior_variance[keep]
        other.mean_, other.covariance_ = self.mean_[keep], self.covariance_[np.ix_(keep, keep)]
        return other

    def features(self, context, activities: Sequence[Activity] | None = None, extra=None) -> np.ndarray:
        """Return phi of each activity before centring, (N, d), zero in the baseline columns.

        An activity the head has never seen has no intercept of its own; its attributes still speak.
        """
        attributes, own = self._described(activities)
        n = len(attributes)
        interactions = (attributes[:, :, None] * context[self.columns]).reshape(n, -1)  # (N, A·C')
        extra = np.zeros((n, len(self.extra_names))) if extra is None else np.asarray(extra, dtype=float)
        baseline = np.zeros((n, 1 + len(self.baseline_columns_)))
        return np.hstack([baseline, attributes, own, interactions, extra.reshape(n, len(self.extra_names))])

    def own_features(self, activities: Sequence[Activity] | None = None) -> np.ndarray:
        """What a person may like of each activity, before centring and without the intercept, (N, q - 1)."""
        return self._own(*self._described(activities))

    def _described(self, activities: Sequence[Activity] | None) -> tuple[np.ndarray, np.ndarray]:
        """Attributes (N, A) and which known activity each one is (N, number known)."""
        if activities is None:
            return self.attributes, np.eye(len(self.ids))
        place = {name: i for i, name in enumerate(self.ids)}
        known = np.zeros((len(activities), len(self.ids)))
        for row, activity in enumerate(activities):
            if activity.id in place:
                known[row, place[activity.id]] = 1.0
        return attribute_matrix(activities, self.attribute_names), known

    def _own(self, attributes: np.ndarray, known: np.ndarray) -> np.ndarray:
        return np.hstack([attributes, known]) if self.config.person_activity else attributes

    def baseline(self, context: np.ndarray) -> np.ndarray:
        """g(context) in the place of its coefficients, (d,)."""
        g = np.zeros(len(self.names_))
        g[: 1 + len(self.baseline_columns_)] = [1.0, *context[self.baseline_columns_]]
        return g

    def _coefficients(self) -> tuple[tuple[str, ...], np.ndarray]:
        c, context = self.config, [COLUMNS[i] for i in self.columns]
        self.baseline_columns_ = list(range(len(COLUMNS)))
        groups = [
            (c.baseline, ["baseline", *(f"baseline*{name}" for name in COLUMNS)]),
            (c.attribute, [f"attribute:{name}" for name in self.attribute_names]),
            (c.activity, [f"activity:{name}" for name in self.ids]),
            (c.interaction, [f"attribute:{a}*{name}" for a in self.attribute_names for name in context]),
            (c.extra, [f"model:{name}" for name in self.extra_names]),
        ]
        names = tuple(name for _, members in groups for name in members)
        return names, np.array([sd for sd, members in groups for _ in members])

    def _outside(self, block: str) -> np.ndarray:
        """Which coefficients do not belong to a context block, (d,) bool."""
        return np.array([block not in self._blocks_of(name) for name in self.names_])

    def _blocks_of(self, name: str) -> set[str]:
        return {BLOCK_OF[part] for part in name.split("*")[1:] if part in BLOCK_OF}

    def _design(self, rows: Sequence[Row]):
        """Return shared features (n, d), personal ones (n, q), rewards (n,) and noise variances (n,)."""
        pairs = [self._row_features(row) for row in rows]
        x, z = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
        noise = np.array([self.config.noise**2 + row.reward_variance for row in rows])
        return x, z, np.array([row.reward for row in rows]), noise

    def _row_features(self, row: Row) -> tuple[np.ndarray, np.ndarray]:
        phi = self.features(row.context, extra=row.extra)
        law = np.full(len(self.ids), 1 / len(self.ids)) if row.law is None else np.asarray(row.law, dtype=float)
        personal = self.own_attributes[row.activity] - law @ self.own_attributes
        return phi[row.activity] - law @ phi + self.baseline(row.context), np.concatenate([[1.0], personal])

    def _person_precision(self, z: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        whitened = z.T / noise  # (q, n)
        return np.diag(1 / self.person_variance) + whitened @ z, whitened

    def arrays(self) -> dict[str, np.ndarray]:
        return {"reward.mean": self.mean_, "reward.covariance": self.covariance_}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> RewardHead:
        d = len(self.names_)
        if arrays["reward.mean"].shape != (d,) or arrays["reward.covariance"].shape != (d, d):
            raise ValueError(f"a reward head of {d} coefficients cannot hold {arrays['reward.mean'].shape}")
        self.mean_, self.covariance_ = arrays["reward.mean"], arrays["reward.covariance"]
        return self


@dataclass
class PersonalReward:
    """Joint posterior of the shared and one person's coefficients: mean (d+q,), covariance (d+q, d+q)."""

    head: RewardHead
    mean: np.ndarray
    covariance: np.ndarray
    updates: int = field(default=0)

    def update(self, row: Row) -> None:
        """Take in one delivery exactly, by a rank-one update (Sherman and Morrison 1950)."""
        x, z = self.head._row_features(row)
        v = np.concatenate([x, z])
        gain = self.covariance @ v
        spread = v @ gain + self.head.config.noise**2 + row.reward_variance
        self.mean = self.mean + gain * (row.reward - v @ self.mean) / spread
        self.covariance = self.covariance - np.outer(gain, gain) / spread
        self.updates += 1

    def without(self, block: str) -> PersonalReward:
        """The same posterior with every coefficient of a context block integrated out."""
        keep = np.concatenate([self.head._outside(block), np.ones(len(self.head.person_variance), dtype=bool)])
        return PersonalReward(self.head.without(block), self.mean[keep], self.covariance[np.ix_(keep, keep)])

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


def _unit_values(outcome: Outcome) -> dict[str, float]:
    """What is known of an outcome, each part scaled to 0–1."""
    values = {
        "completed": None if outcome.completed is None else float(outcome.completed),
        "helpfulness": None if outcome.helpfulness is None else (outcome.helpfulness - 1) / 4,
        "mood_change": None if outcome.mood_change is None else (outcome.mood_change + 1) / 2,
    }
    return {part: value for part, value in values.items() if value is not None}


def _keys(part: str, technique: str, completed: bool | None) -> list[str]:
    """Cells of a part from wide to narrow; answers are compared among equal completion."""
    if part == "completed":
        return [part, f"{part}|{technique}"]
    return [part] if completed is None else [part, f"{part}|{completed}", f"{part}|{completed}|{technique}"]
