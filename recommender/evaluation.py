"""Popularity, EASE and the attention VAE on any interaction file, under one protocol.

The file is an `.npz` with integer arrays `train`, `test` and optionally `valid`, rows (user, item).

temporal: learn from `train`, choose by `valid`, recommend to the same users from `train`; items of `train` and
    `valid` are not offered again, `test` is the target.
strong: all pairs are merged, whole users are held out (a tenth to choose by, a tenth to test), each with four fifths
    of the items shown and the rest as the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recommender.catalogue import Activity
from recommender.linear import Ease, Popularity
from recommender.metrics import ranking_metrics

KS = (10, 20, 50, 100)
REGULARISATIONS = (100.0, 300.0, 1000.0, 3000.0)
PROTOCOLS = ("temporal", "strong")


class BadPairs(ValueError):
    """The interaction file cannot be used."""


@dataclass(frozen=True)
class Split:
    """All (U, N) of 0 and 1: what is fitted on; per target what is shown, closed to offers, and wanted."""

    fitted: np.ndarray
    valid_shown: np.ndarray
    valid_wanted: np.ndarray
    test_shown: np.ndarray
    test_closed: np.ndarray
    test_wanted: np.ndarray


def read_pairs(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of the file; raises BadPairs."""
    try:
        with np.load(path, allow_pickle=False) as file:
            pairs = {name: file[name] for name in ("train", "valid", "test") if name in file}
    except (OSError, ValueError, EOFError) as error:
        raise BadPairs(f"{path}: not a readable .npz file: {error}") from error
    for name in ("train", "test"):
        if name not in pairs:
            raise BadPairs(f"{path}: no array {name!r}")
    for name, array in pairs.items():
        if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu" or (array < 0).any():
            raise BadPairs(f"{path}: {name} must be non-negative whole numbers in rows (user, item)")
    if not len(pairs["train"]) or not len(pairs["test"]):
        raise BadPairs(f"{path}: train and test must not be empty")
    return pairs


def split(pairs: dict[str, np.ndarray], protocol: str, seed: int) -> Split:
    users, items = (1 + max(int(array[:, c].max(initial=0)) for array in pairs.values()) for c in (0, 1))
    tables = {name: _table(array, users, items) for name, array in pairs.items()}
    if protocol == "strong":
        return _strong(np.sum(list(tables.values()), axis=0) > 0, seed)
    train, valid = tables["train"], tables.get("valid")
    if valid is None:
        valid = train * (np.random.default_rng(seed).random(train.shape) < 0.1)
        return Split(train - valid, train - valid, valid, train, train, tables["test"])
    return Split(train, train, valid, train, np.maximum(train, valid), tables["test"])


def evaluate(
    path: str | Path, protocol: str, *, seed: int = 0, config: Any = None, told: Callable[[str], None] = lambda _: None
) -> list[dict[str, Any]]:
    """Return rows of model, metric, k and mean over the users with a target.

    config: a `VaeConfig`; its regularisation is set to the one that EASE chooses on the validation target.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}")
    data = split(read_pairs(path), protocol, seed)
    if not data.test_wanted.any():
        raise BadPairs("no user has a target")
    rows = []
    for name, score in _models(data, seed, config, told):
        metrics = ranking_metrics(score(data.test_shown), data.test_closed > 0, data.test_wanted > 0, KS)
        rows += [{"model": name, "metric": m, "k": k, "mean": float(v.mean())} for (m, k), v in metrics.items()]
        told(f"{name}: recall@20 {metrics['recall', 20].mean():.4f}, ndcg@20 {metrics['ndcg', 20].mean():.4f}")
    return rows


def _models(data: Split, seed: int, config: Any, told: Callable[[str], None]) -> Iterator[tuple[str, Callable]]:
    from recommender.vae import Recommender, VaeConfig  # loads torch

    yield "popularity", Popularity().fit(data.fitted).score
    regularisation = _chosen_regularisation(data)
    told(f"EASE: lambda {regularisation:g} by the validation target")
    yield "ease", Ease(regularisation).fit(data.fitted).score
    config = replace(config or VaeConfig(), regularisation=regularisation)
    activities = [Activity(str(i)) for i in range(data.fitted.shape[1])]
    ours = Recommender(config, seed)
    ours.fit_matrix(data.fitted, activities, shown=data.valid_shown, wanted=data.valid_wanted)
    told(f"ours: {ours.report_}")
    yield "ed-att-vae", ours.logits_of_matrix


def _chosen_regularisation(data: Split) -> float:
    """EASE's lambda by recall@20 on the validation target, as DiffRec chooses its models."""

    def quality(regularisation: float) -> float:
        scores = Ease(regularisation).fit(data.fitted).score(data.valid_shown)
        return float(ranking_metrics(scores, data.valid_shown > 0, data.valid_wanted > 0, (20,))["recall", 20].mean())

    if not data.valid_wanted.any():
        return 1000.0
    return max(REGULARISATIONS, key=quality)


def _strong(x: np.ndarray, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    able = rng.permutation(np.flatnonzero(x.sum(axis=1) >= 5))
    if len(able) < 10:
        raise BadPairs("holding users out needs at least ten users with five items each")
    tenth = len(able) // 10
    wanted = x & (rng.random(x.shape) < 0.2)
    shown = x & ~wanted
    valid, test = able[:tenth], able[tenth : 2 * tenth]
    fitted = np.delete(x, able[: 2 * tenth], axis=0)
    parts = (fitted, shown[valid], wanted[valid], shown[test], shown[test], wanted[test])
    return Split(*(part.astype(float) for part in parts))


def _table(pairs: np.ndarray, users: int, items: int) -> np.ndarray:
    x = np.zeros((users, items))
    x[pairs[:, 0], pairs[:, 1]] = 1.0
    return x
