"""Open a model folder offline, or say in one line why not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emotion.checkpoint import BadCheckpoint, NoModel
from emotion.estimate import EMOTIONS

# Names that models for speech and text give to the served emotions.
SPELLINGS = {
    "anger": "anger angry ang",
    "disgust": "disgust disgusted dis",
    "fear": "fear fearful fea",
    "happiness": "happiness happy joy hap",
    "neutral": "neutral calm neu",
    "sadness": "sadness sad",
    "surprise": "surprise surprised sur ps pleasant_surprise",
}
SERVED = {spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings.split()}


def library() -> Any:
    """The transformers package. It imports torchvision where there is one, whose operators may be missing."""
    from emotion import torchvision_ops

    torchvision_ops.ensure()
    import transformers

    return transformers


def opened(kind: Any, folder: str | os.PathLike) -> Any:
    """`kind.from_pretrained` on a local folder. Raises `NoModel` or `BadCheckpoint`; never asks the network.

    kind: a model, processor or tokenizer class of transformers.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise NoModel(f"no model folder at {folder} (config.json is missing)")
    weights = {"use_safetensors": True} if hasattr(kind, "forward") else {}
    try:
        return kind.from_pretrained(folder, local_files_only=True, **weights)
    except (OSError, ValueError, KeyError) as error:
        raise BadCheckpoint(f"{folder} cannot be read: {str(error).splitlines()[0]}") from error


def version(name: str, folder: str | os.PathLike) -> str:
    """Name and the first eight digits of the SHA-256 of configuration and weights, as our own checkpoints have it."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("*.safetensors")):
        digest.update(path.read_bytes())
    digest.update((Path(folder) / "config.json").read_bytes())
    return f"{name}-{digest.hexdigest()[:8]}"


def served_columns(labels: Mapping[int, str], given: Mapping[str, str] | None = None) -> list[str | None]:
    """For each output of a model the served emotion it means, or None.

    given: {label of the model: served emotion} for labels that are not spelled as usual. Raises `BadCheckpoint`
    where no output means a served emotion.
    """
    names = {**SERVED, **{label.lower(): emotion for label, emotion in (given or {}).items()}}
    columns = [names.get(labels[index].lower()) for index in sorted(labels)]
    unknown = set(filter(None, columns)) - set(EMOTIONS)
    if unknown or not any(columns):
        raise BadCheckpoint(f"labels {', '.join(labels.values())} are not emotions; name them with labels={{...}}")
    return columns


def gathered(scores: np.ndarray, columns: Sequence[str | None]) -> np.ndarray:
    """Scores of a model's outputs, (L,) of at least 0, as a distribution over the served emotions, (7,).

    Outputs that mean none are left out; emotions that the model does not know get nothing.
    """
    out = np.zeros(len(EMOTIONS))
    for score, name in zip(scores, columns, strict=True):
        if name is not None:
            out[EMOTIONS.index(name)] += float(score)
    total = out.sum()
    return out / total if total > 0 else np.full(len(EMOTIONS), 1 / len(EMOTIONS))
