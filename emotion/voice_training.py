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
from emotion.data import emodb, ravdess
from emotion.networks.compact_voice import CompactVoice, standardise
from emotion.voice_corpus import Corpus, load, population_moments, shrink

# EMO-DB speakers are left out together with a RAVDESS fold, so that both corpora are judged on strangers.
EMODB_FOLDS = (("03", "08"), ("09", "10"), ("11", "13"), ("12",), ("14",))
FOLDS = tuple(
    tuple(map(ravdess.person, actors)) + tuple(f"emodb-{speaker}" for speaker in speakers)
    for actors, speakers in zip(ravdess.FOLDS, EMODB_FOLDS, strict=True)
)


@dataclass(frozen=True)
class Recipe:
    """Everything that was chosen, and only on people inside a training set.

    prior_clips: how many clips of a person weigh as much as the population in a personal baseline.
    """

    epochs: int = 50
    batch: int = 64
    rate: float = 2e-3
    weight_decay: float = 0.02
    crop_frames: tuple[int, int] = (110, 190)
    mixup: float = 0.3
    label_smoothing: float = 0.1
    equaliser_db: float = 3.0
    prior_clips: float = 8.0
    band: str | None = "wide"


def split(
    people: np.ndarray, fold: tuple[str, ...], seed: int, actors: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers to train on, to select on and to judge on. No person is in two of them."""
    rest = sorted(set(people) - set(fold))
    chosen = selection_people(rest, seed, actors)
    judged = np.isin(people, fold)
    selecting = np.isin(people, chosen)
    return np.flatnonzero(~judged & ~selecting), np.flatnonzero(selecting), np.flatnonzero(judged)


def selection_people(people: list[str], seed: int, actors: int = 3, speakers: int = 1) -> list[str]:
    """People of a training set set aside for early stopping, temperature and the peer's settings."""
    rng = np.random.default_rng([seed, len(people)])
    from_ravdess = [p for p in people if p.startswith("ravdess")]
    from_emodb = [p for p in people if p.startswith("emodb")]
    few = [
        rng.choice(who, min(k, len(who)), replace=False) for who, k in ((from_ravdess, actors), (from_emodb, speakers))
    ]
    return [str(p) for p in np.concatenate(few)]


def mean_and_deviation(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(…, 2, M) moments to (…, M) means and deviations in dB."""
    mean, square = moments[..., 0, :], moments[..., 1, :]
    return mean, np.sqrt(np.maximum(square - mean**2, 1.0))


class Batches:
    """Shuffled, disguised, cropped, equalised and mixed batches of a set of rows; called once an epoch."""

    def __init__(self, corpus: Corpus, rows: np.ndarray, recipe: Recipe):
        self.corpus, self.rows, self.recipe = corpus, rows, recipe
        self.population = population_moments(corpus, rows)
        self.rows_of = {p: rows[corpus.people[rows] == p] for p in set(corpus.people[rows])}
        counts = np.bincount(corpus.labels[rows], minlength=len(corpus.classes))
        self.class_weights = len(rows) / (len(corpus.classes) * np.maximum(counts, 1))

    @property
    def steps(self) -> int:
        return len(self.rows) // self.recipe.batch

    def __call__(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        order = rng.permutation(self.rows)
        for step in range(self.steps):
            yield self.batch(order[step * self.recipe.batch : (step + 1) * self.recipe.batch], rng)

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Inputs (B, 2, M, T) and weighted soft targets (B, K) for the rows."""
        length = int(rng.integers(*self.recipe.crop_frames))
        disguise = rng.integers(len(self.corpus.spectra), size=len(rows))
        spectra = np.stack([crop(self.corpus.spectra[v][i], length, rng) for v, i in zip(disguise, rows, strict=True)])
        curve = equaliser(len(rows), spectra.shape[1], self.recipe.equaliser_db, rng)
        moments = np.stack([self.baseline(v, i, c, rng) for v, i, c in zip(disguise, rows, curve, strict=True)])
        mean, deviation = mean_and_deviation(moments)
        inputs = standardise(*map(as_tensor, (spectra + curve[:, :, None], mean, deviation)))
        labels = self.corpus.labels[rows]
        targets = as_tensor(np.eye(len(self.corpus.classes))[labels] * self.class_weights[labels, None])
        return mix(mask(inputs, rng), targets, self.recipe.mixup, rng)

    def baseline(self, disguise: int, row: int, curve: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Moments this clip is read against, (2, M): the population's, or half the time a personal baseline.

        The personal one comes from 1 to 20 other clips of the person in the same disguise and through the
        same equaliser, half the time with a strongly skewed mix of emotions, so that the network does not
        learn to trust that somebody's earlier clips were balanced.
        """
        count = int(rng.integers(1, 21)) if rng.random() < 0.5 else 0
        others = self.rows_of[self.corpus.clips[row].person]
        others = others[others != row]
        if not count or not len(others):
            return self.population
        odds = rng.dirichlet(np.full(len(self.corpus.classes), 0.3))[self.corpus.labels[others]] + 1e-6
        chosen = rng.choice(
            others, min(count, len(others)), replace=False, p=odds / odds.sum() if rng.random() < 0.5 else None
        )
        own = equalised(self.corpus.moments[disguise, chosen].mean(axis=0), curve)
        return shrink(own, len(chosen), self.population, self.recipe.prior_clips)


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


def equalised(moments: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Moments of the same recordings heard through `curve`, which is added in dB."""
    mean, square = moments
    return np.stack([mean + curve, square + 2 * curve * mean + curve**2])


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


def mix(inputs: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018) with one share per batch; alpha 0 leaves all as it is."""
    if not alpha:
        return inputs, targets
    share = float(rng.beta(alpha, alpha))
    other = torch.from_numpy(rng.permutation(len(inputs)))
    return share * inputs + (1 - share) * inputs[other], share * targets + (1 - share) * targets[other]


def soft_loss(smoothing: float) -> Callable[[torch.nn.Module, tuple[Tensor, Tensor]], Tensor]:
    """Cross-entropy against weighted soft targets, smoothed; convolutions in bfloat16."""

    def loss(network: torch.nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, targets = batch
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(inputs.contiguous(memory_format=torch.channels_last))
        logs = functional.log_softmax(logits.float(), dim=1)
        mass = targets.sum(1)
        return (-(1 - smoothing) * (targets * logs).sum(1) - smoothing * mass * logs.mean(1)).mean()

    return loss


@torch.no_grad()
def predict(network: CompactVoice, corpus: Corpus, rows: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Probabilities of whole, undisguised clips, (n, K). moments: (2, M) or one per row, (n, 2, M)."""
    means, deviations = map(as_tensor, mean_and_deviation(np.broadcast_to(moments, (len(rows), *moments.shape[-2:]))))
    network.eval()
    out = []
    for row, mean, deviation in zip(rows, means, deviations, strict=True):
        spectrum = as_tensor(corpus.spectra[0][row])[None]
        out.append(network(standardise(spectrum, mean, deviation)).softmax(1)[0])
    return torch.stack(out).double().numpy()


def selection_score(corpus: Corpus, rows: np.ndarray, population: np.ndarray) -> Callable[[torch.nn.Module], float]:
    """Mean log-likelihood with equal weight for every class: steadier than a hit rate on so few people."""
    truth = corpus.labels[rows]
    same_length = np.random.default_rng(0)
    spectra = as_tensor(np.stack([crop(corpus.spectra[0][row], 200, same_length) for row in rows]))
    inputs = standardise(spectra, *map(as_tensor, mean_and_deviation(population)))

    @torch.no_grad()
    def score(network: torch.nn.Module) -> float:
        with torch.autocast("cpu", torch.bfloat16):
            logs = network(inputs).float().log_softmax(1).numpy()
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
    network = CompactVoice()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a sixth faster in bfloat16
    batches = Batches(corpus, fit_rows, recipe)
    mean, deviation = mean_and_deviation(batches.population)
    network.population_mean_db.copy_(as_tensor(mean))
    network.population_deviation_db.copy_(as_tensor(deviation))
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    fitted = training.fit(
        network,
        optimizer,
        batches=batches,
        steps_per_epoch=batches.steps,
        loss=soft_loss(recipe.label_smoothing),
        score=selection_score(corpus, selection_rows, batches.population),
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

    data: folder with `ravdess_speech` and `emodb/first2s_16k`; `DataMissing` where one is not there.
    out: receives features, one folder of state per fold, `results.jsonl`, `voice.safetensors` and its card,
    which is returned. minutes: for all networks together. folds: 0 trains the release alone, whose card
    then says that it was not judged. resume: folds with a result are not trained again.
    """
    out = Path(out)
    recipe = recipe or Recipe()
    recipe = replace(recipe, epochs=epochs) if epochs else recipe
    share = minutes / (folds + 1) if minutes else None
    clips = ravdess.clips(Path(data) / "ravdess_speech") + emodb.clips(Path(data) / "emodb" / "first2s_16k")
    corpus = load(clips, out / "features", recipe.band, seed, track)
    settings: dict[str, Any] = {"recipe": recipe, "seed": seed, "minutes": share, "resume": resume}
    results = [judge_fold(corpus, number, out, **settings) for number in range(1, folds + 1)]
    fit_rows, selection_rows, _ = split(corpus.people, (), seed, actors=2)
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
        network, predict, corpus, fit_rows, selection_rows, judged, prior_clips=recipe.prior_clips, seed=seed
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
