"""Five real tuning problems, each tabulated once: random configurations, and their losses after less and more training.

A row is measured by training, never foreseen; a tuner is told the nearest row that it has not bought (`Table.nearest`).
The tables lie in `curves/`, one JSON line a row. What is missing is measured and appended: a maker may be interrupted.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from recommender.metrics import ranking_metrics
from recommender.space import Float, Int, Log, Space

CURVES = Path(__file__).parent / "curves"
ROWS, EARLIER_ROWS = 1000, 40  # of the problem itself, and of an earlier study on another split of the same data
LIKED_BY = 10  # people; rarer films are left out, or one matrix would cost as much as all the others' training
THIRD = 3

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """curve(config, split, data) -> losses after each of `rungs`, trained through them in one go."""

    name: str
    space: Space
    rungs: tuple[int, ...]
    unit: str
    curve: Callable[[Config, int, Path], list[float]]


@dataclass(frozen=True)
class Table:
    """units: (n, D) points in the cube.   losses: (n, rungs)."""

    units: np.ndarray
    losses: np.ndarray

    def nearest(self, unit: np.ndarray, apart_from: Collection[int] = ()) -> int:
        squares = ((self.units - unit) ** 2).sum(axis=1)
        squares[list(apart_from)] = np.inf
        return int(squares.argmin())


def table(task: Task, split: int, data: Path, rows: int) -> Table:
    """Read the first `rows` rows, measuring and appending what is missing."""
    path = CURVES / f"{task.name.replace(' ', '-')}.jsonl"
    known = {(row["split"], row["row"]): row for row in map(json.loads, _lines(path))}
    for row in range(rows):
        if (split, row) not in known:
            known[split, row] = _measured(task, split, row, data)
            path.parent.mkdir(exist_ok=True)
            with path.open("a") as file:
                file.write(json.dumps(known[split, row]) + "\n")
    units = np.array([task.space.encode(configuration(task, split, row)) for row in range(rows)])
    return Table(units, np.array([known[split, row]["losses"] for row in range(rows)], dtype=float))


def configuration(task: Task, split: int, row: int) -> dict[str, Any]:
    """The row's configuration: random, and the same for ever."""
    return task.space.decode(np.random.default_rng([split, row]).random(task.space.dimension))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _measured(task: Task, split: int, row: int, data: Path) -> dict[str, Any]:
    began = time.process_time()
    losses = task.curve(configuration(task, split, row), split, data)
    seconds = round(time.process_time() - began, 3)
    return {"split": split, "row": row, "losses": [round(loss, 6) for loss in losses], "cpu_seconds": seconds}


@lru_cache(maxsize=2)
def _films(data: Path, split: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """MovieLens-100k without rare films: fitted, and of other people what is shown and wanted."""
    from recommender.bench.films import ml100k

    parts = ml100k(data, split)
    often = (parts.fitted > 0).sum(axis=0) >= LIKED_BY
    return parts.fitted[:, often], parts.valid_shown[:, often], parts.valid_wanted[:, often]


def _missed(score: Callable[[np.ndarray], np.ndarray], shown: np.ndarray, wanted: np.ndarray) -> float:
    """1 - NDCG@100 on other people."""
    return 1 - float(ranking_metrics(score(shown), shown > 0, wanted > 0, (100,))["ndcg", 100].mean())


def _ease(config: Config, split: int, data: Path) -> list[float]:
    """EASE with a denoising diagonal (Steck 2020, NeurIPS), rows and scores scaled by powers of their counts."""
    from recommender.linear import ease_weights, gram_of

    fitted, shown, wanted = _films(data, split)
    popularity = fitted.sum(axis=0) + 1.0

    def scaled(x: np.ndarray) -> np.ndarray:
        return x / np.maximum(x.sum(axis=1, keepdims=True), 1) ** config["row_power"]

    def score(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return scaled(x) @ weights * popularity ** config["item_power"]

    losses = []
    for ninths in (1, 3, 9):
        gram = gram_of(scaled(fitted[: len(fitted) * ninths // 9]))
        gram[np.diag_indices(len(gram))] *= 1 + config["dropout"] / (1 - config["dropout"])
        losses.append(_missed(partial(score, weights=ease_weights(gram, config["regularisation"])), shown, wanted))
    return losses


def _ials(config: Config, split: int, data: Path) -> list[float]:
    from recommender.ratings import ImplicitAls

    fitted, shown, wanted = _films(data, split)
    models = (ImplicitAls(**config, sweeps=sweeps, seed=split).fit(fitted) for sweeps in (1, 3, 9))
    return [_missed(model.score, shown, wanted) for model in models]


def _mult_vae(config: Config, split: int, data: Path) -> list[float]:
    from recommender.ratings import MultVae

    fitted, shown, wanted = _films(data, split)
    losses: list[float] = []
    epochs = 0

    def judge(score: Callable) -> float:
        nonlocal epochs
        epochs += 1
        if epochs in (1, 3, 9):
            losses.append(_missed(score, shown, wanted))
        return 0.0

    MultVae(**config, latent=32, epochs=9, patience=10, seed=split).fit(fitted, judge=judge)
    return losses


def _mlp(config: Config, split: int, data: Path) -> list[float]:
    """Log-loss of scikit-learn's network on its handwritten digits; a third is held out."""
    from sklearn.datasets import load_digits
    from sklearn.metrics import log_loss
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x / 16, y, test_size=1 / THIRD, random_state=split, stratify=y)
    model = MLPClassifier(
        config["hidden"],
        alpha=config["alpha"],
        learning_rate_init=config["learning_rate"],
        batch_size=config["batch"],
        random_state=split,
    )
    losses = []
    for epoch in range(1, 10):
        model.partial_fit(parts[0], parts[2], classes=range(10))
        if epoch in (1, 3, 9):
            losses.append(float(log_loss(parts[3], model.predict_proba(parts[1]))))
    return losses


def _boosting(config: Config, split: int, data: Path) -> list[float]:
    """Share of the variance that scikit-learn's gradient boosting leaves unexplained on its diabetes data."""
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.model_selection import train_test_split

    x, y = load_diabetes(return_X_y=True)
    parts = train_test_split(x, y, test_size=1 / THIRD, random_state=split)
    model = GradientBoostingRegressor(n_estimators=90, random_state=split, **config).fit(parts[0], parts[2])
    foreseen = dict(enumerate(model.staged_predict(parts[1]), 1))
    return [float(((foreseen[n] - parts[3]) ** 2).mean() / parts[3].var()) for n in (10, 30, 90)]


def _quietly(curve: Callable[[Config, int, Path], list[float]], config: Config, split: int, data: Path) -> list[float]:
    """Without the warnings of a training that has not converged: that is what the rungs are for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return curve(config, split, data)


TASKS = {
    task.name: task
    for task in (
        Task(
            "gradient boosting",
            Space(
                {
                    "learning_rate": Log(0.01, 0.5),
                    "max_depth": Int(1, 8),
                    "subsample": Float(0.3, 1.0),
                    "min_samples_leaf": Int(1, 40),
                    "max_features": Float(0.1, 1.0),
                }
            ),
            (10, 30, 90),
            "trees",
            _boosting,
        ),
        Task(
            "EASE",
            Space(
                {
                    "regularisation": Log(1.0, 10_000.0),
                    "dropout": Float(0.0, 0.9),
                    "row_power": Float(0.0, 1.0),
                    "item_power": Float(-0.5, 0.5),
                }
            ),
            (1, 3, 9),
            "ninths of the people",
            _ease,
        ),
        Task(
            "network",
            Space(
                {
                    "learning_rate": Log(1e-4, 1e-1),
                    "alpha": Log(1e-6, 1.0),
                    "hidden": Int(8, 96),
                    "batch": Int(16, 256),
                }
            ),
            (1, 3, 9),
            "epochs",
            partial(_quietly, _mlp),
        ),
        Task(
            "iALS",
            Space({"factors": Int(4, 32), "unobserved": Log(0.01, 3.0), "regularisation": Log(1e-4, 0.3)}),
            (1, 3, 9),
            "sweeps",
            _ials,
        ),
        Task(
            "Mult-VAE",
            Space(
                {
                    "hidden": Int(32, 160),
                    "dropout": Float(0.0, 0.8),
                    "beta": Log(0.01, 1.0),
                    "learning_rate": Log(1e-4, 3e-2),
                    "batch": Int(32, 160),
                }
            ),
            (1, 3, 9),
            "epochs",
            _mult_vae,
        ),
    )
}
