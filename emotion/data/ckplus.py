"""CK+ (Lucey et al. 2010), peak frames cut to 48×48 grey: contempt instead of neutral. Research only.

A folder per emotion; a file name begins with the subject: `S010_004_00000017.png`. Three frames of one sequence
are nearly the same picture, so people must stay on one side: random folds leak.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from emotion.data.clips import DataMissing
from emotion.data.fer2013 import SIDE
from emotion.estimate import EMOTIONS

LICENCE = "research only, no redistribution"
LABELS = {"happy": "happiness"}
CLASSES = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")


def load(folder: str | os.PathLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, 48, 48) uint8, numbers into `CLASSES` (n,), subjects (n,) str; `DataMissing` if there is none."""
    paths = sorted(Path(folder).glob("*/S*_*.png"))
    if not paths:
        raise DataMissing(f"no CK+ (anger/S010_004_00000017.png) in {folder}")
    images = np.stack([np.asarray(Image.open(path).convert("L").resize((SIDE, SIDE))) for path in paths])
    names = [LABELS.get(path.parent.name, path.parent.name) for path in paths]
    return images, np.array([CLASSES.index(n) for n in names]), np.array([p.stem.split("_")[0] for p in paths])


def served(labels: np.ndarray) -> np.ndarray:
    """Numbers into `EMOTIONS`; -1 for contempt, which has no place there: (n,) -> (n,)."""
    return np.array([EMOTIONS.index(name) if name in EMOTIONS else -1 for name in CLASSES])[labels]
