"""A table of what recognisers said of clips: CSV with `clip,person,label` and `<modality>_<class>` columns."""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MODALITIES = ("voice", "face", "text")
NAMES = ("clip", "person", "label")
SUM_TOLERANCE = 0.02  # rounded distributions are put right, others refused


class BadPosteriors(Exception):
    """The table cannot be used; the message names the line and what is wrong with it."""


@dataclass(frozen=True)
class Table:
    """Shapes: n clips, K classes.

    posteriors: modality -> (n, K), a row of NaN where the modality is missing.  truth: (n,) class numbers.
    people, clips: (n,) names.
    """

    classes: tuple[str, ...]
    posteriors: dict[str, np.ndarray]
    truth: np.ndarray
    people: np.ndarray
    clips: np.ndarray

    def take(self, rows: np.ndarray) -> Table:
        """Some rows: a mask (n,) or row numbers."""
        some = {m: p[rows] for m, p in self.posteriors.items()}
        return Table(self.classes, some, self.truth[rows], self.people[rows], self.clips[rows])


def read(path: str | os.PathLike) -> Table:
    """Raises BadPosteriors."""
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = _columns(path, [name.strip() for name in reader.fieldnames or ()])
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            lines = [(reader.line_num, cells) for cells in reader]
    except OSError as error:
        raise BadPosteriors(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadPosteriors(f"{path}: not a CSV file in UTF-8 ({error})") from error
    if not lines:
        raise BadPosteriors(f"{path}: no rows")
    return _table(path, columns, lines)


def _columns(path: Path, header: list[str]) -> dict[str, list[str]]:
    """Class names by modality, the same for all."""
    missing = [name for name in NAMES if name not in header]
    if missing:
        raise BadPosteriors(f"{path}: column {', '.join(missing)} is missing")
    if len(set(header)) < len(header):
        raise BadPosteriors(f"{path}: a column stands there twice")
    found = {m: [h[len(m) + 1 :] for h in header if h.startswith(f"{m}_")] for m in MODALITIES}
    for modality in ("voice", "face"):
        if not found[modality]:
            raise BadPosteriors(f"{path}: no column {modality}_<class>")
    columns = {m: classes for m, classes in found.items() if classes}
    for modality, classes in columns.items():
        if set(classes) != set(columns["voice"]):
            raise BadPosteriors(f"{path}: voice and {modality} have different classes")
    if len(columns["voice"]) < 2:
        raise BadPosteriors(f"{path}: at least two classes are needed")
    return columns


def _table(path: Path, columns: dict[str, list[str]], lines: list[tuple[int, dict]]) -> Table:
    classes = tuple(columns["voice"])
    seen: set[tuple[str, str]] = set()
    names, truth, posteriors = [], [], {m: np.full((len(lines), len(classes)), np.nan) for m in columns}
    for i, (line, cells) in enumerate(lines):
        where = f"{path}, line {line}"
        clip, person, label = (_named(where, name, cells.get(name)) for name in NAMES)
        if label not in classes:
            raise BadPosteriors(f"{where}: label {label!r} is not one of {', '.join(classes)}")
        if (person, clip) in seen:
            raise BadPosteriors(f"{where}: clip {clip!r} of person {person!r} stands there twice")
        seen.add((person, clip))
        names.append((clip, person))
        truth.append(classes.index(label))
        for m in columns:
            posteriors[m][i] = _distribution(where, m, [cells.get(f"{m}_{c}") for c in classes])
    clips, people = (np.array(column) for column in zip(*names, strict=True))
    return Table(classes, posteriors, np.array(truth), people, clips)


def _named(where: str, name: str, cell: str | None) -> str:
    text = (cell or "").strip()
    if not text:
        raise BadPosteriors(f"{where}: no {name}")
    return text


def _distribution(where: str, modality: str, cells: list[str | None]) -> np.ndarray:
    """Normalised; NaN throughout where all cells are empty."""
    texts = [(cell or "").strip() for cell in cells]
    if not any(texts):
        return np.full(len(texts), np.nan)
    if not all(texts):
        raise BadPosteriors(f"{where}: some {modality} cells are empty and some are not")
    try:
        values = np.array([float(text) for text in texts])
    except ValueError as error:
        raise BadPosteriors(f"{where}: {modality} holds something that is no number") from error
    if not all(map(math.isfinite, values)) or (values < 0).any() or abs(values.sum() - 1) > SUM_TOLERANCE:
        raise BadPosteriors(f"{where}: {modality} is not a distribution")
    return values / values.sum()
