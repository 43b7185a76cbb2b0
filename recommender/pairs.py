"""Interaction files and their two protocols.

The file is an `.npz` with integer arrays `train`, `test` and optionally `valid`, rows (user, item). Ids may have gaps;
a pair given twice counts once. Where the rows of a user in `train` run from old to new, that order may be used: what it
is worth is for the validation target to say.

temporal: learn from `train`, choose by `valid`, recommend to the same users from `train`; items of `train` and
    `valid` are not offered again, `test` is the target. Without `valid`, the last tenth of each user's rows in `train`
    is set aside to choose by: the newest, or any tenth where rows stand in no order of time.
strong: all pairs are merged, whole users are held out (a tenth to choose by, a tenth to test), each with four fifths
    of the items shown and the rest, at least one, as the target.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

PROTOCOLS = ("temporal", "strong")
MOST_CELLS = 150_000_000  # users x items; every model here works on whole tables in memory
MOST_ITEMS = 20_000  # items x items of EASE and SLIM
UNREADABLE = (OSError, ValueError, TypeError, AttributeError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)


class BadPairs(ValueError):
    """The interaction file cannot be used."""


@dataclass(frozen=True, eq=False)
class Split:
    """All (U, N) of 0 and 1: what is fitted on; per target what is shown, closed to offers, and wanted.

    age: (U, N) how many rows a user has after the one of an item that is shown; None where nothing is known of order.
    """

    fitted: np.ndarray
    valid_shown: np.ndarray
    valid_wanted: np.ndarray
    test_shown: np.ndarray
    test_closed: np.ndarray
    test_wanted: np.ndarray
    age: np.ndarray | None = None


def read_pairs(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of the file, an empty `valid` left out; raises BadPairs."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            pairs = {name: file[name] for name in ("train", "valid", "test") if name in file}
    except UNREADABLE as error:
        raise BadPairs(f"{path}: not a readable .npz file: {_line(error)}") from error
    for name in ("train", "test"):
        if name not in pairs:
            raise BadPairs(f"{path}: no array {name!r}")
    for name, array in pairs.items():
        if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu" or (array.astype(np.int64) < 0).any():
            raise BadPairs(f"{path}: {name} must be non-negative whole numbers in rows (user, item)")
    if not len(pairs["train"]) or not len(pairs["test"]):
        raise BadPairs(f"{path}: train and test must not be empty")
    return {name: array.astype(np.int64) for name, array in pairs.items() if len(array)}


def split(pairs: dict[str, np.ndarray], protocol: str, seed: int) -> Split:
    """Tables of what may be learnt, chosen by and tested on; raises BadPairs where nothing would be left to test."""
    tables, age = _tables(pairs)
    if protocol == "strong":
        return _strong(np.any(list(tables.values()), axis=0), seed)
    train, test, valid = tables["train"], tables["test"], tables.get("valid")
    closed = train if valid is None else train | valid
    fitted = train
    if valid is None:
        rng = np.random.default_rng(seed)
        valid = _newest(train, age, rng) if age is not None else _any(train, rng)
        fitted = train & ~valid
    # what a person was given already is not offered again, and no target either
    return replace(_split(fitted, fitted, valid & ~fitted, train, closed, test & ~closed), age=age)


def _strong(x: np.ndarray, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    able = rng.permutation(np.flatnonzero(x.sum(axis=1) >= 5))
    if len(able) < 10:
        raise BadPairs("holding users out needs at least ten users with five items each")
    tenth = len(able) // 10
    wanted = x & (rng.random(x.shape, dtype=np.float32) < 0.2)
    for user in able[: 2 * tenth][~wanted[able[: 2 * tenth]].any(axis=1)]:
        wanted[user, rng.choice(np.flatnonzero(x[user]))] = True
    shown = x & ~wanted
    valid, test = able[:tenth], able[tenth : 2 * tenth]
    fitted = np.delete(x, able[: 2 * tenth], axis=0)
    return _split(fitted, shown[valid], wanted[valid], shown[test], shown[test], wanted[test])


def _newest(train: np.ndarray, age: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each user's newest tenth, rounded up or down by chance, but never all, (U, N)."""
    count = train.sum(axis=1)
    aside = np.minimum(np.floor(count / 10 + rng.random(len(count))), count - 1)
    rank = np.where(train, age, np.inf).argsort(axis=1, kind="stable").argsort(axis=1)
    return train & (rank < aside[:, None])


def _any(train: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A tenth of the pairs, but never all of a user's, (U, N)."""
    aside = train & (rng.random(train.shape, dtype=np.float32) < 0.1)
    aside[(aside == train).all(axis=1)] = False
    return aside


def _split(*parts: np.ndarray) -> Split:
    split = Split(*(part.astype(np.float32) for part in parts))
    if not split.test_wanted.any():
        raise BadPairs("no user has a target that was not given before")
    return split


def _tables(pairs: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Tables (U, N) of bool over the users and items that occur, in the order of their ids; and the age in `train`.

    No age where each user's rows are sorted by item, up or down: that is an order of ids, not of time.
    """
    every = np.concatenate(list(pairs.values()))
    users, items = np.unique(every[:, 0]), np.unique(every[:, 1])
    if len(users) * len(items) > MOST_CELLS or len(items) > MOST_ITEMS:
        limits = f"at most {MOST_ITEMS:,} items and {MOST_CELLS:,} cells"
        raise BadPairs(f"{len(users):,} users x {len(items):,} items are too many for tables in memory ({limits})")
    places = {
        name: (np.searchsorted(users, array[:, 0]), np.searchsorted(items, array[:, 1]))
        for name, array in pairs.items()
    }
    tables = {name: np.zeros((len(users), len(items)), dtype=bool) for name in pairs}
    for name, place in places.items():
        tables[name][place] = True
    age = np.zeros(tables["train"].shape, dtype=np.float32)
    age[places["train"]] = _rows_after(places["train"][0])
    return tables, None if _sorted_by_item(*places["train"]) else age


def _sorted_by_item(user: np.ndarray, item: np.ndarray) -> bool:
    order = np.argsort(user, kind="stable")
    same = user[order][1:] == user[order][:-1]
    steps = np.diff(item[order])[same]
    return bool(len(steps) and ((steps >= 0).all() or (steps <= 0).all()))


def _rows_after(user: np.ndarray) -> np.ndarray:
    """How many later rows each row's user has, (rows,)."""
    order = np.argsort(user, kind="stable")
    end = np.cumsum(np.bincount(user))
    after = np.empty(len(user))
    after[order] = end[user[order]] - 1 - np.arange(len(user))
    return after


def _line(error: Exception) -> str:
    """One line; numpy's advice to unpickle what is no array is not passed on."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "no archive of plain arrays" if "pickle" in text else text
