"""The face recogniser: a photo in, an estimate of the expressed emotion out.

Decode (reduced) → upright → MTCNN → crop framed as FER2013 frames faces → quality → noise taken out → network.
Detector and network run on ONNX Runtime; torch is needed only where a checkpoint has no ONNX file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from emotion import checkpoint, photo, strangers
from emotion.denoise import denoised
from emotion.estimate import Estimate
from emotion.photo import UnusablePhoto
from emotion.serving import runtime
from emotion.serving.mtcnn import SCALE_STEP, Mtcnn
from emotion.serving.runtime import Network

DETECTION_PIXELS = 2_800_000  # a decoded photo is searched as it is up to here: every 4:3 JPEG
FINER = 0.7  # of the smallest face's size: boxes of larger faces often start from a smaller candidate
CROP_SIDE = 160
FRAMING = 0.96  # FER2013's side over MTCNN's box height: median of 340 training faces, middle half .88 to 1.04
NEARLY = 0.8  # of the smallest face's size: the detector finds some that are smaller than what it looks for
SURE = 0.95  # detector's probability; weaker finds are mostly hands and folds of cloth
LEAST_QUALITY = 0.15
BATCH = 256
PREPARATION = 2  # part of the version: counts the ways in which a crop was made ready; 2 takes noise out


@dataclass(frozen=True)
class Face:
    """A face in a picture. box: (4,) x1, y1, x2, y2.  landmarks: (5, 2).  Both in pixels of that picture."""

    box: np.ndarray
    landmarks: np.ndarray
    probability: float

    @property
    def height(self) -> float:
        return float(self.box[3] - self.box[1])


class FaceDetector:
    """MTCNN on the decoded photo, looking only for faces of a fifth of its height and more."""

    def __init__(self) -> None:
        self._mtcnn = Mtcnn()

    def find(self, picture: Image.Image, smallest: float = 0.2) -> list[Face]:
        """Faces at least `smallest` times the picture's height, largest first."""
        # Averaging areas is what MTCNN itself does to the pixels that it is shown.
        height = math.isqrt(DETECTION_PIXELS * picture.height // picture.width)
        searched, factor = photo.shrink(picture, height, Image.Resampling.BOX)
        least = max(20.0, smallest * searched.height)
        first = on_usual_scale(max(20.0, FINER * least), factor * photo.reduction(picture))
        found = self._mtcnn.detect(np.asarray(searched.convert("RGB")), first)
        return [
            Face(np.asarray(box, float) * factor, np.asarray(points, float) * factor, float(p))
            for box, points, p in zip(found.boxes, found.landmarks, found.probabilities, strict=True)
            if p >= SURE and box[3] - box[1] >= NEARLY * least
        ]


def on_usual_scale(least: float, factor: float) -> float:
    """The largest face size up to `least` that a search of the whole photo from 20 pixels on would visit.

    factor: pixels of the photo for one of the picture that is searched. The box that MTCNN finds depends on the
    scales it looks at: on the same ones it is the same box.
    """
    size = 20.0 / factor
    while size / SCALE_STEP <= least:
        size /= SCALE_STEP
    return size


def version_of(card: Mapping[str, Any]) -> str:
    """What estimates are marked with: the network, its weights, and how a crop is made ready for it."""
    return f"{card['network']}-{card['sha256'][:8]}.{PREPARATION}"


class FaceRecogniser:
    """Reads faces with one trained network. Make it with `load`, in the process that uses it."""

    def __init__(self, network: Network, card: dict[str, Any], guard: strangers.Guard | None = None) -> None:
        """guard: what refuses strangers; without one nothing is."""
        self.network = network
        self.card = card
        self.guard = guard
        self.temperature = float(card["temperature"])
        self.threshold = float(card["abstention"]["threshold"])
        self.version = version_of(card)

    @classmethod
    def load(cls, path: str | os.PathLike | None = None, engine: str = "auto") -> FaceRecogniser:
        """The network at `path`, or the one that ships. Raises `checkpoint.NoModel`, `checkpoint.BadCheckpoint`.

        engine: "onnx", "torch", or "auto" (emotion.serving.runtime.load).
        """
        path = path or checkpoint.default_path("face")
        network, card = runtime.load(path, "compact_face", engine)
        return cls(network, card, strangers.load(path, card))

    @cached_property
    def detector(self) -> FaceDetector:
        return FaceDetector()

    def predict(self, picture: bytes | Image.Image | np.ndarray, *, several: str = "refuse") -> Estimate:
        """Read one photo: encoded bytes, a PIL image or (h, w, 3) uint8.

        several: "refuse" or "largest", what to do when more than one face is large enough.
        Raises `UnusablePhoto`.
        """
        grey, face = self.crop(picture, several)
        return self._estimate([grey], [photo.judge(grey, face.height, face.landmarks)])[0]

    def crop(self, picture: bytes | Image.Image | np.ndarray, several: str = "refuse") -> tuple[np.ndarray, Face]:
        """The face of a photo as the network reads it, (48, 48) uint8, and where it was. Raises `UnusablePhoto`."""
        upright = photo.decode(Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture)
        face = self._choose(upright, several)
        grey = photo.to_grey(photo.crop_square(upright, face.box, FRAMING, CROP_SIDE))
        photo.refuse_unreadable(grey, face.height)
        return grey, face

    def predict_crops(self, crops: Sequence[np.ndarray | Image.Image]) -> list[Estimate]:
        """Read ready-made face crops, framed like FER2013: brows to chin filling the square. No detection."""
        grey = [photo.to_grey(crop) for crop in crops]
        return self._estimate(grey, [photo.judge(face) for face in grey]) if grey else []

    def _choose(self, picture: Image.Image, several: str) -> Face:
        faces = self.detector.find(picture)
        if not faces:
            raise self._explain_absence(picture)
        if len(faces) > 1 and several != "largest":
            raise UnusablePhoto("several_faces")
        return faces[0]

    def _explain_absence(self, picture: Image.Image) -> UnusablePhoto:
        """Why there was no face: darkness, blur, one that is too far away, or none at all."""
        if photo.is_dark(picture):
            return UnusablePhoto("too_dark")
        if photo.is_blurred(picture):
            return UnusablePhoto("blurred")
        return UnusablePhoto("too_small" if self.detector.find(picture, smallest=0.045) else "no_face")

    def _estimate(self, grey: list[np.ndarray], qualities: list[photo.Quality]) -> list[Estimate]:
        faces = np.stack(grey)
        logits, features = look(self.network, faces)
        told = self.guard.judge(strangers.of_faces(faces, features)) if self.guard else [None] * len(grey)
        scaled = np.exp((logits - logits.max(1, keepdims=True)) / self.temperature)
        distributions = scaled / scaled.sum(1, keepdims=True)
        return [self._told(*parts) for parts in zip(distributions, qualities, told, strict=True)]

    def _told(self, p: np.ndarray, quality: photo.Quality, stranger: dict[str, Any] | None) -> Estimate:
        overall = strangers.quality(quality.overall, stranger)
        details: dict[str, Any] = {"quality": {name: round(value, 3) for name, value in asdict(quality).items()}}
        return Estimate(
            probabilities=p,
            quality=overall,
            model_version=self.version,
            abstained=bool(p.max() < self.threshold or overall < LEAST_QUALITY),
            details=details | ({"stranger": stranger} if stranger else {}),
        )


def read(network: Network, faces: np.ndarray) -> np.ndarray:
    """Logits of grey faces, the mean over each and its mirror image: (n, 48, 48) uint8 -> (n, 7) float64."""
    return look(network, faces)[0]


def look(network: Network, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `read`, and the features of the network's last layer, (n, F)."""
    parts = [network(denoised(faces[start : start + BATCH])) for start in range(0, len(faces), BATCH)]
    logits, features = (np.concatenate(outputs).astype(float) for outputs in zip(*parts, strict=True))
    return logits, features
