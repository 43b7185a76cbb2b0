"""Photos and recordings that mean harm, or were made by a broken phone: by seed, the same on every machine.

`corpus(seed)` gives them all. Each mutator is a function of a random generator that yields (name, bytes); its own
name tells what is wrong. Those of `any_file` change good files of both kinds, the others make files of one kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tests.emotion.hostile.any_file import ANY
from tests.emotion.hostile.good import good_photos, good_recordings
from tests.emotion.hostile.photos import PHOTOS
from tests.emotion.hostile.recordings import RECORDINGS

MUTATORS = [*ANY, *PHOTOS, *RECORDINGS]


@dataclass(frozen=True)
class Hostile:
    """kind: "face" or "voice", what it pretends to be.  mutator: what made it.  name: which of its files."""

    kind: str
    mutator: str
    name: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.kind}/{self.mutator}/{self.name}"


def corpus(seed: int) -> Iterator[Hostile]:
    for kind, makers in (("face", PHOTOS), ("voice", RECORDINGS)):
        good = good_photos() if kind == "face" else good_recordings()
        for mutate in ANY:
            for name, data in mutate(np.random.default_rng([seed, *mutate.__name__.encode()]), good):
                yield Hostile(kind, mutate.__name__, name, data)
        for make in makers:
            for name, data in make(np.random.default_rng([seed, *make.__name__.encode()])):
                yield Hostile(kind, make.__name__, name, data)


# What good files look like
