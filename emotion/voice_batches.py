"""What the voice network learns from in one step: clips of a person in groups, disguised, cropped, masked and mixed.

Shapes:  n clips   B batch   M mel bands   T frames   K classes   V disguises of a clip (`voice_corpus`)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emotion.networks.compact_voice import standardise
from emotion.voice_corpus import SPEEDS, Corpus, population_moments


@dataclass(frozen=True)
class Recipe:
    """Everything that was chosen, and only on people inside a training set.

    group: clips of one person that stand together in a batch, under the same disguise.
    members: networks of the ensemble, each from a random start of its own.
    prior_clips: how many clips of a person weigh as much as the population in a personal baseline.
    """

    epochs: int = 90
    members: int = 2
    batch: int = 64
    group: int = 8
    rate: float = 2e-3
    weight_decay: float = 0.02
    crop_frames: tuple[int, int] = (110, 190)
    mixup: float = 0.3
    label_smoothing: float = 0.1
    equaliser_db: float = 3.0
    prior_clips: float = 18.0
    band: str | None = "wide"


def mean_and_deviation(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(…, 2, M) moments to (…, M) means and deviations in dB."""
    mean, square = moments[..., 0, :], moments[..., 1, :]
    return mean, np.sqrt(np.maximum(square - mean**2, 1.0))


class Batches:
    """Batches of one epoch: clips of a person in groups, disguised, cropped, equalised, masked and mixed.

    A group shares its speed and its equaliser: it sounds like a person of its own, heard through one microphone.
    """

    def __init__(self, corpus: Corpus, rows: np.ndarray, recipe: Recipe):
        self.corpus, self.rows, self.recipe = corpus, rows, recipe
        self.population = population_moments(corpus, rows)
        self.usual = tuple(map(as_tensor, mean_and_deviation(self.population)))
        self.rows_of = [rows[corpus.people[rows] == person] for person in sorted(set(corpus.people[rows]))]
        counts = np.bincount(corpus.labels[rows], minlength=len(corpus.classes))
        self.class_weights = len(rows) / (len(corpus.classes) * np.maximum(counts, 1))

    @property
    def steps(self) -> int:
        groups = sum(max(1, len(mine) // self.recipe.group) for mine in self.rows_of)
        return groups * self.recipe.group // self.recipe.batch

    def __call__(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        groups = self.groups(rng)
        rows = np.concatenate([groups[i] for i in rng.permutation(len(groups))])
        for step in range(self.steps):
            yield self.batch(rows[step * self.recipe.batch : (step + 1) * self.recipe.batch], rng)

    def groups(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Every person's rows in a new order, cut into groups; what is left over waits for another epoch."""
        size, out = self.recipe.group, []
        for mine in self.rows_of:
            order = rng.permutation(mine) if len(mine) >= size else np.resize(rng.permutation(mine), size)
            out += [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
        return out

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Inputs (B, 2, M, T) and weighted soft targets (B, K) for rows in groups."""
        size, length = self.recipe.group, int(rng.integers(*self.recipe.crop_frames))
        speed = rng.integers(len(SPEEDS), size=len(rows) // size).repeat(size)
        noisy = rng.integers(len(self.corpus.spectra) // len(SPEEDS), size=len(rows))
        spectra = [
            crop(self.corpus.spectra[v][i], length, rng) for v, i in zip(speed + noisy * len(SPEEDS), rows, strict=True)
        ]
        curves = self.equalisers(len(rows), rng)
        inputs = standardise(as_tensor(np.stack(spectra) + curves[:, :, None]), *self.usual)
        labels = self.corpus.labels[rows]
        targets = as_tensor(np.eye(len(self.corpus.classes))[labels] * self.class_weights[labels, None])
        return mix(mask(inputs, rng), targets, self.recipe.mixup, size, rng)

    def equalisers(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """One for each group and a third as strong one for each clip, (count, M) in dB."""
        size, bands = self.recipe.group, self.population.shape[-1]
        of_groups = equaliser(count // size, bands, self.recipe.equaliser_db, rng)
        return of_groups.repeat(size, axis=0) + equaliser(count, bands, self.recipe.equaliser_db / 3, rng)


def as_tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def crop(spectrum: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """A random stretch of `length` frames, (M, length) float32; a shorter clip is repeated first."""
    repeats = -(-length // spectrum.shape[1])
    long = np.tile(spectrum, repeats) if repeats > 1 else spectrum
    start = int(rng.integers(long.shape[1] - length + 1))
    return long[:, start : start + length].astype(np.float32)


def equaliser(count: int, bands: int, spread_db: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth random frequency responses, (count, bands) in dB: another microphone, another room, another gain."""
    harmonics = np.cos(np.pi * np.arange(4)[:, None] * (np.arange(bands) + 0.5) / bands)  # (4, bands)
    return rng.normal(0, spread_db / 2, (count, 4)) @ harmonics


def mask(inputs: Tensor, rng: np.random.Generator) -> Tensor:
    """SpecAugment (Park et al. 2019): per recording two bands of up to 6 mels and two spans of up to 20 frames."""
    _, _, bands, frames = inputs.shape
    for one in inputs:
        for _ in range(2):
            band, start = rng.integers(0, 7), rng.integers(0, bands)
            one[:, start : start + band] = 0
            span, start = rng.integers(0, 21), rng.integers(0, frames)
            one[:, :, start : start + span] = 0
    return inputs


def mix(inputs: Tensor, targets: Tensor, alpha: float, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018) with one share per batch, among the clips of a group; alpha 0 leaves all as it is."""
    if not alpha:
        return inputs, targets
    share = float(rng.beta(alpha, alpha))
    other = torch.from_numpy(np.concatenate([start + rng.permutation(size) for start in range(0, len(inputs), size)]))
    return share * inputs + (1 - share) * inputs[other], share * targets + (1 - share) * targets[other]
