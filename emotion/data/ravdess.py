"""RAVDESS speech (Livingstone & Russo 2018, CC BY-NC-SA 4.0): 24 actors, two sentences, eight emotions.

A file name has seven two-digit fields; the third is the emotion and the last the actor (odd: male).
Calm is served as neutral.
"""

from __future__ import annotations

from pathlib import Path

from emotion.data.clips import Clip, DataMissing

LICENCE = "CC BY-NC-SA 4.0"
LABELS = {
    "01": "neutral",
    "02": "neutral",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
# The actor-disjoint folds that published results on this corpus use, without the actors kept for judging.
FOLDS = ((2, 5, 14, 15, 16), (3, 6, 7, 13, 18), (10, 11, 12, 19, 20), (8, 17), (1, 4, 9))


def person(actor: int) -> str:
    return f"ravdess-{actor:02d}"


def clips(folder: Path) -> list[Clip]:
    """Every speech clip under `folder`, in the order of the file names; `DataMissing` if there is none."""
    paths = sorted(Path(folder).glob("**/03-01-*.flac")) + sorted(Path(folder).glob("**/03-01-*.wav"))
    if not paths:
        raise DataMissing(f"no RAVDESS speech (03-01-*.flac or .wav) under {folder}")
    return [_clip(path) for path in paths]


def _clip(path: Path) -> Clip:
    fields = path.stem.split("-")
    actor = int(fields[6])
    return Clip(path, LABELS[fields[2]], person(actor), "ravdess", "male" if actor % 2 else "female")
