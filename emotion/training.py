"""The training loop of every network here: seeded, resumable, one file of state, best weights kept.

A caller gives three functions, so that the loop knows nothing of faces or voices:

    batches(rng) -> iterable of batches   one epoch, shuffled and augmented by `rng` alone
    loss(network, batch) -> scalar        autocast, if wanted, is the caller's
    score(network) -> float               on validation people or groups, higher is better

Example:
    >>> fitted = fit(network, optimizer, batches=..., steps_per_epoch=201, loss=..., score=...,
    ...              schedule=Schedule(epochs=40), folder="runs/face", seed=0)   # doctest: +SKIP
    >>> fitted.score, fitted.epoch                                                # doctest: +SKIP
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

STATE_FILE = "training_state.pt"
HISTORY_FILE = "history.jsonl"


class OtherRun(Exception):
    """The folder holds the state of a run with another seed or schedule: it cannot be resumed by this one."""


@dataclass(frozen=True)
class Schedule:
    """How long, and how the learning rate moves: linear warm-up, then half a cosine down to zero.

    minutes: budget in wall-clock time over all resumptions. The rate then follows whichever of epochs and
    time is further on, so that a run on a busy machine still anneals; such a run is not repeatable to the
    bit. Without it, equal seeds give equal weights, resumed or not.
    average_decay: per-step decay of the exponential average of the weights that is scored and kept
    (Polyak averaging); 0 keeps the raw weights.
    """

    epochs: int = 40
    minutes: float | None = None
    warmup: float = 0.05  # fraction of the whole
    average_decay: float = 0.0
    clip_norm: float | None = None

    def rate(self, progress: float) -> float:
        """Factor on the peak learning rate at `progress` in [0, 1]."""
        if progress < self.warmup:
            return (progress + 1e-3) / (self.warmup + 1e-3)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - self.warmup) / (1 - self.warmup))))


@dataclass
class Fitted:
    """What came out: the best validation score, where, and the history. The network holds the best weights."""

    score: float
    epoch: int
    epochs_done: int
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass
class _State:
    epoch: int = 0
    seconds: float = 0.0
    best_score: float = -math.inf
    best_epoch: int = -1
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    batches: Callable[[np.random.Generator], Iterable[Any]],
    steps_per_epoch: int,
    loss: Callable[[nn.Module, Any], Tensor],
    score: Callable[[nn.Module], float],
    schedule: Schedule,
    folder: str | os.PathLike,
    seed: int = 0,
    resume: bool = False,
    title: str = "training",
    refresh: Callable[[nn.Module], None] | None = None,
) -> Fitted:
    """Train `network` in place and leave the best-scoring weights in it.

    The learning rates set in `optimizer` are the peaks. State is written to `folder` after every epoch and a
    run goes on from there with `resume=True`; `OtherRun` if that state belongs to another seed or schedule.
    Epoch e draws all its randomness from (seed, e): a resumed run repeats the uninterrupted one.
    refresh: called on the averaged network before each scoring, to measure its batch-norm statistics anew.
    """
    run = _Run.begin(network, optimizer, schedule, steps_per_epoch, Path(folder), seed, resume)
    with _progress_bar() as bar:
        task = bar.add_task(title, total=schedule.epochs * steps_per_epoch, completed=run.state.epoch * steps_per_epoch)
        while run.goes_on():
            mean_loss = run.epoch(batches, loss, heard=lambda: bar.update(task, advance=1))
            if refresh:
                refresh(run.average)
            run.judge(float(score(run.average.eval())), mean_loss)
            bar.update(task, description=f"{title} best {run.state.best_score:.4f}")
    return run.finish()


@dataclass
class _Run:
    """A training under way. peaks: learning rates at their highest; started: on the monotonic clock, seconds."""

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    steps: int
    folder: Path
    seed: int
    peaks: list[float]
    state: _State
    started: float

    @classmethod
    def begin(cls, network, optimizer, schedule: Schedule, steps: int, folder: Path, seed: int, resume: bool) -> _Run:
        folder.mkdir(parents=True, exist_ok=True)
        peaks = [group["lr"] for group in optimizer.param_groups]
        average, state = copy.deepcopy(network), _State()
        if resume and (folder / STATE_FILE).exists():
            state = _restore(folder / STATE_FILE, network, average, optimizer, _identity(schedule, seed))
        started = time.monotonic() - state.seconds
        return cls(network, average, optimizer, schedule, steps, folder, seed, peaks, state, started)

    def goes_on(self) -> bool:
        return self.state.epoch < self.schedule.epochs and self.progress_at(0) < 1

    def progress_at(self, step: int) -> float:
        by_steps = (self.state.epoch * self.steps + step) / (self.schedule.epochs * self.steps)
        minutes = self.schedule.minutes
        by_time = (time.monotonic() - self.started) / (60 * minutes) if minutes else 0.0
        return max(by_steps, by_time)

    def epoch(self, batches, loss, heard: Callable[[], None]) -> float:
        """One pass; returns the mean loss."""
        torch.manual_seed(_seed_of(self.seed, self.state.epoch))  # dropout
        self.network.train()
        total, seen = 0.0, 0
        for step, batch in enumerate(batches(np.random.default_rng([self.seed, self.state.epoch]))):
            factor = self.schedule.rate(self.progress_at(step))
            for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
                group["lr"] = peak * factor
            total += _descend(self.network, self.optimizer, loss, batch, self.schedule.clip_norm)
            seen += 1
            _follow(self.average, self.network, self.schedule.average_decay, self.state.epoch * self.steps + step)
            heard()
        return total / max(seen, 1)

    def judge(self, score: float, mean_loss: float) -> None:
        """Note the epoch, keep its weights if they are the best, and write everything down."""
        state = self.state
        state.epoch += 1
        state.seconds = time.monotonic() - self.started
        state.history.append({"epoch": state.epoch, "loss": mean_loss, "score": score})
        if score > state.best_score:
            state.best_score, state.best_epoch = score, state.epoch
            state.best_weights = copy.deepcopy(self.average.state_dict())
        _save(self.folder, state, self.network, self.average, self.optimizer, _identity(self.schedule, self.seed))

    def finish(self) -> Fitted:
        if self.state.best_weights:
            self.network.load_state_dict(self.state.best_weights)
        self.network.eval()
        state = self.state
        return Fitted(state.best_score, state.best_epoch, state.epoch, state.seconds, state.history)


def _descend(network, optimizer, loss, batch, clip_norm: float | None) -> float:
    optimizer.zero_grad(set_to_none=True)
    value = loss(network, batch)
    value.backward()
    if clip_norm:
        nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
    optimizer.step()
    return float(value.detach())


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    decay = min(decay, (1 + step) / (10 + step))  # young averages forget their random start quickly
    for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)
    for kept, latest in zip(average.buffers(), network.buffers(), strict=True):
        # Averaged weights under the latest batch-norm statistics lost 5 points of accuracy on FER2013; under
        # averaged ones 2; a caller that can afford it measures them anew with `refresh`.
        kept.lerp_(latest, 1 - decay) if kept.is_floating_point() else kept.copy_(latest)


def _seed_of(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _identity(schedule: Schedule, seed: int) -> str:
    return json.dumps({"seed": seed, "schedule": schedule.__dict__}, sort_keys=True)


def _save(folder: Path, state: _State, network, average, optimizer, identity: str) -> None:
    """Write beside and rename: a kill at any moment leaves the last whole epoch."""
    beside = folder / (STATE_FILE + ".new")
    torch.save(
        {
            "identity": identity,
            "state": dict(state.__dict__),
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
        },
        beside,
    )
    beside.replace(folder / STATE_FILE)
    lines = [json.dumps(row) for row in state.history]
    (folder / HISTORY_FILE).write_text("\n".join(lines) + "\n")


def _restore(path: Path, network, average, optimizer, identity: str) -> _State:
    saved = torch.load(path, weights_only=True, map_location="cpu")
    if json.loads(saved["identity"]) != json.loads(identity):  # as numbers: 60 minutes are 60.0 minutes
        raise OtherRun(f"{path} was written with {saved['identity']}, not {identity}")
    network.load_state_dict(saved["network"])
    average.load_state_dict(saved["average"])
    optimizer.load_state_dict(saved["optimizer"])
    return _State(**saved["state"])


def _progress_bar() -> Progress:
    """Time left for people at a terminal; silent in logs, where `history.jsonl` tells."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
