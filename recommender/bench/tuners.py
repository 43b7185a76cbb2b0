"""Tuners of a task with rungs, ours and its peers: `tune(bill, task, seed, earlier)`, until `bill` raises `Spent`.

`bill(unit, rung, paid)` trains the configuration at a point of the unit cube as far as a rung and returns its loss; a
tuner that has paid for a lower rung of it pays only for what is added. Who knows nothing of rungs trains to the end.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from recommender.bench import peers
from recommender.bench.peers import Spent
from recommender.bench.tasks import Table, Task
from recommender.dandelion import Dandelion
from recommender.space import Float, Int, Log

BUDGET = 30  # full trainings
ETA = 3


class Bill(ABC):
    """What trainings cost, and the best loss that was paid for.

    curve_: (cost so far, smallest loss after a full training) wherever the latter improves; costs in full trainings.
    """

    def __init__(self, task: Task, budget: float = BUDGET) -> None:
        self.task, self.budget = task, budget
        self.spent_ = 0.0
        self.curve_: list[tuple[float, float]] = []

    def __call__(self, unit: np.ndarray, rung: int = -1, paid: int | None = None) -> float:
        """rung, paid: places in the task's rungs."""
        rungs, rung = self.task.rungs, rung % len(self.task.rungs)
        added = rungs[rung] - (0 if paid is None else rungs[paid])
        if self.spent_ + added / rungs[-1] > self.budget + 1e-9:
            raise Spent
        self.spent_ += added / rungs[-1]
        loss = float(self._losses(unit, gone_on=paid is not None)[rung])
        if rung == len(rungs) - 1 and (not self.curve_ or loss < self.curve_[-1][1]):
            self.curve_.append((round(self.spent_, 4), loss))
        return loss

    @abstractmethod
    def _losses(self, unit: np.ndarray, gone_on: bool) -> Sequence[float]:
        """Losses at all rungs. gone_on: of a point that was asked for before."""


class Tabulated(Bill):
    """Losses of a table. No row is sold twice: who asks beside a known point learns of another."""

    def __init__(self, task: Task, table: Table, budget: float = BUDGET) -> None:
        super().__init__(task, budget)
        self.table = table
        self._sold: set[int] = set()
        self._row: dict[bytes, int] = {}  # of a point that a tuner may go on with

    def _losses(self, unit: np.ndarray, gone_on: bool) -> Sequence[float]:
        if not gone_on:
            if len(self._sold) == len(self.table.units):
                self._sold.clear()
            self._row[unit.tobytes()] = self.table.nearest(unit, self._sold)
            self._sold.add(self._row[unit.tobytes()])
        losses: Sequence[float] = self.table.losses[self._row[unit.tobytes()]]
        return losses


class Trained(Bill):
    """Every configuration is trained, to the end at once: what a tuner has not paid for is not shown to it."""

    def __init__(self, task: Task, split: int, data: Path, budget: float = BUDGET) -> None:
        super().__init__(task, budget)
        self.split, self.data = split, data
        self._known: dict[bytes, list[float]] = {}

    def _losses(self, unit: np.ndarray, gone_on: bool) -> Sequence[float]:
        name = unit.tobytes()
        if name not in self._known:
            self._known[name] = self.task.curve(self.task.space.decode(unit), self.split, self.data)
        return self._known[name]


def dandelion(bill: Bill, task: Task, seed: int, earlier: Table, rungs: bool = False, warm: bool = False) -> None:
    """earlier: a random search on another split of the data, read only where `warm`."""
    full = task.rungs[-1]
    settings = {"rungs": task.rungs, "eta": ETA, "budget": bill.budget * full} if rungs else {"budget": bill.budget}
    known = [
        (task.space.decode(u), loss) for u, loss in zip(earlier.units, earlier.losses[:, -1].tolist(), strict=True)
    ]
    study = Dandelion(task.space, seed=seed, warm_start=known if warm else (), **settings)
    asked: dict[int, int] = {}  # trial: rung
    while True:
        trial = study.ask()[0]
        level = task.rungs.index(int(trial.fidelity)) if rungs else -1
        paid = None if trial.continues is None else asked[trial.continues]
        asked[trial.number] = level
        study.tell(trial.number, bill(task.space.encode(trial.config), level, paid))


def anywhere(bill: Bill, task: Task, seed: int, earlier: Table, search: Callable) -> None:
    """A search of the unit cube that knows nothing of rungs."""
    search(bill, task.space.dimension, int(bill.budget), seed)


def tpe(bill: Bill, task: Task, seed: int, earlier: Table, hyperband: bool = False) -> None:
    """Optuna's, on the task's own scales; with its Hyperband pruner, which stops trials at the rungs."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    band = optuna.pruners.HyperbandPruner(task.rungs[0], task.rungs[-1], ETA)
    pruner = band if hyperband else optuna.pruners.NopPruner()

    def objective(trial) -> float:
        unit = task.space.encode(_suggested(trial, task))
        if not hyperband:
            return bill(unit)
        for rung, units in enumerate(task.rungs):
            loss = bill(unit, rung, rung - 1 if rung else None)
            trial.report(loss, units)
            if rung + 1 < len(task.rungs) and trial.should_prune():
                raise optuna.TrialPruned
        return loss

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = f"{task.name} {seed}"  # Hyperband's brackets hang on the name, which otherwise is random
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner, study_name=name)
        study.optimize(objective)


def _suggested(trial, task: Task) -> dict[str, float]:
    config: dict[str, float] = {}
    for name, setting in task.space.settings.items():
        if isinstance(setting, Int):
            config[name] = trial.suggest_int(name, setting.low, setting.high)
        elif isinstance(setting, Float | Log):
            config[name] = trial.suggest_float(name, setting.low, setting.high, log=isinstance(setting, Log))
    return config


def bohb(bill: Bill, task: Task, seed: int, earlier: Table) -> None:
    """Hyperband whose configurations come from two kernel densities (Falkner, Klein & Hutter 2018, ICML).

    A third of them at random; the others the best of 64 draws from the good density by the ratio to the bad one.
    """
    rng, d, levels = np.random.default_rng(seed), task.space.dimension, len(task.rungs)
    told: list[list[tuple[np.ndarray, float]]] = [[] for _ in range(levels)]
    while True:
        for bracket in reversed(range(levels)):
            count = math.ceil(levels / (bracket + 1) * ETA**bracket)
            points, paid = [_proposed(told, d, rng) for _ in range(count)], None
            for level in range(levels - 1 - bracket, levels):
                losses = [bill(point, level, paid) for point in points]
                told[level] += zip(points, losses, strict=True)
                points = [points[i] for i in np.argsort(losses, kind="stable")[: max(count // ETA, 1)]]
                count, paid = len(points), level


def _proposed(told: list[list[tuple[np.ndarray, float]]], d: int, rng: np.random.Generator) -> np.ndarray:
    """By the highest rung that has enough results: d + 1 good ones and as many bad."""
    known = next((level for level in reversed(told) if len(level) >= 2 * d + 2), None)
    if known is None or rng.random() < 1 / 3:
        return rng.random(d)
    points = np.array([point for point, _ in sorted(known, key=lambda pair: pair[1])])
    good, bad = np.split(points, [max(d + 1, round(0.15 * len(points)))])
    widths = np.maximum(good.std(axis=0) * len(good) ** (-1 / (d + 4)), 1e-3)
    drawn = good[rng.integers(len(good), size=64)] + 3 * widths * rng.standard_normal((64, d))
    drawn = np.clip(drawn, 0, 1)
    return drawn[np.argmax(_density(drawn, good, widths) - _density(drawn, bad, widths))]


def _density(asked: np.ndarray, points: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Logarithm of a Gaussian kernel density up to a constant, (m,)."""
    squares = (((asked[:, None] - points) / widths) ** 2).sum(axis=2)  # (m, n)
    return np.logaddexp.reduce(-squares / 2, axis=1) - math.log(len(points))


TUNERS: dict[str, Callable[..., None]] = {
    "dandelion": partial(dandelion, rungs=True),
    "dandelion, warm start": partial(dandelion, rungs=True, warm=True),
    "dandelion, no rungs": dandelion,
    "dandelion, no rungs, warm start": partial(dandelion, warm=True),
    "TPE with Hyperband": partial(tpe, hyperband=True),
    "BOHB-style": bohb,
    "Optuna TPE": tpe,
    "GP with L-BFGS EI": partial(anywhere, search=peers.gp_ei),
    "random": partial(anywhere, search=peers.random),
}
