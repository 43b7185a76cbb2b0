"""GoEmotions: 54,263 English Reddit comments with 27 emotions and neutral, read as the seven classes served here.

Demszky et al., "GoEmotions: a dataset of fine-grained emotions", ACL 2020 (Apache-2.0), official split and its
Ekman map. A folder holds train, dev and test as CSV (columns text, labels, id) and `original_labels.txt`.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotion.data.clips import DataMissing
from emotion.estimate import EMOTIONS

EKMAN = {
    "anger": "anger annoyance disapproval",
    "disgust": "disgust",
    "fear": "fear nervousness",
    "happiness": "joy amusement approval excitement gratitude love optimism relief pride admiration desire caring",
    "neutral": "neutral",
    "sadness": "sadness disappointment embarrassment grief remorse",
    "surprise": "surprise realization confusion curiosity",
}
CLASS_OF = {fine: EMOTIONS.index(coarse) for coarse, names in EKMAN.items() for fine in names.split()}


@dataclass(frozen=True)
class Comments:
    """texts: n comments.  classes: (n, 7) bool, each comment has one or more."""

    texts: list[str]
    classes: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """(n, 7): the classes of a comment in equal parts."""
        return self.classes / self.classes.sum(axis=1, keepdims=True)

    def of_one_class(self) -> Comments:
        """Those whose raters agreed on a single class: nine in ten."""
        rows = np.flatnonzero(self.classes.sum(axis=1) == 1)
        return Comments([self.texts[row] for row in rows], self.classes[rows])


def load(folder: Path, split: str) -> Comments:
    """split: train, dev or test. Raises DataMissing."""
    names, file = folder / "original_labels.txt", folder / f"{split}.csv.gz"
    if not (names.is_file() and file.is_file()):
        raise DataMissing(f"{folder} does not hold original_labels.txt and {split}.csv.gz")
    fine = names.read_text().split()
    with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    classes = np.zeros((len(rows), len(EMOTIONS)), bool)
    for row, comment in enumerate(rows):
        classes[row, [CLASS_OF[fine[int(label)]] for label in comment["labels"].split(",")]] = True
    return Comments([comment["text"] for comment in rows], classes)
