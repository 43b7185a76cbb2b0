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
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from recommender.catalogue import Activity, Outcome, attribute_matrix, attribute_names
from recommender.context import BLOCK_OF, COLUMNS, EMOTIONS, RANKING_BLOCKS, columns_of

EMOTION = [COLUMNS.index(f"emotion_{name}") for name in EMOTIONS]
INTENDED = "made for*emotion"  # what an activity earns more where the emotion is one it was made for
SLOW = ("time", "programme")
Design = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # x (n, d), z (n, q), rewards (n,), noise variances (n,)


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
    """Turns outcomes into rewards, centred on their mean; a missing answer is predicted, not dropped.

    A missing answer takes its expectation among people with the same technique and completion, shrunken towards all
    techniques and then towards the middle of the scale; the variance of that guess is reported beside the reward.

    strength: number of answers the shrinkage is worth.
    per_technique: centre each technique on its own mean, so that no technique is preferred for being completed more
        often. It also hides that one technique helps more than another, which cost more than it protected from
        (docs/decisions); models trained so keep their centres.
    """

    def __init__(
        self, definition: RewardDefinition | None = None, strength: float = 4.0, per_technique: bool = False
    ) -> None:
        self.definition = definition or RewardDefinition()
        self.strength, self.per_technique = strength, per_technique
        self.cells_: dict[str, tuple[float, float]] = {}
        self.centres_: dict[str, float] = {}

    def fit(self, techniques: Sequence[str], outcomes: Sequence[Outcome]) -> OutcomeModel:
        """Learn the expectations of missing answers and the mean reward."""
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
        """Return the centred reward, and the variance that its missing parts leave in it."""
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
        self.centres_ = {"": middle}
        if self.per_technique:
            self.centres_ |= {t: (sum(values) + k * middle) / (len(values) + k) for t, values in rewards.items()}

    def to_dict(self) -> dict[str, Any]:
        return {
            "definition": asdict(self.definition),
            "strength": self.strength,
            "per_technique": self.per_technique,
            "cells": {key: list(cell) for key, cell in self.cells_.items()},
            "centres": self.centres_,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OutcomeModel:
        per_technique = values.get("per_technique", True)  # all models before this was a choice
        model = cls(RewardDefinition(**values["definition"]), values["strength"], per_technique)
        model.cells_ = {key: (mean, variance) for key, (mean, variance) in values["cells"].items()}
        model.centres_ = dict(values["centres"])
        return model


@dataclass(frozen=True)
class RewardConfig:
    """Prior standard deviations, in units of reward, and blocks of the context that may favour an activity.

    Components of internet CBT differ by little, hence the narrow priors.
    interaction, slow: of an attribute with a column of emotion or DASS-21; with one of time or programme, which all
        people of a trial share and which would otherwise blur what is learnt of the attribute itself.
    person_activity: what a person likes of single activities beyond their attributes; 0 leaves it out.
    intended, intended_sd: prior of what an activity earns more where the emotion is one that clinicians made it for
        (tags "for:fear"). With an intended_sd of 0 there is no such coefficient; in the simulated worlds, whose
        table is right for four of seven emotions, it did not pay (docs/benchmarks/recommender-regret.md).
    """

    noise: float = 0.3
    baseline: float = 0.3
    attribute: float = 0.06
    activity: float = 0.1
    interaction: float = 0.06
    slow: float = 0.02
    extra: float = 0.3
    person: float = 0.15
    person_attribute: float = 0.1
    person_activity: float = 0.0
    intended: float = 0.04
    intended_sd: float = 0.0
    blocks: tuple[str, ...] = RANKING_BLOCKS

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RewardConfig:
        """Read a model's card. What a card does not name did not exist when its model was trained."""
        known = {**BEFORE, "slow": values.get("interaction", 0.1), **values}
        return cls(**{**known, "blocks": tuple(known.get("blocks", RANKING_BLOCKS))})


BEFORE = {"attribute": 0.15, "interaction": 0.1}


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
    made_for: (N, 7) 1 where an activity was made for an emotion; by default from its tags.
    After `fit`: mean_ (d,), covariance_ (d, d), names_ of the coefficients.
    """

    def __init__(
        self,
        activities: Sequence[Activity],
        config: RewardConfig | None = None,
        extra_names: Sequence[str] = (),
        made_for: np.ndarray | None = None,
    ) -> None:
        self.config = config or RewardConfig()
        self.ids = tuple(activity.id for activity in activities)
        self.attribute_names = attribute_names(activities)
        self.extra_names = tuple(extra_names)
        self.attributes = attribute_matrix(activities, self.attribute_names)  # (N, A)
        self.made_for = intentions(activities) if made_for is None else made_for  # (N, 7)
        asked = self.config.intended_sd > 0 and "emotion" in self.config.blocks
        self.intended = (INTENDED,) if asked and self.made_for.any() else ()
        self.columns = columns_of(self.config.blocks)
        self.names_, prior_sd = self._coefficients()
        self.prior_variance = prior_sd**2
        self.prior_mean = np.where(np.array(self.names_) == INTENDED, self.config.intended, 0.0)
        self.own_attributes = self._own(self.attributes, np.eye(len(self.ids)))  # (N, q - 1)
        a, n = len(self.attribute_names), self.own_attributes.shape[1] - len(self.attribute_names)
        c = self.config
        self.person_variance = np.repeat([c.person, c.person_attribute, c.person_activity], [1, a, n]) ** 2
        self.mean_ = self.prior_mean.copy()
        self.covariance_ = np.diag(self.prior_variance)

    def fit(self, people: Mapping[Any, Sequence[Row]]) -> RewardHead:
        """Learn from all people at once, each person's own effects integrated out exactly."""
        precision, pull = np.diag(1 / self.prior_variance), self.prior_mean / self.prior_variance
        for rows in people.values():
            if rows:
                x, z, y, noise = self._design(rows)
                weighted = np.linalg.solve(self._marginal(z, noise), np.column_stack([x, y]))  # V^-1 [X y]
                precision += x.T @ weighted[:, :-1]
                pull = pull + x.T @ weighted[:, -1]
        covariance = np.linalg.inv(precision)
        self.covariance_ = (covariance + covariance.T) / 2
        self.mean_ = self.covariance_ @ pull
        return self

    def personal(self, in_fit: Sequence[Row] = (), since: Sequence[Row] = ()) -> PersonalReward:
        """Return the posterior for one person.

        in_fit: the person's rows that the pooled fit has seen.   since: rows after it, taken in together, which
        is exactly what rank-one updates of one after the other give.
        """
        d, q = len(self.mean_), len(self.person_variance)
        mean, covariance = np.concatenate([self.mean_, np.zeros(q)]), np.zeros((d + q, d + q))
        covariance[:d, :d] = self.covariance_
        covariance[d:, d:] = np.diag(self.person_variance)
        influence = np.zeros((len(in_fit) + len(since), d + q))
        if in_fit:
            x, z, y, noise = self._design(in_fit)
            gain = self._gain(z, noise)  # (q, n)
            pulled = -gain @ x @ self.covariance_  # (q, d)
            influence[: len(in_fit), d:] = (gain * (y - x @ self.mean_)).T
            covariance[d:, :d], covariance[:d, d:] = pulled, pulled.T
            covariance[d:, d:] -= gain @ (z * self.person_variance) + pulled @ (gain @ x).T
        if since:
            x, z, y, noise = self._design(since)
            v = np.hstack([x, z])  # (n, d+q)
            reach = covariance @ v.T
            gain = np.linalg.solve(v @ reach + np.diag(noise), reach.T).T  # (d+q, n)
            before = mean + influence.sum(axis=0)
            influence[len(in_fit) :] = (gain * (y - v @ before)).T
            covariance = covariance - gain @ reach.T
        return PersonalReward(self, mean + influence.sum(axis=0), covariance, len(since), influence)

    def expected(
        self, context: np.ndarray, in_fit: Sequence[Row] = (), since: Sequence[Row] = (), extra=None
    ) -> np.ndarray:
        """The mean of `personal(...).score`, (N,), without the covariance where it is not needed."""
        if since:
            mean: np.ndarray = self.personal(in_fit, since).score(context, extra=extra)[0]
            return mean
        own = np.zeros(len(self.person_variance))
        if in_fit:
            x, z, y, noise = self._design(in_fit)
            own = self._gain(z, noise) @ (y - x @ self.mean_)
        advantage: np.ndarray = self.features(context, extra=extra) @ self.mean_ + self.own_attributes @ own[1:]
        return advantage - advantage.mean() + self.baseline(context) @ self.mean_ + own[0]

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
        other.prior_variance, other.prior_mean = self.prior_variance[keep], self.prior_mean[keep]
        other.intended = () if block == "emotion" else self.intended
        other.mean_, other.covariance_ = self.mean_[keep], self.covariance_[np.ix_(keep, keep)]
        return other

    def features(self, context, activities: Sequence[Activity] | None = None, extra=None) -> np.ndarray:
        """Return phi of each activity before centring, (N, d), zero in the baseline columns.

        An activity the head has never seen has no intercept of its own; its attributes still speak.
        """
        attributes, own, made_for = self._described(activities)
        n = len(attributes)
        interactions = (attributes[:, :, None] * context[self.columns]).reshape(n, -1)  # (N, A·C')
        fits = (made_for @ context[EMOTION])[:, None] if self.intended else np.zeros((n, 0))
        extra = np.zeros((n, len(self.extra_names))) if extra is None else np.asarray(extra, dtype=float)
        baseline = np.zeros((n, 1 + len(self.baseline_columns_)))
        return np.hstack([baseline, attributes, own, interactions, fits, extra.reshape(n, len(self.extra_names))])

    def own_features(self, activities: Sequence[Activity] | None = None) -> np.ndarray:
        """What a person may like of each activity, before centring and without the intercept, (N, q - 1)."""
        return self._own(*self._described(activities)[:2])

    def _described(self, activities: Sequence[Activity] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Attributes (N, A), which known activity each one is (N, number known), emotions it was made for (N, 7)."""
        if activities is None:
            return self.attributes, np.eye(len(self.ids)), self.made_for
        place = {name: i for i, name in enumerate(self.ids)}
        known = np.zeros((len(activities), len(self.ids)))
        for row, activity in enumerate(activities):
            if activity.id in place:
                known[row, place[activity.id]] = 1.0
        return attribute_matrix(activities, self.attribute_names), known, intentions(activities)

    def _own(self, attributes: np.ndarray, known: np.ndarray) -> np.ndarray:
        return np.hstack([attributes, known]) if self.config.person_activity else attributes

    def baseline(self, context: np.ndarray) -> np.ndarray:
        """g(context) in the place of its coefficients, (d,)."""
        g = np.zeros(len(self.names_))
        g[: 1 + len(self.baseline_columns_)] = [1.0, *context[self.baseline_columns_]]
        return g

    def _coefficients(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Names and prior deviations of the shared coefficients, (d,) each."""
        c = self.config
        self.baseline_columns_ = list(range(len(COLUMNS)))
        groups = [
            (c.baseline, ["baseline", *(f"baseline*{name}" for name in COLUMNS)]),
            (c.attribute, [f"attribute:{name}" for name in self.attribute_names]),
            (c.activity, [f"activity:{name}" for name in self.ids]),
        ]
        context = [COLUMNS[i] for i in self.columns]
        for a in self.attribute_names:
            for name in context:
                groups.append((c.slow if BLOCK_OF[name] in SLOW else c.interaction, [f"attribute:{a}*{name}"]))
        groups += [(c.intended_sd, list(self.intended)), (c.extra, [f"model:{name}" for name in self.extra_names])]
        names = tuple(name for _, members in groups for name in members)
        return names, np.array([sd for sd, members in groups for _ in members])

    def _outside(self, block: str) -> np.ndarray:
        """Which coefficients do not belong to a context block, (d,) bool."""
        return np.array([block not in self._blocks_of(name) for name in self.names_])

    def _blocks_of(self, name: str) -> set[str]:
        return {BLOCK_OF.get(part, part) for part in name.split("*")[1:]}

    def _design(self, rows: Sequence[Row]) -> Design:
        """Return shared features (n, d), personal ones (n, q), rewards (n,) and noise variances (n,).

        The rows of `_row_features`, all at once: attribute x context is linear in the attribute, so that centring on
        the sampling law is done before the product.
        """
        n, chosen = len(rows), [row.activity for row in rows]
        contexts = np.array([row.context for row in rows])  # (n, C)
        laws = np.array([self._law(row) for row in rows])  # (n, N)
        attributes = self.attributes[chosen] - laws @ self.attributes
        own = np.eye(len(self.ids))[chosen] - laws
        interactions = (attributes[:, :, None] * contexts[:, None, self.columns]).reshape(n, -1)
        made_for = self.made_for[chosen] - laws @ self.made_for
        fits = (made_for * contexts[:, EMOTION]).sum(axis=1, keepdims=True) if self.intended else np.zeros((n, 0))
        extra = np.array([self._extra(row, law) for row, law in zip(rows, laws, strict=True)])
        baseline = np.hstack([np.ones((n, 1)), contexts[:, self.baseline_columns_]])
        x = np.hstack([baseline, attributes, own, interactions, fits, extra])
        z = np.hstack([np.ones((n, 1)), self._own(attributes, own)])
        noise = np.array([self.config.noise**2 + row.reward_variance for row in rows])
        return x, z, np.array([row.reward for row in rows]), noise

    def _law(self, row: Row) -> np.ndarray:
        return np.full(len(self.ids), 1 / len(self.ids)) if row.law is None else np.asarray(row.law, dtype=float)

    def _extra(self, row: Row, law: np.ndarray) -> np.ndarray:
        """Further columns of what was offered, centred on the law, (E,)."""
        if row.extra is None:
            return np.zeros(len(self.extra_names))
        extra = np.asarray(row.extra, dtype=float).reshape(len(self.ids), len(self.extra_names))
        centred: np.ndarray = extra[row.activity] - law @ extra
        return centred

    def _marginal(self, z: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Covariance of a person's rewards given the shared coefficients, (n, n)."""
        return (z * self.person_variance) @ z.T + np.diag(noise)

    def _gain(self, z: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """What a person's coefficients take of each of their residuals, (q, n)."""
        return np.linalg.solve(self._marginal(z, noise), z * self.person_variance).T

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
        x, z, y, noise = self.head._design([row])
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
        keep = np.concatenate([self.head._outside(block), np.ones(len(self.head.person_variance), dtype=bool)])
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


def intentions(activities: Sequence[Activity]) -> np.ndarray:
    """1 where clinicians made an activity for an emotion, by its tags, (N, 7)."""
    return np.array([[float(f"for:{name}" in a.tags) for name in EMOTIONS] for a in activities]).reshape(-1, 7)


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
