"""Sentences with their own emotion words, for the text bench: MELD (official split) and ISEAR (a seeded one)."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotion.data import goemotions
from emotion.data.clips import DataMissing
from emotion.estimate import EMOTIONS


@dataclass(frozen=True)
class Corpus:
    """train: texts, and the shares (n, K) of the classes in each.  dev, test: texts, and classes (n,) in `names`."""

    names: tuple[str, ...]
    train: tuple[list[str], np.ndarray]
    dev: tuple[list[str], np.ndarray]
    test: tuple[list[str], np.ndarray]


def load(data: Path, name: str) -> Corpus:
    """name: goemotions (judged on comments of one class), meld or isear. Raises DataMissing."""
    return {"goemotions": _goemotions, "meld": _meld, "isear": _isear}[name](data)


def _goemotions(data: Path) -> Corpus:
    train = goemotions.load(data / "goemotions", "train")
    single = [goemotions.load(data / "goemotions", split).of_one_class() for split in ("dev", "test")]
    dev, test = ((part.texts, part.classes.argmax(axis=1)) for part in single)
    return Corpus(EMOTIONS, (train.texts, train.shares), dev, test)


def _meld(data: Path) -> Corpus:
    """Lines of a television series, Poria et al., ACL 2019."""
    rows = {split: _rows(data / "meld_text" / f"{split}.csv.gz") for split in ("train", "dev", "test")}
    names = tuple(sorted({row["Emotion"] for row in rows["train"]}))
    parts = {
        split: ([row["Utterance"] for row in part], np.array([names.index(row["Emotion"]) for row in part]))
        for split, part in rows.items()
    }
    train = parts["train"][0], np.eye(len(names))[parts["train"][1]]
    return Corpus(names, train, parts["dev"], parts["test"])


def _isear(data: Path) -> Corpus:
    """Situations that people remembered, Scherer & Wallbott 1994; 72 / 8 / 20 %, drawn with seed 0."""
    rows = _rows(data / "isear" / "isear.csv.gz")
    names = tuple(sorted({row["emotion"] for row in rows}))
    texts, truth = np.array([row["text"] for row in rows]), np.array([names.index(row["emotion"]) for row in rows])
    order = np.random.default_rng(0).permutation(len(rows))
    test, dev, train = np.split(order, [len(rows) // 5, len(rows) * 28 // 100])
    judged = [(texts[part].tolist(), truth[part]) for part in (dev, test)]
    return Corpus(names, (texts[train].tolist(), np.eye(len(names))[truth[train]]), *judged)


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        raise DataMissing(f"{file} is not there")
    with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
