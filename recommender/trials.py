"""One simulated trial: people, a policy, fifty-six evenings; what was offered, with which law, and what came of it.

Each evening everybody who is there and available is sent something with `send_probability`, as `recommender.policy`
does, and then one activity by the policy's law mixed with chance. The luck belongs to the people: two policies on the
same cohort differ only by what they choose.

Shapes:  P people   T days   N activities
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from recommender.bandits import Offers
from recommender.policy import PolicyConfig
from recommender.simulator import Cohort, Rewards


@dataclass
class Played:
    """A trial that was played.

    sent: (P, T) 1 or 0.   chosen: (P, T), -1 where nothing was.   mood: (P, T) proximal outcome.
    value: (P, T) expected reward of the law as drawn from.   own: of the policy's law before mixing.
    best: of the best activity; all NaN where not available.   done: (P, T) completed, NaN without an offer.
    laws: (P, T, N) where kept.
    """

    sent: np.ndarray
    chosen: np.ndarray
    mood: np.ndarray
    value: np.ndarray
    own: np.ndarray
    best: np.ndarray
    done: np.ndarray
    reward: np.ndarray
    laws: np.ndarray | None = field(default=None)

    def regret(self, of: str = "value") -> np.ndarray:
        """Mean expected reward given away per evening, (P,); NaN for people who never were available."""
        lost = self.best - getattr(self, of)
        known = ~np.isnan(lost)
        with np.errstate(invalid="ignore"):
            return np.where(known, lost, 0.0).sum(axis=1) / known.sum(axis=1)


def play(
    cohort: Cohort,
    policy,
    rewards: Rewards,
    *,
    config: PolicyConfig | None = None,
    keep_laws: bool = False,
    emotion: bool = True,
) -> Played:
    """Play a policy (`bandits`) through a cohort. emotion False: the policy never sees a check-in."""
    config = config or PolicyConfig()
    p, t, n = cohort.people, cohort.days, len(cohort.world.activities)
    empty = [np.full((p, t), np.nan) for _ in range(5)]
    played = Played(np.zeros((p, t)), np.full((p, t), -1), np.zeros((p, t)), *empty)
    if keep_laws:
        played.laws = np.zeros((p, t, n), dtype=np.float32)
    for day in range(t):
        _evening(cohort, policy, rewards, config, day, played, emotion)
    return played


def _evening(cohort: Cohort, policy, rewards: Rewards, config: PolicyConfig, day: int, played: Played, emotion) -> None:
    who = np.flatnonzero(cohort.available[:, day])
    played.mood[:, day] = cohort.mood(day, cohort.sends(day, config.send_probability))
    if not len(who):
        return  # in the wild, hardly anybody is left after a month
    contexts = cohort.contexts(day, played.sent[:, max(0, day - 7) : day].sum(axis=1), emotion=emotion)[who]
    own = policy.law(day, contexts, who)
    laws = (1 - config.epsilon) * own + config.epsilon / own.shape[1]
    expected = cohort.expected[who, day]
    played.value[who, day] = (laws * expected).sum(axis=1)
    played.own[who, day] = (own * expected).sum(axis=1)
    played.best[who, day] = expected.max(axis=1)
    if played.laws is not None:
        played.laws[who, day] = laws
    send = cohort.sends(day, config.send_probability)[who] > 0
    sent, laws = who[send], laws[send]
    # a second, independent use of the person's luck: which part of the law the draw falls into
    draw = (cohort.uniforms[sent, day, 6] / config.send_probability)[:, None]
    chosen = np.minimum((draw > laws.cumsum(axis=1)).sum(axis=1), laws.shape[1] - 1)
    played.sent[sent, day], played.chosen[sent, day] = 1.0, chosen
    everyone = np.maximum(played.chosen[:, day], 0)
    done, helpful, change = (part[sent] for part in cohort.outcome(day, everyone))
    reward, variance = rewards.of(chosen, done, helpful, change)
    played.done[sent, day], played.reward[sent, day] = done, reward
    if len(sent):
        policy.learn(Offers(day, sent, contexts[send], laws, chosen, reward, variance, done, helpful))
