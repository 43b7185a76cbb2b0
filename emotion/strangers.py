"""Strangers: what is no voice and no frontal face, though it passed for one. A linear score over cheap numbers.

The score is a logistic regression between training people and things made by seed (outlier exposure: Hendrycks,
Mazeika & Dietterich, ICLR 2019), over the features of the emotion network's last layer, which are there anyway, and
over numbers that the network does not keep: histograms of edges for a face, `emotion.speechlike` for a voice. Serving
is one product of two vectors. What was fitted lies beside the checkpoint, names its SHA-256, and is left unused with
any other: `python -m emotion calibrate-strangers` fits it anew (emotion.strangers_fit).

Shapes:  n inputs   D numbers of an input
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotion import checkpoint

FORMAT = 1
MOST_QUALITY = 0.1  # of a stranger: what is left of its weight in a fusion
CODES = {"face": "not_a_face", "voice": "not_speech"}
MESSAGES = {
    "not_a_face": "This does not look like a face seen from the front. Please look straight into the camera.",
    "not_speech": "This does not sound like one person speaking. Please switch off music and speak by yourself.",
}
DIRECTIONS = 12  # of edges
CELLS = 6  # in a row of a 48-pixel face


@dataclass(frozen=True)
class Guard:
    """weights: (D,).  bias: so that familiar inputs lie below 0 mostly.  threshold: above it is a stranger."""

    modality: str
    weights: np.ndarray
    bias: float
    threshold: float

    def score(self, vectors: np.ndarray) -> np.ndarray:
        """(n, D) -> (n,), log-odds of being a stranger among as many strangers as people."""
        return np.asarray(vectors, dtype=float) @ self.weights + self.bias

    def judge(self, vectors: np.ndarray) -> list[dict[str, Any]]:
        """One entry of `Estimate.details` for each row: score, threshold, and a `code` where it is a stranger."""
        return [self._told(float(score)) for score in self.score(vectors)]

    def _told(self, score: float) -> dict[str, Any]:
        told = {"score": round(score, 3), "threshold": round(self.threshold, 3)}
        return told | ({"code": CODES[self.modality]} if score > self.threshold else {})


def beside(path: str | os.PathLike) -> Path:
    """Where the guard of the checkpoint at `path` is kept."""
    return Path(path).with_suffix(".strangers.json")


def load(path: str | os.PathLike, card: dict[str, Any]) -> Guard | None:
    """The guard of a checkpoint; None where there is none or it was fitted to other weights.

    Raises `checkpoint.BadCheckpoint` for a file that is none.
    """
    file = beside(path)
    if not file.exists():
        return None
    try:
        stored = json.loads(file.read_text())
        if stored["format"] != FORMAT or stored["checkpoint_sha256"] != card["sha256"]:
            return None
        return Guard(stored["modality"], np.array(stored["weights"], float), stored["bias"], stored["threshold"])
    except (ValueError, KeyError, TypeError) as problem:
        raise checkpoint.BadCheckpoint(f"{file} does not hold the numbers that it should") from problem


def save(path: str | os.PathLike, card: dict[str, Any], guard: Guard, facts: dict[str, Any]) -> Path:
    """Write the guard of the checkpoint at `path`, whose card is given, beside it."""
    numbers = asdict(guard) | {"weights": [float(f"{weight:.6g}") for weight in guard.weights]}
    stored = {"format": FORMAT, "checkpoint_sha256": card["sha256"], **facts, **numbers}
    checkpoint.replace(beside(path), (json.dumps(stored, indent=1) + "\n").encode())
    return beside(path)


def stranger(estimate: Any) -> str:
    """The code of an estimate's stranger; "" if it is none."""
    return (estimate.details.get("stranger") or {}).get("code", "")


def quality(value: float, told: dict[str, Any] | None) -> float:
    """An input's quality, capped where it is a stranger's."""
    return min(value, MOST_QUALITY) if told and "code" in told else value


def edges(faces: np.ndarray) -> np.ndarray:
    """Histograms of signed edge directions in 6 × 6 cells: (n, 48, 48) uint8 -> (n, 432), unit length, rooted.

    As Dalal & Triggs (CVPR 2005) found people with, without overlapping blocks.
    """
    grey = np.asarray(faces, dtype=np.float32)
    down, right = np.zeros_like(grey), np.zeros_like(grey)
    down[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    right[:, :, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2]
    strength = np.hypot(down, right)
    direction = (np.arctan2(down, right) / (2 * np.pi) % 1 * DIRECTIONS).astype(int) % DIRECTIONS
    cells = [
        (strength * (direction == d)).reshape(-1, CELLS, 8, CELLS, 8).sum((2, 4)).reshape(-1, CELLS * CELLS)
        for d in range(DIRECTIONS)
    ]
    found = np.concatenate(cells, axis=1)
    return np.sqrt(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1.0))


def of_faces(faces: np.ndarray, features: np.ndarray) -> np.ndarray:
    """What a face's guard reads, (n, D), of grey faces (n, 48, 48) and the network's features (n, F)."""
    return np.concatenate([edges(faces), features], axis=1)


def of_voice(samples: np.ndarray, log_mel_db: np.ndarray, features: np.ndarray) -> np.ndarray:
    """What a voice's guard reads, (1, D), of prepared speech (N,), its spectrum (M, T) and the features (1, F)."""
    from emotion.speechlike import describe

    return np.concatenate([describe(samples, log_mel_db)[None], features], axis=1)
