"""EMO-DB (Burkhardt et al. 2005): ten German speakers, ten sentences, acted.

A file name is speaker (2 digits), text (3), emotion (1 letter, German), version (1). Boredom (L)
has no place among the served emotions and is left out. Use one folder of the corpus per model:
the cut and the full-length copies hold the same recordings.
"""

from __future__ import annotations

from pathlib import Path

from emotion.data.clips import Clip, DataMissing

LICENCE = "CC0 or CC BY 4.0, by distributor"
LABELS = {"W": "anger", "E": "disgust", "A": "fear", "F": "happiness", "N": "neutral", "T": "sadness"}
OWN_LABELS = {**LABELS, "L": "boredom"}
FEMALE = {"08", "09", "13", "14", "16"}


def clips(folder: Path, labels: dict[str, str] = LABELS) -> list[Clip]:
    """Every clip of a served emotion (or of `labels`) directly in `folder`; `DataMissing` if there is none."""
    paths = sorted([*Path(folder).glob("[0-9][0-9]???[A-Z]?.flac"), *Path(folder).glob("[0-9][0-9]???[A-Z]?.wav")])
    if not paths:
        raise DataMissing(f"no EMO-DB recordings (such as 03a01Fa.flac) in {folder}")
    return [_clip(path, labels) for path in paths if path.stem[5] in labels]


def _clip(path: Path, labels: dict[str, str]) -> Clip:
    speaker = path.stem[:2]
    return Clip(path, labels[path.stem[5]], f"emodb-{speaker}", "emodb", "female" if speaker in FEMALE else "male")
