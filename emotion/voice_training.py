"""Train and judge the served voice network: people left out by folds, peers in the same run, then the release.

What may leak is closed: no person is on two sides, each batch crops all corpora to one random length,
disguises belong to their person, and a classifier that sees only durations and the corpus is reported
beside every result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
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
from emotion.networks.compact_voice import CompactVoice, VoiceEnsemble
from emotion.voice_batches import Batches, Recipe, as_tensor, crop
from emotion.voice_corpus import CORPORA, Corpus, load, training_clips

# EMO-DB and nEMO speakers are left out together with a RAVDESS fold, so that all corpora are judged on strangers.
EMODB_FOLDS = (("03", "08"), ("09", "10"), ("11", "13"), ("12",), ("14",))
NEMO_FOLDS = (("EB0", "IC0"), ("KD0", "KS0"), ("MK0",), ("MP0",), ("TP0",))
FOLDS = tuple(
    tuple(map(ravdess.person, actors)) + tuple(f"emodb-{s}" for s in german) + tuple(f"nemo-{s}" for s in polish)
    for actors, german, polish in zip(ravdess.FOLDS, EMODB_FOLDS, NEMO_FOLDS, strict=True)
)


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


def fit_ensemble(
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
) -> tuple[VoiceEnsemble, list[training.Fitted]]:
    """`recipe.members` networks that learned on the same rows; minutes are for all of them."""
    found = [
        fit_network(
            corpus,
            fit_rows,
            selection_rows,
            recipe=recipe,
            folder=folder / f"member-{number}",
            seed=100 * seed + number - 1,
            resume=resume,
            minutes=minutes / recipe.members if minutes else None,
            title=f"{title}, network {number} of {recipe.members}",
        )
        for number in range(1, recipe.members + 1)
    ]
    return VoiceEnsemble(network for network, _ in found), [fitted for _, fitted in found]


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
    corpora: tuple[str, ...] = tuple(CORPORA),
) -> dict[str, Any]:
    """Judge the recipe on people left out, fold by fold, then train the network that is released.

    data: folder with `ravdess_speech`, `emodb/first2s_16k` and `nemo`; `DataMissing` where one is not there.
    out: receives features, one folder of state per fold, `results.jsonl`, `voice.safetensors` and its card,
    which is returned. minutes: for all networks together. folds: 0 trains the release alone, whose card
    then says that it was not judged. resume: folds with a result are not trained again. corpora: to learn from.
    """
    out = Path(out)
    recipe = recipe or Recipe()
    recipe = replace(recipe, epochs=epochs) if epochs else recipe
    share = minutes / (folds + 1) if minutes else None
    corpus = load(training_clips(Path(data), corpora), out / "features", recipe.band, seed, track)
    settings: dict[str, Any] = {"recipe": recipe, "seed": seed, "minutes": share, "resume": resume}
    results = [judge_fold(corpus, number, out, **settings) for number in range(1, folds + 1)]
    fit_rows, selection_rows, _ = split(corpus.people, (), seed)
    network, fitted = fit_ensemble(
        corpus, fit_rows, selection_rows, folder=out / "release", title="release", **settings
    )
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
    network, fitted = fit_ensemble(
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
    run: dict[str, Any] = {"fold": number, "seed": seed, "epochs": [one.epoch for one in fitted]}
    run |= {"minutes": round(sum(one.seconds for one in fitted) / 60, 1), "date": date.today().isoformat()}
    result["lines"] = [{**run, **line} for line in result["lines"]]
    result["selection_people"] = sorted(set(corpus.people[selection_rows].tolist()))
    result["cpu_s"] = round(time.process_time() - started, 1)
    beside = stored.with_suffix(".new")
    beside.write_text(json.dumps(result))
    beside.replace(stored)
    return result
