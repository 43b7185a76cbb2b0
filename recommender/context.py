"""The present moment of a person as named numbers: expressed emotion, DASS-21, time, programme.

The emotion is a distribution, never its most probable label. Its columns are zero when the distribution is uniform
or missing, so that an estimate that says nothing moves nothing. How the estimate was sensed (weights, missing
flags) is kept apart in the block `sensing`: it may scale the emotion block, but alone it never favours an activity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
MODALITIES = ("face", "voice", "text")
SCALES = ("depression", "anxiety", "stress")
UNIFORM, MOST_ENTROPY = 1 / len(EMOTIONS), math.log(len(EMOTIONS))

_BLOCK_COLUMNS = {
    "emotion": (*(f"emotion_{name}" for name in EMOTIONS), "emotion_certainty"),
    "sensing": (*(f"{m}_weight" for m in MODALITIES), *(f"{m}_missing" for m in MODALITIES), "emotion_missing"),
    "dass": (*SCALES, *(f"{scale}_slope" for scale in SCALES), "dass_age", "dass_missing"),
    "time": ("hour_sin", "hour_cos", "week_sin", "week_cos"),
    "programme": ("day_in_programme", "dose_last_7_days"),
}
COLUMNS: tuple[str, ...] = tuple(name for names in _BLOCK_COLUMNS.values() for name in names)
BLOCK_OF: dict[str, str] = {name: block for block, names in _BLOCK_COLUMNS.items() for name in names}
RANKING_BLOCKS = ("emotion", "dass", "time", "programme")  # may interact with activities


class InvalidContext(ValueError):
    """A value is out of its range or not a number."""


@dataclass(frozen=True)
class Context:
    """Plain values known at the moment of a decision.

    emotion: fused distribution over `EMOTIONS`, summing to 1; None without a usable check-in.
    modality_weights: fusion weight in [0, 1] of each modality that was there; an absent one is missing.
    dass: doubled scores 0–42 by scale; a scale that could not be scored is left out.
    dass_slopes: change in points per week by scale.   dass_age_days: days since the questionnaire.
    local_time: the moment on the person's own clock.
    day_in_programme: days since the start.   dose_last_7_days: activities delivered in the last seven days.
    """

    emotion: Mapping[str, float] | None = None
    modality_weights: Mapping[str, float] = field(default_factory=dict)
    dass: Mapping[str, float] = field(default_factory=dict)
    dass_slopes: Mapping[str, float] = field(default_factory=dict)
    dass_age_days: float | None = None
    local_time: datetime | None = None
    day_in_programme: float = 0.0
    dose_last_7_days: float = 0.0

    def __post_init__(self) -> None:
        _check_emotion(self.emotion)
        _check_range("modality_weights", self.modality_weights, MODALITIES, 0, 1)
        _check_range("dass", self.dass, SCALES, 0, 42)
        _check_range("dass_slopes", self.dass_slopes, SCALES, -1e6, 1e6)
        for name in ("dass_age_days", "day_in_programme", "dose_last_7_days"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InvalidContext(f"{name} must be a number of at least 0, got {value!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `from_dict` reads them back."""
        plain = asdict(self)
        plain["local_time"] = self.local_time.isoformat() if self.local_time else None
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Context:
        """Read what `to_dict` wrote; raises InvalidContext for unknown fields and unusable values."""
        try:
            at = values.get("local_time")
            return cls(**{**values, "local_time": datetime.fromisoformat(at) if at else None})
        except (TypeError, AttributeError) as error:
            raise InvalidContext(f"not a context: {error}") from error
        except ValueError as error:
            raise InvalidContext(str(error)) from error

    def vector(self) -> np.ndarray:
        """Return the columns of `COLUMNS` in order, (C,), each of the order of 1."""
        return self._columns.copy()

    @cached_property
    def _columns(self) -> np.ndarray:
        return np.array([*_emotion(self.emotion), *self._sensing(), *self._dass(), *self._time(), *self._programme()])

    def without_emotion(self) -> Context:
        """The same moment as if no check-in had been read."""
        return replace(self, emotion=None, modality_weights={})

    def _sensing(self) -> list[float]:
        weights = [float(self.modality_weights.get(m, 0.0)) for m in MODALITIES]
        missing = [float(m not in self.modality_weights) for m in MODALITIES]
        return [*weights, *missing, float(self.emotion is None)]

    def _dass(self) -> list[float]:
        age = math.log1p(self.dass_age_days or 0.0) / math.log1p(28)
        slopes = [min(max(self.dass_slopes.get(scale, 0.0) / 7, -3.0), 3.0) for scale in SCALES]
        return [*(self.dass.get(scale, 0.0) / 42 for scale in SCALES), *slopes, age, float(not self.dass)]

    def _time(self) -> list[float]:
        if self.local_time is None:
            return [0.0] * 4
        hour = self.local_time.hour + self.local_time.minute / 60
        day, week = math.tau * hour / 24, math.tau * (self.local_time.weekday() + hour / 24) / 7
        return [math.sin(day), math.cos(day), math.sin(week), math.cos(week)]

    def _programme(self) -> list[float]:
        return [min(self.day_in_programme / 56, 3.0), min(self.dose_last_7_days / 7, 3.0)]


def columns_of(blocks: Sequence[str]) -> list[int]:
    """Return the positions in `COLUMNS` that belong to the named blocks."""
    return [i for i, name in enumerate(COLUMNS) if BLOCK_OF[name] in blocks]


def stack(contexts: Sequence[Context]) -> np.ndarray:
    """Return the vectors of several moments, (B, C)."""
    return np.array([context.vector() for context in contexts]).reshape(len(contexts), len(COLUMNS))


def _emotion(emotion: Mapping[str, float] | None) -> list[float]:
    """Deviations from uniform, and 1 − entropy / log 7: zero when the estimate says nothing."""
    if emotion is None:
        return [0.0] * (len(EMOTIONS) + 1)
    given = [emotion.get(name, 0.0) for name in EMOTIONS]  # plain numbers: for seven, arrays take ten times as long
    total = sum(given)
    p = [x / total for x in given]
    deviations = [d if abs(d := x - UNIFORM) >= 1e-12 else 0.0 for x in p]  # uniform up to rounding is uniform
    if not any(deviations):
        return [0.0] * (len(EMOTIONS) + 1)
    entropy = -sum([x * math.log(x) for x in p if x > 0])
    return [*deviations, max(1 - entropy / MOST_ENTROPY, 0.0)]


def _check_emotion(emotion: Mapping[str, float] | None) -> None:
    if emotion is None:
        return
    _check_range("emotion", emotion, EMOTIONS, 0, 1)
    if abs(sum(emotion.values()) - 1) > 1e-3:
        raise InvalidContext("the emotion distribution must sum to 1")


def _check_range(name: str, values: Mapping[str, float], allowed: Sequence[str], low: float, high: float) -> None:
    for key, value in values.items():
        if key not in allowed:
            raise InvalidContext(f"{name} has no {key!r}; it may hold {', '.join(allowed)}")
        if not (isinstance(value, int | float) and low <= value <= high):
            raise InvalidContext(f"{name}.{key} must be a number from {low} to {high}, got {value!r}")
