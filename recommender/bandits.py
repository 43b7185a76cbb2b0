"""Policies for simulated people: the reward head for many people at once, and what others would use instead.

Each policy says which activity it would choose, `law(day, contexts, here)`, and hears what came of it, `learn(offers)`.
The trial then mixes every law with the same share of chance (`PolicyConfig.epsilon`), as the decision layer does.

Shapes:  P people   N activities   C context columns   R trials side by side, of n = P / R people   d, q as in reward
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recommender.context import COLUMNS, EMOTIONS, RANKING_BLOCKS, columns_of
from recommender.linear import Ease
from recommender.policy import PolicyConfig
from recommender.reward import RewardConfig, RewardHead
from recommender.simulator import Cohort, World

DRAWS = 200
CENTRINGS = ("all", "law", "none")
RANKING = columns_of(RANKING_BLOCKS)
EMOTION = [COLUMNS.index(f"emotion_{name}") for name in EMOTIONS]


@dataclass(frozen=True)
class Offers:
    """One day's offers. who: (m,) people.   contexts: (m, C).   laws: (m, N) as drawn from.   chosen: (m,).
    reward, variance: (m,), centred.   done, helpful: (m,), helpful NaN where not told."""

    day: int
    who: np.ndarray
    contexts: np.ndarray
    laws: np.ndarray
    chosen: np.ndarray
    reward: np.ndarray
    variance: np.ndarray
    done: np.ndarray
    helpful: np.ndarray


class MixedEffects:
    """`RewardHead` and `PersonalReward` for all people at once, from sums that grow with each offer.

    Equal to both to rounding (tests/recommender/test_bandits.py): with u = person, W = D^-1 + Szz, B = W^-1 Szx,

        precision = prior + Sxx - sum_p Sxz B,   u | b ~ N(W^-1 sz - B b, W^-1),   score = (phi - zeta B) b + zeta u0

    centring: which mean is taken off the features: of "all" activities alike, as `Recommender` does; under the sampling
        "law" (action-centring); or "none".
    """

    def __init__(
        self,
        head: RewardHead,
        people: int,
        groups: int = 1,
        *,
        centring: str = "all",
    ) -> None:
        if centring not in CENTRINGS:
            raise ValueError(f"centring must be one of {', '.join(CENTRINGS)}")
        self.head, self.groups, self.centring = head, groups, centring
        d, q = len(head.names_), len(head.person_variance)
        shape = (groups, people // groups)
        self.sxx, self.sx = np.zeros((groups, d, d)), np.zeros((groups, d))
        self.szx, self.szz, self.sz = np.zeros((*shape, q, d)), np.zeros((*shape, q, q)), np.zeros((*shape, q))
        self.fit()

    def learn(self, offers: Offers) -> None:
        """Add a day's offers; `fit` makes them count."""
        head, m = self.head, len(offers.who)
        phi, rows = self.features(offers.contexts), np.arange(m)
        z = np.hstack([np.ones((m, 1)), head.own_attributes[offers.chosen]])
        x = phi[rows, offers.chosen]
        if self.centring != "none":
            laws = offers.laws if self.centring == "law" else np.full_like(offers.laws, 1 / offers.laws.shape[1])
            x = x - np.einsum("mn,mnd->md", laws, phi)
            z[:, 1:] -= laws @ head.own_attributes
        x[:, 0] += 1.0
        x[:, 1 : 1 + len(COLUMNS)] += offers.contexts
        weight = 1 / (head.config.noise**2 + offers.variance)
        group, place = np.divmod(offers.who, self.sz.shape[1])
        wx, wz = weight[:, None] * x, weight[:, None] * z
        for g in np.unique(group):
            mine = group == g
            self.sxx[g] += wx[mine].T @ x[mine]
            self.sx[g] += wx[mine].T @ offers.reward[mine]
        self.szx[group, place] += wz[:, :, None] * x[:, None, :]  # a person has one offer a day: no index twice
        self.szz[group, place] += wz[:, :, None] * z[:, None, :]
        self.sz[group, place] += wz * offers.reward[:, None]

    def fit(self) -> None:
        """The posterior after everything heard so far."""
        r, n, q, d = self.szx.shape
        self.within = np.linalg.inv(np.diag(1 / self.head.person_variance) + self.szz)  # W^-1
        self.pulled = self.within @ self.szx  # B
        flat = self.szx.reshape(r, n * q, d)
        precision = np.diag(1 / self.head.prior_variance) + self.sxx
        precision -= np.swapaxes(flat, -1, -2) @ self.pulled.reshape(r, n * q, d)
        self.covariance = np.linalg.inv((precision + np.swapaxes(precision, -1, -2)) / 2)
        pull = self.sx - np.einsum("rnqd,rnq->rd", self.pulled, self.sz)
        pull += self.head.prior_mean / self.head.prior_variance
        self.mean = (self.covariance @ pull[..., None])[..., 0]

    def score(self, contexts: np.ndarray, who: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Advantage of each activity over their mean, and its sd, (m, N) each. contexts: (m, C) of the people `who`."""
        phi = self.features(contexts)
        phi -= phi.mean(axis=1, keepdims=True)
        zeta = np.hstack([np.zeros((phi.shape[1], 1)), self.head.own_attributes])
        zeta -= zeta.mean(axis=0)
        group, place = np.divmod(who, self.sz.shape[1])
        within = self.within[group, place]  # (m, q, q)
        phi -= zeta @ self.pulled[group, place]
        own = (within @ self.sz[group, place][..., None])[..., 0]  # (m, q)
        mean, variance = own @ zeta.T, np.einsum("nq,mqs,ns->mn", zeta, within, zeta, optimize=True)
        for g in np.unique(group):
            mine = np.flatnonzero(group == g)
            flat = phi[mine].reshape(-1, phi.shape[2])
            mean[mine] += (flat @ self.mean[g]).reshape(len(mine), -1)
            variance[mine] += ((flat @ self.covariance[g]) * flat).sum(axis=1).reshape(len(mine), -1)
        return mean, np.sqrt(np.maximum(variance, 0.0))

    def features(self, contexts: np.ndarray) -> np.ndarray:
        """`RewardHead.features` of many moments, (m, N, d)."""
        head, m = self.head, len(contexts)
        n, a = head.attributes.shape
        first = 1 + len(COLUMNS)
        phi = np.zeros((m, n, len(head.names_)))
        phi[:, :, first : first + a] = head.attributes
        phi[:, :, first + a : first + a + n] = np.eye(n)
        interactions = head.attributes[None, :, :, None] * contexts[:, None, None, head.columns]
        last = len(head.names_) - len(head.extra_names)
        phi[:, :, first + a + n : last - len(head.intended)] = interactions.reshape(m, n, -1)
        if head.intended:
            phi[:, :, last - 1] = contexts[:, EMOTION] @ head.made_for.T
        return phi


class Learner:
    """Thompson sampling from the reward head: ours, pooled, mixed-effects and LinTS differ by their configuration.

    noise_seed: of the posterior draws.   spread: factor on the posterior's sd, as `PolicyConfig.spread`.
    """

    def __init__(self, engine: MixedEffects, noise_seed: int, spread: float = 1.0) -> None:
        self.engine, self.spread, self.rng = engine, spread, np.random.default_rng([noise_seed, 3])

    def law(self, day: int, contexts: np.ndarray, who: np.ndarray) -> np.ndarray:
        mean, sd = self.engine.score(contexts, who)
        return thompson(mean, self.spread * sd, self.rng)

    def learn(self, offers: Offers) -> None:
        self.engine.learn(offers)
        self.engine.fit()


def thompson(mean: np.ndarray, sd: np.ndarray, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """How often each activity is best among posterior draws, (m, N); as `draws.thompson_probabilities`."""
    wins = np.zeros(mean.shape)
    mean, sd, rows = mean.astype(np.float32), sd.astype(np.float32), np.arange(len(mean))
    for _ in range(draws):
        best = (mean + sd * rng.standard_normal(mean.shape, dtype=np.float32)).argmax(axis=1)
        wins[rows, best] += 1
    return wins / draws


class Uniform:
    """Chance."""

    def __init__(self, activities: int) -> None:
        self.n = activities

    def law(self, day: int, contexts: np.ndarray, who: np.ndarray) -> np.ndarray:
        return np.full((len(who), self.n), 1 / self.n)

    def learn(self, offers: Offers) -> None:
        pass


class Popularity(Uniform):
    """The activity with the best mean reward so far, one imagined average offer each."""

    def __init__(self, activities: int) -> None:
        super().__init__(activities)
        self.total, self.count = np.zeros(activities), np.ones(activities)

    def law(self, day: int, contexts: np.ndarray, who: np.ndarray) -> np.ndarray:
        return np.tile(_first(self.total / self.count), (len(who), 1))

    def learn(self, offers: Offers) -> None:
        np.add.at(self.total, offers.chosen, offers.reward)
        np.add.at(self.count, offers.chosen, 1)


class Rules(Uniform):
    """Clinicians' table: a technique for the emotion shown, any of its activities; without a check-in, anything."""

    def __init__(self, world: World) -> None:
        super().__init__(len(world.activities))
        technique = [activity.technique for activity in world.activities]
        fitting = np.array([[float(t == rule) for t in technique] for rule in world.rules])
        self.made_for = fitting.T  # (N, 7): as the tags "for:fear" say it in the service
        self.fitting = fitting / fitting.sum(axis=1, keepdims=True)

    def law(self, day: int, contexts: np.ndarray, who: np.ndarray) -> np.ndarray:
        shown = contexts[:, EMOTION]
        laws = self.fitting[shown.argmax(axis=1)]
        laws[(shown == 0).all(axis=1)] = 1 / self.n
        return laws


class EaseGreedy(Uniform):
    """EASE on completion x helpfulness, refitted every week; its best score, own favourites included by popularity."""

    def __init__(self, people: int, activities: int, regularisation: float = 50.0) -> None:
        super().__init__(activities)
        self.x, self.regularisation = np.zeros((people, activities)), regularisation
        self.weights: np.ndarray | None = None

    def law(self, day: int, contexts: np.ndarray, who: np.ndarray) -> np.ndarray:
        if day % 7 == 0 and self.x.any():
            self.weights = Ease(self.regularisation).fit(self.x).weights_
        if self.weights is None:
            return super().law(day, contexts, who)
        return _first(self.x[who] @ self.weights + 1e-6 * self.x.sum(axis=0))

    def learn(self, offers: Offers) -> None:
        helpful = np.where(np.isnan(offers.helpful), 3.0, offers.helpful) / 3
        np.add.at(self.x, (offers.who, offers.chosen), offers.done * helpful)


class LinUcb(Uniform):
    """Disjoint LinUCB (Li, Chu, Langford & Schapire 2010), one ridge regression per activity on the context."""

    def __init__(self, activities: int, alpha: float = 0.3) -> None:
        super().__init__(activities)
        d = 1 + len(RANKING)
        self.alpha, self.gram, self.pull = alpha, np.tile(np.eye(d), (activities, 1, 1)), np.zeros((activities, d))

    def law(self, day: int, contexts: np.ndarray, who: np.ndarray) -> np.ndarray:
        x, inverse = _with_one(contexts), np.linalg.inv(self.gram)
        mean = x @ (inverse @ self.pull[..., None])[..., 0].T
        width = np.sqrt(np.einsum("md,nde,me->mn", x, inverse, x, optimize=True))
        return _first(mean + self.alpha * width)

    def learn(self, offers: Offers) -> None:
        x = _with_one(offers.contexts)
        for i in np.unique(offers.chosen):
            mine = offers.chosen == i
            self.gram[i] += x[mine].T @ x[mine]
            self.pull[i] += x[mine].T @ offers.reward[mine]


class VowpalWabbit(Uniform):
    """Vowpal Wabbit's `cb_explore_adf` with its own exploration, shared context x activity features."""

    def __init__(self, world: World, seed: int) -> None:
        from vowpalwabbit import Workspace

        super().__init__(len(world.activities))
        self.model = Workspace(f"--cb_explore_adf --squarecb -q CA --quiet --random_seed {seed % 2**31 or 1}")
        self.actions = [
            f"|A {a.id} {a.technique} " + " ".join(f"{k.replace(':', '_')}:{v:g}" for k, v in a.described().items())
            for a in world.activities
        ]

    def law(self, day: int, contexts: np.ndarray, who: np.ndarray) -> np.ndarray:
        laws = np.array([self.model.predict(self._example(context)) for context in contexts])
        return laws / laws.sum(axis=1, keepdims=True)

    def learn(self, offers: Offers) -> None:
        for j in range(len(offers.who)):
            i = offers.chosen[j]
            label = f"0:{-offers.reward[j]:.4f}:{offers.laws[j, i]:.6f} "
            self.model.learn(self._example(offers.contexts[j], i, label))

    def _example(self, context: np.ndarray, chosen: int = -1, label: str = "") -> list[str]:
        shared = "shared |C " + " ".join(f"{COLUMNS[c]}:{context[c]:.4f}" for c in RANKING if context[c])
        return [shared, *(label + line if i == chosen else line for i, line in enumerate(self.actions))]


class Oracle(Uniform):
    """Knows the expected reward of everything."""

    def __init__(self, cohort: Cohort) -> None:
        super().__init__(cohort.logits.shape[2])
        self.expected = cohort.expected

    def law(self, day: int, contexts: np.ndarray, who: np.ndarray) -> np.ndarray:
        return _first(self.expected[who, day])


TINY = 1e-4
PEER = RewardConfig.from_dict({})  # priors as they were before any was chosen, nothing from clinicians
WITHOUT_PEOPLE = replace(PEER, person=TINY, person_attribute=TINY)


def make(name: str, world: World, cohort: Cohort, seed: int, *, groups: int = 1, config: RewardConfig | None = None):
    """A policy by its name in the benchmarks. seed: of its own randomness. ImportError where a peer is missing."""
    n, people, ours = len(world.activities), cohort.people, config or RewardConfig()

    def learner(head: RewardHead, centring: str, spread: float) -> Learner:
        return Learner(MixedEffects(head, people, groups, centring=centring), seed, spread)

    def head(of: RewardConfig, **known) -> RewardHead:
        return RewardHead(world.activities, of, **known)

    narrow, rules = PolicyConfig().spread, Rules(world).made_for
    makers = {
        "uniform": lambda: Uniform(n),
        "popularity": lambda: Popularity(n),
        "clinician rules": lambda: Rules(world),
        "EASE": lambda: EaseGreedy(people, n),
        "LinUCB": lambda: LinUcb(n),
        "LinTS": lambda: learner(head(WITHOUT_PEOPLE), "none", 2.0),
        "Vowpal Wabbit": lambda: VowpalWabbit(world, seed),
        "pooled regression": lambda: learner(head(WITHOUT_PEOPLE), "law", 1.0),
        "mixed-effects bandit": lambda: learner(head(PEER), "none", 1.0),
        "mixed-effects, narrow": lambda: learner(head(PEER), "none", narrow),
        "ours": lambda: learner(head(ours, made_for=rules), "all", narrow),
        "ours, no rules": lambda: learner(head(replace(ours, intended_sd=0.0)), "all", narrow),
        "ours, centred on the law": lambda: learner(head(ours, made_for=rules), "law", narrow),
        "oracle": lambda: Oracle(cohort),
    }
    return makers[name]()


def _with_one(contexts: np.ndarray) -> np.ndarray:
    return np.hstack([np.ones((len(contexts), 1)), contexts[:, RANKING]])


def _first(values: np.ndarray) -> np.ndarray:
    """All probability on the largest value of each row; shared where several are."""
    best = np.asarray(values == values.max(axis=-1, keepdims=True))
    return best / best.sum(axis=-1, keepdims=True)
