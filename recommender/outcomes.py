"""What a delivered activity was worth: a person's answers weighed into one reward, missing answers predicted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recommender.catalogue import Outcome


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
