"""Photographs to measure a detector on, made of the faces at hand: no data set of whole photos is.

Faces of FER2013's validation tenth and of CK+ (48×48, grey) are enlarged and pasted into larger pictures of
smooth random shades; the shipped NASA portrait at many sizes, places and turns stands for a modern camera. Each
picture is stored as a JPEG of quality 90, as a phone would send it. They are harder than real selfies in that a
square of 48 enlarged pixels has no hair, neck or detail around it, and easier in that backgrounds hold no objects.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from emotion.data import fer2013
from emotion.data.clips import DataMissing
from emotion.estimate import EMOTIONS

PORTRAIT = Path(__file__).parents[2] / "fixtures" / "media" / "astronaut.jpg"
HEAD_AND_SHOULDERS = (76, 0, 376, 300)  # the face is a third of it
CKPLUS = {"happy": "happiness", "anger": "anger", "disgust": "disgust", "fear": "fear", "sadness": "sadness"}
CKPLUS |= {"surprise": "surprise"}
SIZES = ((1280, 960), (960, 1280), (1920, 1440))


@dataclass(frozen=True)
class Picture:
    """jpeg: the encoded photo.  label: index into `EMOTIONS`, where the face has one."""

    jpeg: bytes
    label: int | None = None


def pasted_fer2013(data: Path, count: int, seed: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> Iterator[Picture]:
    """Faces of the validation tenth, drawn without replacement."""
    _, faces = fer2013.split(fer2013.load(data, "train"))
    rng = np.random.default_rng(seed)
    for i in rng.permutation(len(faces))[:count]:
        yield Picture(_paste(Image.fromarray(faces.images[i]), rng, sizes), int(faces.labels[i]))


def pasted_ckplus(data: Path, count: int, seed: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> Iterator[Picture]:
    """Peak frames of CK+, drawn without replacement, contempt left out."""
    folder = data / "ckplus48"
    files = sorted(path for name in CKPLUS for path in (folder / name).glob("*.png"))
    if not files:
        raise DataMissing(f"{folder} holds no CK+")
    rng = np.random.default_rng(seed)
    for i in rng.permutation(len(files))[:count]:
        label = EMOTIONS.index(CKPLUS[files[i].parent.name])
        yield Picture(_paste(Image.open(files[i]), rng, sizes), label)


def portraits(count: int, seed: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> Iterator[Picture]:
    """Head and shoulders of the portrait at .65 to 1 times the picture's height, turned by up to 20 degrees."""
    rng = np.random.default_rng(seed)
    with Image.open(PORTRAIT) as file:
        portrait = file.convert("RGB").crop(HEAD_AND_SHOULDERS)
    for _ in range(count):
        turned = portrait.rotate(rng.uniform(-20, 20), Image.Resampling.BICUBIC)
        yield Picture(_paste(turned, rng, sizes, least=0.65, most=1.0), EMOTIONS.index("happiness"))


def _paste(
    face: Image.Image,
    rng: np.random.Generator,
    sizes: tuple[tuple[int, int], ...],
    least: float = 0.3,
    most: float = 0.7,
) -> bytes:
    width, height = sizes[rng.integers(len(sizes))]
    side = int(min(rng.uniform(least, most) * height, width))
    picture = _shades(rng, width, height)
    left, top = (int(rng.integers(0, room + 1)) for room in (width - side, height - side))
    picture.paste(face.convert("RGB").resize((side, side), Image.Resampling.BICUBIC), (left, top))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def _shades(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A few colours that run into each other."""
    coarse = rng.integers(60, 200, (4, 4, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
