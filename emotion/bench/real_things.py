"""Real photographs without a frontal face, from the wheel of scikit-image: no guard was fitted to anything like them.

They are read where the wheel lies on the path (`pip install --no-deps scikit-image`); nothing of them is kept here.
The wheel also holds 200 pieces of 25×25 pixels from LFW's photographs, half of them faces.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 48
CROPS = 25  # of each photograph
PHOTOS: dict[str, tuple[str, ...]] = {
    "a cat": ("chelsea.png",),
    "cup, coins, motorcycle, rocket": ("coffee.png", "coins.png", "motorcycle_left.png", "rocket.jpg"),
    "bricks, grass, gravel": ("brick.png", "grass.png", "gravel.png"),
    "printed pages": ("page.png", "text.png"),
    "cells, eye ground, moon, stars": ("cell.png", "ihc.png", "retina.jpg", "moon.png", "hubble_deep_field.jpg"),
}
LFW_FACES = 100  # rows of lfw_subset.npy that are faces; as many pieces of the same photos without one follow


def missing() -> str | None:
    """Why they cannot be read here."""
    return None if find_spec("skimage") else "scikit-image's sample pictures are not installed"


def folder() -> Path:
    [place] = getattr(find_spec("skimage"), "submodule_search_locations", [])
    return Path(place) / "data"


def strangers(seed: int) -> dict[str, np.ndarray]:
    """Families of squares cut at random, (n, 48, 48) uint8, and LFW's pieces without a face."""
    rng = np.random.default_rng(seed)
    found = {
        family: np.stack([_cut(folder() / name, rng) for name in names for _ in range(CROPS)])
        for family, names in PHOTOS.items()
    }
    return found | {"pieces of LFW's photos": _lfw()[LFW_FACES:]}


def people() -> np.ndarray:
    """LFW's faces of 25 pixels, enlarged: (100, 48, 48) uint8."""
    return _lfw()[:LFW_FACES]


def _cut(path: Path, rng: np.random.Generator) -> np.ndarray:
    """A square of a third of the shorter side to all of it."""
    with Image.open(path) as file:
        grey = file.convert("L")
    side = int(rng.uniform(1 / 3, 1) * min(grey.size))
    left, top = (int(rng.integers(0, room - side + 1)) for room in grey.size)
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX, (left, top, left + side, top + side)))


def _lfw() -> np.ndarray:
    small = (255 * np.load(folder() / "lfw_subset.npy", allow_pickle=False)).round().astype(np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(face).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for face in small]
    )
