"""Interaction files and their two protocols.

The file is an `.npz` with integer arrays `train`, `test` and optionally `valid`, rows (user, item).

temporal: learn from `train`, choose by `valid`, recommend to the same users from `train`; items of `train` and
    `valid` are not offered again, `test` is the target.
strong: all pairs are merged, whole users are held out (a tenth to choose by, a tenth to test), each with four fifths
    of the items shown and the rest as the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
