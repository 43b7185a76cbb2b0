"""FER2013: 32,298 grey faces of 48×48 pixels, with the votes of ten FER+ raters.

Goodfellow et al., "Challenges in representation learning", ICONIP 2013; votes: Barsoum et al., ICMI 2016.
A folder holds `meta.npz` and two lossless WebP grids, `train_RxC_nN.webp` and `public_RxC_nN.webp`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from emotion.data.clips import DataMissing
from emotion.estimate import EMOTIONS

SIDE = 48
NAMES = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprise": "surprise",
    "neutral": "neutral",
}
NEAR_IDENTICAL = 0.94  # cosine of 12×12 thumbnails; by eye almost every pair just above it is one photo twice
VALIDATION_FILE = "fer2013_validation.txt"


@dataclass(frozen=True)
class Faces:
    """images: (n, 48, 48) uint8.  labels: (n,) index into `EMOTIONS`.

    votes: (n, 7) raters' votes in the order of `EMOTIONS` (contempt, unknown and "no face" left out).
    no_face: (n,) votes for "this is not a face".  rows: (n,) position in its part.
    """

    images: np.ndarray
    labels: np.ndarray
    votes: np.ndarray
    no_face: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: np.ndarray) -> Faces:
        """The faces at an index or mask (n,)."""
        return Faces(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def load(folder: str | os.PathLike, part: str) -> Faces:
    """Read `part`, "train" or "public". `DataMissing` names what is missing."""
    folder = Path(folder)
    if (folder / "fer2013").is_dir():
        folder = folder / "fer2013"
    grids = sorted(folder.glob(f"{part}_*x*_n*.webp"))
    if not grids or not (folder / "meta.npz").exists():
        raise DataMissing(f"{folder} holds no FER2013 (meta.npz and {part}_RxC_nN.webp)")
    images = _read_grid(grids[0])
    with np.load(folder / "meta.npz", allow_pickle=False) as meta:
        usage = {"train": "Training", "public": "PublicTest"}[part]
        chosen = meta["usage"] == list(meta["usage_names"]).index(usage)
        order = np.array([EMOTIONS.index(NAMES[name]) for name in meta["label_names"]])
        raters = list(meta["ferplus_names"])
        votes = meta["ferplus_votes"][chosen]
        labels = order[meta["label"][chosen]]
    if len(images) != len(labels):
        raise DataMissing(f"{grids[0].name} holds {len(images)} faces, meta.npz {len(labels)}")
    served = votes[:, [raters.index(name) for name in EMOTIONS]].astype(np.int64)
    return Faces(images, labels, served, votes[:, raters.index("NF")].astype(np.int64), np.arange(len(labels)))


def _read_grid(path: Path) -> np.ndarray:
    rows, columns, count = map(int, re.findall(r"(\d+)x(\d+)_n(\d+)", path.name)[0])
    ceiling, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # our own file, 66 megapixels
    try:
        with Image.open(path) as picture:
            grid = np.asarray(picture.convert("L"))
    finally:
        Image.MAX_IMAGE_PIXELS = ceiling
    tiles = grid.reshape(rows, SIDE, columns, SIDE).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiles.reshape(-1, SIDE, SIDE)[:count])


def thumbnails(images: np.ndarray) -> np.ndarray:
    """(n, 48, 48) -> (n, 144): 12×12 means, without brightness and contrast, unit length; flat ones are zero."""
    small = images.reshape(-1, 12, 4, 12, 4).mean((2, 4)).reshape(len(images), -1).astype(np.float32)
    small -= small.mean(1, keepdims=True)
    return small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-3)


def duplicate_groups(images: np.ndarray, threshold: float = NEAR_IDENTICAL) -> np.ndarray:
    """Number the groups of near-identical pictures, mirrored ones too: (n, 48, 48) -> (n,) int."""
    small = thumbnails(images)
    mirrored = thumbnails(images[:, :, ::-1])
    pairs: list[np.ndarray] = []
    for start in range(0, len(small), 2000):
        part = small[start : start + 2000]
        alike = np.maximum(part @ small.T, part @ mirrored.T) > threshold
        left, right = np.nonzero(alike)
        pairs.append(np.stack([left + start, right]))
    left, right = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(len(left), bool), (left, right)), shape=(len(small), len(small)))
    return connected_components(graph, directed=False)[1]


def seen_before(images: np.ndarray, among: np.ndarray, threshold: float = NEAR_IDENTICAL) -> np.ndarray:
    """Mask of pictures that have a near-identical one, mirrored or not, among others: (n, 48, 48) -> (n,) bool."""
    known = thumbnails(among).T
    straight, mirrored = thumbnails(images), thumbnails(images[:, :, ::-1])
    best = [
        np.maximum(straight[i : i + 2000] @ known, mirrored[i : i + 2000] @ known).max(1)
        for i in range(0, len(images), 2000)
    ]
    return np.concatenate(best) > threshold


def draw_validation(groups: np.ndarray, fraction: float = 0.1, seed: int = 2013) -> np.ndarray:
    """Mask of whole groups, drawn at random until `fraction` of all pictures is reached: (n,) int -> (n,) bool."""
    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    sizes = np.bincount(groups)[order]
    taken = order[: int(np.searchsorted(np.cumsum(sizes), fraction * len(groups))) + 1]
    return np.isin(groups, taken)


def split(train: Faces) -> tuple[Faces, Faces]:
    """The committed split of the training part: (to learn from, to choose with).

    The rows to choose with were drawn once by `draw_validation(duplicate_groups(images))`.
    """
    text = resources.files("emotion.data").joinpath(VALIDATION_FILE).read_text()
    held_out = np.isin(train.rows, np.array(text.split(), dtype=np.int64))
    return train.take(~held_out), train.take(held_out)


def soft_labels(faces: Faces, original: float) -> np.ndarray:
    """Mix the contest's label with the raters' votes: (n, 7), rows sum to 1.

    original: weight of the contest's label in [0, 1]. Faces with fewer than three usable votes keep it alone.
    """
    hard = np.eye(len(EMOTIONS))[faces.labels]
    total = faces.votes.sum(1, keepdims=True)
    shares = faces.votes / np.maximum(total, 1)
    return np.where(total >= 3, original * hard + (1 - original) * shares, hard)
