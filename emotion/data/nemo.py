"""nEMO (Christop 2024, CC BY-NC-SA 4.0): nine Polish actors, six emotions, seven of the actors here.

A file name is speaker, emotion and sentence number: `EB0_anger_14.ogg`.
"""

from __future__ import annotations

import csv
from pathlib import Path

from emotion.data.clips import Clip, DataMissing

LICENCE = "CC BY-NC-SA 4.0"
LABELS = {name: name for name in ("anger", "fear", "happiness", "neutral", "sadness")} | {"surprised": "surprise"}


def clips(folder: Path) -> list[Clip]:
    """Every clip under `folder`/samples, in the order of the file names; `DataMissing` if there is none."""
    paths = sorted((Path(folder) / "samples").glob("???_*_*.ogg"))
    if not paths or not (Path(folder) / "data.tsv").exists():
        raise DataMissing(f"no nEMO (data.tsv and samples/EB0_anger_14.ogg) in {folder}")
    sexes = _sexes(Path(folder) / "data.tsv")
    return [
        Clip(path, LABELS[path.stem.split("_")[1]], f"nemo-{path.stem[:3]}", "nemo", sexes[path.stem[:3]])
        for path in paths
    ]


def _sexes(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8") as file:  # cells carry blanks and tabs around their values
        return {row["speaker_id"].strip(): row["gender"].strip() for row in csv.DictReader(file, delimiter="\t")}
