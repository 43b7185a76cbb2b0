"""The reward of a delivered activity, and a Bayesian linear model of it."""

from __future__ import annotations

from dataclasses import dataclass


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
