"""Weights moved by Q-learning from a person's feedback (Watkins & Dayan 1992), per person, as one source system does.

State: do the modalities agree; tercile of each one's confidence; the last feedback. Action: ±.05 on one weight,
renormalised. Reward: +1 if the fused answer was confirmed, −1 if not. Q ← Q + α [r + γ max Q′ − Q].
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from emotion.estimate import EMOTIONS
from emotion.fusion.strategy import Posteriors, Reading, Strategy, present, shares

ALPHA, GAMMA, EPSILON, STEP = 0.05, 0.9, 0.1, 0.05

State = tuple[bool, tuple[tuple[str, int], ...], int]
Action = tuple[str, float]


@dataclass(frozen=True)
class Learner:
    """One person: raw weights by modality (1 where unmoved), Q values, and the step that awaits its next state."""

    weights: Mapping[str, float] = field(default_factory=dict)
    table: Mapping[tuple[State, Action], float] = field(default_factory=dict)
    waiting: tuple[State, Action, float] | None = None
    feedback: int = 0
    steps: int = 0
    seed: int = 0


class QLearning(Strategy):
    """seed: of the exploring. Unfitted, the terciles of confidence are cut at 1/2 and 4/5."""

    name = "q_learning"
    personal = True

    def __init__(self, classes: Sequence[str] = EMOTIONS, seed: int = 0) -> None:
        super().__init__(classes)
        self._seeds = random.Random(seed)  # noqa: S311 - exploring, no secret
        self.cuts_: dict[str, tuple[float, float]] = {}

    def fit(self, posteriors: Posteriors, truth: np.ndarray, people: np.ndarray) -> QLearning:
        """Terciles of the population's confidences; the weights themselves start equal."""
        heard = {m: p[present(p)].max(1) for m, p in posteriors.items() if present(p).any()}
        self.cuts_ = {m: (float(np.quantile(c, 1 / 3)), float(np.quantile(c, 2 / 3))) for m, c in heard.items()}
        return self

    def start(self) -> Learner:
        """Everybody explores in an order of their own."""
        return Learner(seed=self._seeds.getrandbits(32))

    def pool(self, readings: Mapping[str, Reading], person: Learner | None = None) -> np.ndarray:
        if not readings:
            return self.prior()
        weights = self.weights(readings, person)
        return np.sum([weights[m] * r.distribution for m, r in readings.items()], axis=0)

    def weights(self, readings: Mapping[str, Reading], person: Learner | None = None) -> dict[str, float]:
        moved = person.weights if person else {}
        return shares({m: moved.get(m, 1 / len(readings)) for m in readings})

    def learn(self, person: Learner | None, readings: Mapping[str, Reading], truth: int) -> Learner:
        """See the state, move a weight, fuse, be told, and credit the step before this one."""
        person = person or self.start()
        if not readings:
            return person
        state = self._state(readings, person)
        table = self._credited(person, state, list(readings))
        action = self._choice(table, state, list(readings), person)
        moved = self._moved(self.weights(readings, person), action)
        person = replace(person, weights={**person.weights, **moved}, table=table, steps=person.steps + 1)
        reward = 1 if int(self.pool(readings, person).argmax()) == truth else -1
        return replace(person, waiting=(state, action, float(reward)), feedback=reward)

    def _state(self, readings: Mapping[str, Reading], person: Learner) -> State:
        said = {int(r.distribution.argmax()) for r in readings.values()}
        terciles = tuple((m, self._tercile(m, readings[m])) for m in sorted(readings))
        return len(said) == 1, terciles, person.feedback

    def _tercile(self, modality: str, reading: Reading) -> int:
        return int(np.searchsorted(self.cuts_.get(modality, (0.5, 0.8)), reading.distribution.max()))

    def _credited(self, person: Learner, state: State, modalities: list[str]) -> Mapping[tuple[State, Action], float]:
        if person.waiting is None:
            return person.table
        before, action, reward = person.waiting
        best = max(person.table.get((state, a), 0.0) for a in _actions(modalities))
        old = person.table.get((before, action), 0.0)
        return {**person.table, (before, action): old + ALPHA * (reward + GAMMA * best - old)}

    def _choice(self, table: Mapping, state: State, modalities: list[str], person: Learner) -> Action:
        rng = random.Random(person.seed * 1_000_003 + person.steps)  # noqa: S311
        actions = _actions(modalities)
        if rng.random() < EPSILON:
            return rng.choice(actions)
        best = max(table.get((state, a), 0.0) for a in actions)
        return rng.choice([a for a in actions if table.get((state, a), 0.0) == best])

    @staticmethod
    def _moved(weights: Mapping[str, float], action: Action) -> dict[str, float]:
        modality, step = action
        return shares({m: max(0.0, w + step * (m == modality)) for m, w in weights.items()})


def _actions(modalities: list[str]) -> list[Action]:
    return [(m, step) for m in sorted(modalities) for step in (STEP, -STEP)]
