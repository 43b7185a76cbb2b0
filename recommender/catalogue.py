"""What is known of an activity before anyone has done it, and what became of it once delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from recommender.context import Context


@dataclass(frozen=True)
class Activity:
    """An activity by what clinicians say of it.

    technique: for example "breathing".   tags: free labels, shared between activities.
    attributes: further numbers of the order of 1, for example {"effort": 0.4}.
    """

    id: str
    technique: str = ""
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, float] = field(default_factory=dict)

    def described(self) -> dict[str, float]:
        """All of it as named numbers."""
        named = {f"technique:{self.technique}": 1.0} if self.technique else {}
        return {**named, **{f"tag:{tag}": 1.0 for tag in self.tags}, **self.attributes}


@dataclass(frozen=True)
class Outcome:
    """What a person did and said within the window.

    completed: True or False; None when never heard of.   helpfulness: 1–5.
    mood_change: self-rated after minus before, as a share of the scale's width, −1 to 1.
    """

    completed: bool | None = None
    helpfulness: float | None = None
    mood_change: float | None = None

    def __post_init__(self) -> None:
        if self.helpfulness is not None and not 1 <= self.helpfulness <= 5:
            raise ValueError(f"helpfulness must be from 1 to 5, got {self.helpfulness}")
        if self.mood_change is not None and not -1 <= self.mood_change <= 1:
            raise ValueError(f"mood_change must be from -1 to 1, got {self.mood_change}")


@dataclass(frozen=True)
class Delivery:
    """One activity delivered to one person.

    context: the moment of the decision, where known.   probability: of this activity given that one was sent.
    """

    activity: str
    at: datetime
    outcome: Outcome = Outcome()
    context: Context | None = None
    probability: float | None = None


def attribute_names(activities: Sequence[Activity]) -> tuple[str, ...]:
    """All names used to describe the activities, sorted."""
    return tuple(sorted({name for activity in activities for name in activity.described()}))


def attribute_matrix(activities: Sequence[Activity], names: Sequence[str]) -> np.ndarray:
    """Return (N, A) in the order of `names`; what a name list does not know is left out."""
    described = [activity.described() for activity in activities]
    rows = [[values.get(name, 0.0) for name in names] for values in described]
    return np.array(rows, dtype=float).reshape(len(activities), len(names))
