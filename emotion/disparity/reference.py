"""The null that ships: how far face and voice of the shipped networks disagree where both express the same emotion.

It lies beside the checkpoints, names those it was made with, and says nothing about any other:
`python -m emotion calibrate-disparity` makes it anew (emotion.disparity.fitting).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotion.checkpoint import FOLDER, BadCheckpoint, NoModel, replace
from emotion.disparity.measure import Null

FORMAT = 1
DIGITS = 3
COMMAND = "python -m emotion calibrate-disparity --data DIR"


class OtherModels(Exception):
    """The null was made with other checkpoints than those that read the face and the voice."""


@dataclass(frozen=True)
class Reference:
    """null: scores of congruent pairs.  versions: `model_version` of "face" and "voice".  card: where it comes from."""

    null: Null
    versions: Mapping[str, str]
    card: Mapping[str, Any]

    def for_models(self, versions: Mapping[str, str]) -> Null:
        """The null for readings of these model versions, by modality. Raises `OtherModels`."""
        other = sorted(m for m, made_with in self.versions.items() if versions.get(m) != made_with)
        if other:
            made = " and ".join(f"{m} {self.versions[m]}" for m in other)
            used = " and ".join(f"{m} {versions.get(m)}" for m in other)
            raise OtherModels(
                f"the comparison was made with {made}, this was read with {used}; make it anew: {COMMAND}"
            )
        return self.null


def default_path() -> Path:
    return FOLDER / "disparity.json"


def load(path: str | os.PathLike | None = None) -> Reference:
    """Raises `NoModel` where nothing is, `BadCheckpoint` where it cannot be read."""
    path = Path(path or default_path())
    if not path.exists():
        raise NoModel(f"no comparison at {path}: {COMMAND}")
    try:
        stored = json.loads(path.read_text())
        versions = {m: str(stored["made_with"][m]["version"]) for m in ("face", "voice")}
        null = Null(tuple(map(float, stored["scores"])))
    except (ValueError, TypeError, LookupError) as problem:
        raise BadCheckpoint(f"{path} is not a comparison of face and voice") from problem
    if stored.get("format") != FORMAT:
        raise BadCheckpoint(f"{path} has format {stored.get('format')}; this version reads {FORMAT}")
    return Reference(null, versions, {name: stored[name] for name in stored if name != "scores"})


def save(path: str | os.PathLike, card: Mapping[str, Any], null: Null) -> Path:
    """Write card and scores, beside the place and then renamed."""
    scores = [round(score, DIGITS) for score in sorted(null.population)]
    text = json.dumps({"format": FORMAT, **card}, indent=1, ensure_ascii=False)
    replace(Path(path), f'{text[:-2]},\n "scores": {json.dumps(scores)}\n}}\n'.encode())
    return Path(path)
