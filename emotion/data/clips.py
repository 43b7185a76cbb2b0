"""One recording of a corpus, as the voice benches and the training see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class DataMissing(Exception):
    """The corpus is not in the folder that was named; the message says what was looked for."""


@dataclass(frozen=True)
class Clip:
    """label: one of `EMOTIONS`.  person: unique over corpora.  sex: female or male, as the corpus states it."""

    path: Path
    label: str
    person: str
    corpus: str
    sex: str
