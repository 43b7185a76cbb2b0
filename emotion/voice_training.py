"""Train and judge the served voice network: people left out by folds, peers in the same run, then the release.

Shapes:  n clips   B batch   M mel bands   T frames   V disguises of a clip (`voice_corpus`)

What may leak is closed: no person is on two sides, each batch crops all corpora to one random length,
disguises belong to their person, and a classifier that sees only durations and the corpus is reported
beside every result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional

from emotion import training, voice_bench, voice_card
from emotion.data import ravdess
from emotion.networks.compact_voice import CompactVoice, standardise
from emotion.voice_corpus import SPEEDS, Corpus, load, population_moments, training_clips

# EMO-DB and nEMO speakers are left out together with a RAVDESS fold, so that all corpora are judged on strangers.
EMODB_FOLDS = (("03", "08"), ("09", "10"), ("11", "13"), ("12",), ("14",))
NEMO_FOLDS = (("EB0", "IC0"), ("KD0", "KS0"), ("MK0",), ("MP0",), ("TP0",))
FOLDS = tuple(
    tuple(map(ravdess.person, actors)) + tuple(f"emodb-{s}" for s in german) + tuple(f"nemo-{s}" for s in polish)
    for actors, german, polish in zip(ravdess.FOLDS, EMODB_FOLDS, NEMO_FOLDS, strict=True)
)


@dataclass(frozen=True)
class Recipe:
    """Everything that was chosen, and only on people inside a training set.

    group: clips of one person that stand together in a batch, under the same disguise.
    prior_clips: how many clips of a person weigh as much as the population in a personal baseline.
    """

    epochs: int = 75
    batch: int = 64
    group: int = 8
    rate: float = 2e-3
    weight_decay: float = 0.02
    crop_frames: tuple[int, int] = (110, 190)
    mixup: float = 0.3
    label_smoothing: float = 0.1
    equaliser_db: float = 3.0
    prior_clips: float = 12.0
    band: str | None = "wide"


def split(
    people: np.ndarray, fold: tuple[str, ...], seed: int, actors: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers to train on, to select on and to judge on. No person is in two of them."""
    rest = sorted(set(people) - set(fold))
    chosen = selection_people(rest, seed, actors)
    judged = np.isin(people, fold)
    selecting = np.isin(people, chosen)
    return np.flatnonzero(~judged & ~selecting), np.flatnonzero(selecting), np.flatnonzero(judged)


def selection_people(people: list[str], seed: int, actors: int = 2) -> list[str]:
    """People of a training set set aside for the epoch, the temperature and the peer's settings.

    actors: of RAVDESS; from EMO-DB and from nEMO it is one speaker.
    """
    rng = np.random.default_rng([seed, len(people)])
    chosen: list[str] = []
    for corpus, count in (("ravdess", actors), ("emodb", 1), ("nemo", 1)):
        there = [person for person in people if person.startswith(corpus)]
        chosen += map(str, rng.choice(there, min(count, len(there)), replace=False) if there else [])
    return chosen


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


def soft_loss(smoothing: float) -> Callable[[Any, tuple[Tensor, Tensor]], Tensor]:
    """Cross-entropy against weighted soft targets, smoothed; convolutions in bfloat16."""

    def loss(network: CompactVoice, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, targets = batch
        with torch.autocast("cpu", torch.bfloat16):
            features = network.features(inputs.contiguous(memory_format=torch.channels_last))
            logits = network.decide(features)
        logs = functional.log_softmax(logits.float(), dim=1)
        mass = targets.sum(1)
        return (-(1 - smoothing) * (targets * logs).sum(1) - smoothing * mass * logs.mean(1)).mean()

    return loss


def selection_score(corpus: Corpus, rows: np.ndarray) -> Callable[[Any], float]:
    """Mean log-likelihood with equal weight for every class: steadier than a hit rate on so few people."""
    truth = corpus.labels[rows]
    same_length = np.random.default_rng(0)
    spectra = as_tensor(np.stack([crop(corpus.spectra[0][row], 200, same_length) for row in rows]))

    @torch.no_grad()
    def score(network: CompactVoice) -> float:
        with torch.autocast("cpu", torch.bfloat16):
            logs = network(spectra).float().log_softmax(1).numpy()
        right = np.maximum(logs[np.arange(len(rows)), truth], np.log(1e-6))
        return float(np.mean([right[truth == label].mean() for label in np.unique(truth)]))

    return score


def fit_network(
    corpus: Corpus,
    fit_rows: np.ndarray,
    selection_rows: np.ndarray,
    *,
    recipe: Recipe,
    folder: Path,
    seed: int,
    resume: bool = False,
    minutes: float | None = None,
    title: str = "voice",
) -> tuple[CompactVoice, training.Fitted]:
    """A network trained on `fit_rows`, its epoch chosen on `selection_rows`; it carries the population moments."""
    torch.manual_seed(seed)
    network = CompactVoice(classes=len(corpus.classes))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a sixth faster in bfloat16
    batches = Batches(corpus, fit_rows, recipe)
    network.population_mean_db.copy_(batches.usual[0])
    network.population_deviation_db.copy_(batches.usual[1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    fitted = training.fit(
        network,
        optimizer,
        batches=batches,
        steps_per_epoch=batches.steps,
        loss=soft_loss(recipe.label_smoothing),
        score=selection_score(corpus, selection_rows),
        schedule=training.Schedule(epochs=recipe.epochs, minutes=minutes, average_decay=0.99, clip_norm=5.0),
        folder=folder,
        seed=seed,
        resume=resume,
        title=title,
    )
    return network, fitted


def train(
    data: Path,
    out: Path,
    *,
    seed: int = 0,
    epochs: int | None = None,
    minutes: float | None = None,
    folds: int = len(FOLDS),
    resume: bool = False,
    recipe: Recipe | None = None,
) -> dict[str, Any]:
    """Judge the recipe on people left out, fold by fold, then train the network that is released.

    data: folder with `ravdess_speech`, `emodb/first2s_16k` and `nemo`; `DataMissing` where one is not there.
    out: receives features, one folder of state per fold, `results.jsonl`, `voice.safetensors` and its card,
    which is returned. minutes: for all networks together. folds: 0 trains the release alone, whose card
    then says that it was not judged. resume: folds with a result are not trained again.
    """
    out = Path(out)
    recipe = recipe or Recipe()
    recipe = replace(recipe, epochs=epochs) if epochs else recipe
    share = minutes / (folds + 1) if minutes else None
    corpus = load(training_clips(Path(data)), out / "features", recipe.band, seed, track)
    settings: dict[str, Any] = {"recipe": recipe, "seed": seed, "minutes": share, "resume": resume}
    results = [judge_fold(corpus, number, out, **settings) for number in range(1, folds + 1)]
    fit_rows, selection_rows, _ = split(corpus.people, (), seed)
    network, fitted = fit_network(corpus, fit_rows, selection_rows, folder=out / "release", title="release", **settings)
    card = voice_card.write(
        network, fitted, corpus, results, out / "voice.safetensors", recipe=recipe, seed=seed, selection=selection_rows
    )
    for name, row in voice_bench.summary([line for result in results for line in result["lines"]]).items():
        Console().print(f"{name:48} UAR {row['uar']:.3f} (mean of {row['results']})", highlight=False)
    return card


def judge_fold(
    corpus: Corpus, number: int, out: Path, *, recipe: Recipe, seed: int, minutes: float | None, resume: bool
) -> dict[str, Any]:
    """Train without the people of fold `number` (from 1), judge on them, and keep the result in a file."""
    folder = Path(out) / f"fold-{number}"
    stored = folder / "result.json"
    if resume and stored.exists():
        return json.loads(stored.read_text())
    started = time.process_time()
    fit_rows, selection_rows, judged = split(corpus.people, FOLDS[number - 1], seed)
    network, fitted = fit_network(
        corpus,
        fit_rows,
        selection_rows,
        recipe=recipe,
        folder=folder,
        seed=seed,
        resume=resume,
        minutes=minutes,
        title=f"fold {number}",
    )
    result = voice_bench.judge(
        network, corpus, fit_rows, selection_rows, judged, prior_clips=recipe.prior_clips, seed=seed
    )
    run: dict[str, Any] = {"fold": number, "seed": seed, "epoch": fitted.epoch, "epochs_done": fitted.epochs_done}
    run |= {"minutes": round(fitted.seconds / 60, 1), "date": date.today().isoformat()}
    result["lines"] = [{**run, **line} for line in result["lines"]]
    result["selection_people"] = sorted(set(corpus.people[selection_rows].tolist()))
    result["cpu_s"] = round(time.process_time() - started, 1)
    beside = stored.with_suffix(".new")
    beside.write_text(json.dumps(result))
    beside.replace(stored)
    return result
