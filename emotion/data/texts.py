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
    """Each part: texts, and classes (n,) as places in `names`. train_shares: (n, K), rows sum to 1."""

    names: tuple[str, ...]
    train: tuple[list[str], np.ndarray]
    dev: tuple[list[str], np.ndarray]
    test: tuple[list[str], np.ndarray]
    train_shares: np.ndarray


def load(data: Path, name: str) -> Corpus:
    """name: goemotions (comments of one class; training shares of all), meld or isear. Raises DataMissing."""
    return {"goemotions": _goemotions, "meld": _meld, "isear": _isear}[name](data)


def _goemotions(data: Path) -> Corpus:
    parts = {split: goemotions.load(data / "goemotions", split) for split in ("train", "dev", "test")}
    single = {split: part.of_one_class() for split, part in parts.items()}
    judged = {split: (part.texts, part.classes.argmax(axis=1)) for split, part in single.items()}
    return Corpus(EMOTIONS, judged["train"], judged["dev"], judged["test"], single["train"].shares)


def _meld(data: Path) -> Corpus:
    """Lines of a television series, Poria et al., ACL 2019."""
    rows = {split: _rows(data / "meld_text" / f"{split}.csv.gz") for split in ("train", "dev", "test")}
    names = tuple(sorted({row["Emotion"] for row in rows["train"]}))
    parts = {
        split: ([row["Utterance"] for row in part], np.array([names.index(row["Emotion"]) for row in part]))
        for split, part in rows.items()
    }
    return Corpus(names, parts["train"], parts["dev"], parts["test"], np.eye(len(names))[parts["train"][1]])


def _isear(data: Path) -> Corpus:
    """Situations that people remembered, Scherer & Wallbott 1994; 72 / 8 / 20 %, drawn with seed 0."""
    rows = _rows(data / "isear" / "isear.csv.gz")
    names = tuple(sorted({row["emotion"] for row in rows}))
    texts, truth = np.array([row["text"] for row in rows]), np.array([names.index(row["emotion"]) for row in rows])
    order = np.random.default_rng(0).permutation(len(rows))
    test, dev, train = np.split(order, [len(rows) // 5, len(rows) * 28 // 100])
    parts = [(texts[part].tolist(), truth[part]) for part in (train, dev, test)]
    return Corpus(names, *parts, np.eye(len(names))[truth[train]])


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        raise DataMissing(f"{file} is not there")
    with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
