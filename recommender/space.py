"""Typed search spaces, and their two coordinate systems: the unit cube and the native box.

A setting takes one coordinate, a categorical one per choice (the largest wins). A setting that a condition
switches off is absent from the configuration and rests at the middle of its coordinate.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


class InvalidSpace(ValueError):
    """The description of a search space cannot be used."""


@dataclass(frozen=True)
class Float:
    """A real number in [low, high]."""

    low: float
    high: float
    when: tuple[str, tuple] | None = None  # (name of a setting above, values that switch this one on)


@dataclass(frozen=True)
class Log:
    """A positive number in [low, high], searched on the scale of its logarithm."""

    low: float
    high: float
    when: tuple[str, tuple] | None = None


@dataclass(frozen=True)
class Int:
    """A whole number in [low, high], both included."""

    low: int
    high: int
    when: tuple[str, tuple] | None = None


@dataclass(frozen=True)
class Categorical:
    """One of several plain values without an order."""

    choices: tuple
    when: tuple[str, tuple] | None = None


Setting = Float | Log | Int | Categorical
_TYPES = {"float": Float, "log": Log, "int": Int, "categorical": Categorical}


class Space:
    """Named settings in order; a condition may only look at settings above it.

    dimension: number of coordinates D.   low, high: (D,) native box, logarithms for `Log`.
    """

    def __init__(self, settings: Mapping[str, Setting]) -> None:
        if not settings:
            raise InvalidSpace("a space needs at least one setting")
        self.settings = dict(settings)
        for name, setting in self.settings.items():
            _check(name, setting, list(self.settings)[: list(self.settings).index(name)], self.settings)
        self.slices: dict[str, slice] = {}
        low: list[float] = []
        high: list[float] = []
        for name, setting in self.settings.items():
            bounds = _native_bounds(setting)
            self.slices[name] = slice(len(low), len(low) + len(bounds))
            low += [b[0] for b in bounds]
            high += [b[1] for b in bounds]
        self.low, self.high, self.dimension = np.array(low, float), np.array(high, float), len(low)

    def decode(self, unit: np.ndarray) -> dict[str, Any]:
        """Return the configuration at a point of the unit cube, (D,)."""
        config: dict[str, Any] = {}
        for name, setting in self.settings.items():
            if _active(setting, config):
                config[name] = _value(setting, unit[self.slices[name]])
        return config

    def encode(self, config: Mapping[str, Any]) -> np.ndarray:
        """Return the canonical point of a configuration, (D,); raises InvalidSpace if it is not one of the space."""
        unit, left = np.full(self.dimension, 0.5), dict(config)
        for name, setting in self.settings.items():
            if not _active(setting, config):
                continue
            if name not in left:
                raise InvalidSpace(f"the configuration lacks {name}")
            unit[self.slices[name]] = _coordinates(name, setting, left.pop(name))
        if left:
            raise InvalidSpace(f"not settings of this space here: {', '.join(sorted(left))}")
        return unit

    def canonical(self, points: np.ndarray) -> np.ndarray:
        """Move each point to the one that its configuration is encoded as, (n, D)."""
        if all(isinstance(s, Float | Log) and s.low < s.high and not s.when for s in self.settings.values()):
            return points
        return np.array([self.encode(self.decode(point)) for point in points])

    def from_native(self, native: np.ndarray) -> np.ndarray:
        """Map the native box onto the unit cube; a coordinate without width maps to 0.5."""
        width = self.high - self.low
        return np.where(width > 0, (native - self.low) / np.where(width > 0, width, 1), 0.5)

    @property
    def finite(self) -> bool:
        return all(isinstance(s, Int | Categorical) or s.low == s.high for s in self.settings.values())

    def all_configurations(self) -> Iterator[dict[str, Any]]:
        """Yield every configuration of a finite space once."""
        seen = set()
        axes = [_all_coordinates(setting) for setting in self.settings.values()]
        for parts in itertools.product(*axes):
            config = self.decode(np.concatenate(parts))
            if key(config) not in seen:
                seen.add(key(config))
                yield config

    def to_dict(self) -> dict[str, Any]:
        names = {cls: name for name, cls in _TYPES.items()}
        result = {}
        for name, setting in self.settings.items():
            fields = {k: v for k, v in vars(setting).items() if k != "when"}
            if setting.when:
                fields["when"] = {setting.when[0]: list(setting.when[1])}
            result[name] = {"type": names[type(setting)], **fields}
        return json.loads(json.dumps(result))

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Space:
        """Read {name: {"type": ..., "low": ..., "high": ...}} or "choices"; "when": {name: [values]} is a condition."""
        settings: dict[str, Setting] = {}
        if not isinstance(description, Mapping):
            raise InvalidSpace("a space is an object of settings")
        for name, fields in description.items():
            try:
                fields = dict(fields)
                kind = _TYPES[fields.pop("type")]
                when = fields.pop("when", None)
                condition = [(other, tuple(values)) for other, values in when.items()][0] if when else None
                if "choices" in fields:
                    fields["choices"] = tuple(fields["choices"])
                settings[name] = kind(**fields, when=condition)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                raise InvalidSpace(f"setting {name!r} cannot be read: {error}") from error
        return cls(settings)


def key(config: Mapping[str, Any]) -> str:
    """A text that two configurations share exactly when they are equal."""
    return json.dumps(config, sort_keys=True)


def _check(name: str, setting: Setting, above: Sequence[str], settings: Mapping[str, Setting]) -> None:
    if isinstance(setting, Categorical):
        if not setting.choices or len(set(map(json.dumps, setting.choices))) < len(setting.choices):
            raise InvalidSpace(f"{name}: choices must be there and differ")
    elif not (_finite_number(setting.low) and _finite_number(setting.high) and setting.low <= setting.high):
        raise InvalidSpace(f"{name}: low and high must be numbers with low <= high")
    if isinstance(setting, Log) and setting.low <= 0:
        raise InvalidSpace(f"{name}: a logarithmic setting must be positive")
    if isinstance(setting, Int) and (setting.low != int(setting.low) or setting.high != int(setting.high)):
        raise InvalidSpace(f"{name}: bounds of a whole number must be whole")
    if setting.when and setting.when[0] not in above:
        raise InvalidSpace(f"{name}: its condition names {setting.when[0]!r}, which is no setting above it")


def _finite_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _active(setting: Setting, config: Mapping[str, Any]) -> bool:
    return setting.when is None or config.get(setting.when[0], _active) in setting.when[1]


def _native_bounds(setting: Setting) -> list[tuple[float, float]]:
    if isinstance(setting, Categorical):
        return [(0.0, 1.0)] * len(setting.choices)
    if isinstance(setting, Log):
        return [(math.log(setting.low), math.log(setting.high))]
    return [(float(setting.low), float(setting.high))]


def _value(setting: Setting, unit: np.ndarray) -> Any:
    if isinstance(setting, Categorical):
        return setting.choices[int(np.argmax(unit))]
    u = min(max(float(unit[0]), 0.0), 1.0)
    if isinstance(setting, Int):  # every whole number gets an equal share of [0, 1]
        return int(min(setting.low + math.floor(u * (setting.high - setting.low + 1)), setting.high))
    if isinstance(setting, Log):
        value = math.exp(math.log(setting.low) + u * (math.log(setting.high) - math.log(setting.low)))
    else:
        value = setting.low + u * (setting.high - setting.low)
    return min(max(value, float(setting.low)), float(setting.high))


def _coordinates(name: str, setting: Setting, value: Any) -> list[float] | float:
    if isinstance(setting, Categorical):
        if value not in setting.choices:
            raise InvalidSpace(f"{name}: {value!r} is none of its choices")
        return [float(choice == value) for choice in setting.choices]
    if not (_finite_number(value) and setting.low <= value <= setting.high):
        raise InvalidSpace(f"{name}: {value!r} is outside [{setting.low}, {setting.high}]")
    if setting.low == setting.high:
        return 0.5
    if isinstance(setting, Int):
        return (value - setting.low + 0.5) / (setting.high - setting.low + 1)
    if isinstance(setting, Log):
        return math.log(value / setting.low) / math.log(setting.high / setting.low)
    return (value - setting.low) / (setting.high - setting.low)


def _all_coordinates(setting: Setting) -> list[np.ndarray]:
    if isinstance(setting, Categorical):
        return list(np.eye(len(setting.choices)))
    if isinstance(setting, Int):
        return [np.atleast_1d(_coordinates("", setting, v)) for v in range(int(setting.low), int(setting.high) + 1)]
    return [np.array([0.5])]
