"""A Bayesian linear model of the reward of an activity, fitted to all people, with a part for each person.

Shapes:  N activities   A attributes   C context columns   d shared coefficients   q coefficients of a person

    r = g(context)'a + (phi(context, activity) - mean of phi)'b + z'u_person + noise

The mean is over all activities alike, or under the sampling law where a row has one. The latter is action-centring
(Greenewald, Tewari, Klasnja & Murphy 2017): it keeps what all activities share at a moment, and a wrong model of it,
out of the comparison between them. `Recommender` gives no laws (docs/decisions/0016 says why). Everything is normal, so
that pooled fit, per-person effects and rank-one updates are exact. Rewards come from `outcomes`, one person's posterior
is in `personal`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recommender.catalogue import Activity, attribute_matrix, attribute_names
from recommender.context import BLOCK_OF, COLUMNS, EMOTIONS, RANKING_BLOCKS, columns_of
from recommender.personal import PersonalReward, posterior

EMOTION = [COLUMNS.index(f"emotion_{name}") for name in EMOTIONS]
INTENDED = "made for*emotion"  # what an activity earns more where the emotion is one it was made for
SLOW = ("time", "programme")
Design = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # x (n, d), z (n, q), rewards (n,), noise variances (n,)


@dataclass(frozen=True)
class RewardConfig:
    """Prior standard deviations, in units of reward, and blocks of the context that may favour an activity.

    Components of internet CBT differ by little, hence the narrow priors.
    interaction, slow: of an attribute with a column of emotion or DASS-21; with one of time or programme, which all
        people of a trial share and which would otherwise blur what is learnt of the attribute itself.
    person_activity: what a person likes of single activities beyond their attributes; 0 leaves it out.
    intended, intended_sd: prior of what an activity earns more where the emotion is one that clinicians made it for
        (tags "for:fear"), until people's answers say otherwise. With an intended_sd of 0 there is no such coefficient.
    silent: columns of these blocks that favour no activity all the same.
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
    intended_sd: float = 0.03
    blocks: tuple[str, ...] = RANKING_BLOCKS
    silent: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RewardConfig:
        """Read a model's card. What a card does not name did not exist when its model was trained."""
        known = {**BEFORE, "slow": values.get("interaction", 0.1), **values}
        lists = {"blocks": tuple(known.get("blocks", RANKING_BLOCKS)), "silent": tuple(known.get("silent", ()))}
        return cls(**{**known, **lists})

    @property
    def columns(self) -> list[int]:
        """Places in `COLUMNS` of what may favour an activity."""
        return [place for place in columns_of(self.blocks) if COLUMNS[place] not in self.silent]


BEFORE = {"attribute": 0.15, "interaction": 0.1, "intended_sd": 0.0}


@dataclass(frozen=True)
class Row:
    """One delivery with its reward.

    context: (C,).   activity: position among the head's activities.   reward: centred.
    reward_variance: left by missing answers.   law: (N,) to centre on; None: all activities alike.
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
        self.columns = self.config.columns
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
                x, z, y, noise = self.design(rows)
                weighted = np.linalg.solve(self._marginal(z, noise), np.column_stack([x, y]))  # V^-1 [X y]
                precision += x.T @ weighted[:, :-1]
                pull = pull + x.T @ weighted[:, -1]
        covariance = np.linalg.inv(precision)
        self.covariance_ = (covariance + covariance.T) / 2
        self.mean_ = self.covariance_ @ pull
        return self

    def personal(self, in_fit: Sequence[Row] = (), since: Sequence[Row] = ()) -> PersonalReward:
        """Return the posterior for one person: see `personal.posterior`."""
        return posterior(self, in_fit, since)

    def expected(
        self, context: np.ndarray, in_fit: Sequence[Row] = (), since: Sequence[Row] = (), extra=None
    ) -> np.ndarray:
        """The mean of `personal(...).score`, (N,), without the covariance where it is not needed."""
        if since:
            mean: np.ndarray = self.personal(in_fit, since).score(context, extra=extra)[0]
            return mean
        own = np.zeros(len(self.person_variance))
        if in_fit:
            x, z, y, noise = self.design(in_fit)
            own = self.gain(z, noise) @ (y - x @ self.mean_)
        advantage: np.ndarray = self.features(context, extra=extra) @ self.mean_ + self.own_attributes @ own[1:]
        return advantage - advantage.mean() + self.baseline(context) @ self.mean_ + own[0]

    def score(self, context: np.ndarray, activities: Sequence[Activity] | None = None, extra=None):
        """Return posterior mean and sd of the reward of each activity, (N,) and (N,), for an unknown person."""
        return self.personal().score(context, activities, extra)

    def without(self, block: str) -> RewardHead:
        """The same posterior with every coefficient of a context block integrated out."""
        keep = self.outside(block)
        blocks = tuple(name for name in self.config.blocks if name != block)
        other = RewardHead.__new__(RewardHead)
        other.__dict__.update(self.__dict__)
        other.config = RewardConfig(**{**asdict(self.config), "blocks": blocks})
        other.columns = other.config.columns
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
        known, made_for = np.zeros((len(activities), len(self.ids))), intentions(activities)
        for row, activity in enumerate(activities):
            if activity.id in place:
                known[row, place[activity.id]] = 1.0
                made_for[row] = self.made_for[place[activity.id]]
        return attribute_matrix(activities, self.attribute_names), known, made_for

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

    def outside(self, block: str) -> np.ndarray:
        """Which coefficients do not belong to a context block, (d,) bool."""
        return np.array([block not in self._blocks_of(name) for name in self.names_])

    def _blocks_of(self, name: str) -> set[str]:
        return {BLOCK_OF.get(part, part) for part in name.split("*")[1:]}

    def design(self, rows: Sequence[Row]) -> Design:
        """Return shared features (n, d), personal ones (n, q), rewards (n,) and noise variances (n,).

        Attribute x context is linear in the attribute, so that centring is done before the product.
        """
        n, chosen = len(rows), [row.activity for row in rows]
        contexts = np.array([row.context for row in rows])  # (n, C)
        uniform = np.full(len(self.ids), 1 / len(self.ids))
        laws = np.array([uniform if row.law is None else row.law for row in rows], dtype=float)  # (n, N)
        attributes = self.attributes[chosen] - laws @ self.attributes
        own = np.eye(len(self.ids))[chosen] - laws
        interactions = (attributes[:, :, None] * contexts[:, None, self.columns]).reshape(n, -1)
        made_for = self.made_for[chosen] - laws @ self.made_for
        fits = (made_for * contexts[:, EMOTION]).sum(axis=1, keepdims=True) if self.intended else np.zeros((n, 0))
        baseline = np.hstack([np.ones((n, 1)), contexts[:, self.baseline_columns_]])
        x = np.hstack([baseline, attributes, own, interactions, fits, self._extra(rows, chosen, laws)])
        z = np.hstack([np.ones((n, 1)), self._own(attributes, own)])
        noise = np.array([self.config.noise**2 + row.reward_variance for row in rows])
        return x, z, np.array([row.reward for row in rows]), noise

    def _extra(self, rows: Sequence[Row], chosen: list[int], laws: np.ndarray) -> np.ndarray:
        """Further columns of what was offered, centred as the others are, (n, E)."""
        shape = len(self.ids), len(self.extra_names)
        none = np.zeros(shape)
        extra = np.array([none if row.extra is None else np.reshape(row.extra, shape) for row in rows], dtype=float)
        centred: np.ndarray = extra[np.arange(len(rows)), chosen] - (laws[:, None] @ extra)[:, 0]
        return centred

    def _marginal(self, z: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Covariance of a person's rewards given the shared coefficients, (n, n)."""
        return (z * self.person_variance) @ z.T + np.diag(noise)

    def gain(self, z: np.ndarray, noise: np.ndarray) -> np.ndarray:
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


def intentions(activities: Sequence[Activity]) -> np.ndarray:
    """1 where clinicians made an activity for an emotion, by its tags, (N, 7)."""
    return np.array([[float(f"for:{name}" in a.tags) for name in EMOTIONS] for a in activities]).reshape(-1, 7)
