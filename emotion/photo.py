"""From the bytes of a photo to an upright face and how fit it is for reading."""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

FORMATS = ("JPEG", "PNG", "WEBP")
CROP_FORMATS = (*FORMATS, "BMP", "PPM", "TIFF")  # what data sets of faces come in; not for strangers' uploads
MAX_PIXELS = 64_000_000
MOST_SCANS = 64  # of a progressive JPEG, ten are usual: each visits every block, however little it says
DECODED_SIDE = 720  # pixels of the shorter side that JPEG decoding may stop at: 1/4 of a 12-megapixel photo
REDUCED = "reduced while decoding"  # key in the info of a decoded picture
FACE_SIDE = 48
DARKEST_HIGHLIGHT = 30  # of 255
LEAST_SHARPNESS = 0.02  # FER2013: median 1.0, 1 % below .27; after a blur of 2 of its 48 pixels the median is .016
LEAST_FACE_PIXELS = 20

MESSAGES = {
    "no_face": "No face was found. Hold the phone at arm's length and look straight into the camera.",
    "several_faces": "More than one face is in the photo. Please take it with only you in it.",
    "too_dark": "The photo is too dark. Please turn on a light or face a window.",
    "blurred": "The photo is blurred. Please hold the phone still and wipe the lens.",
    "too_small": "The face is too small in the photo. Please come closer to the camera.",
    "broken_file": "The file cannot be read as a photo. Please take it again.",
}


class UnusablePhoto(Exception):
    """A photo that cannot be read. `code` is for machines, `message` for the person who took it."""

    def __init__(self, code: str, message: str | None = None) -> None:
        self.code = code
        self.message = message or MESSAGES[code]
        super().__init__(self.message)


@dataclass(frozen=True)
class Quality:
    """How fit a face is for reading, each part in [0, 1]; all light and detail is judged at 48×48, as it is read.

    sharpness: log-ramp from .02 to .7 of the Laplacian's variance over the grey values' variance.
    light: ramp from 10 to 80 of the spread s = p95 - p5 of grey values in the middle of the face, times a
      ramp from 245 down to 200 of p5 (washed out). Spread, not mean: a mean would call dark skin dark.
    size: ramp from 20 to 96 of the face's height in pixels of the decoded picture.
    pose: ramp from .45 down to .1 of the nose's distance from the middle between the eyes along the line of
      the eyes, in eye distances: 0 is frontal, about .5 a half profile.
    """

    sharpness: float = 1.0
    light: float = 1.0
    size: float = 1.0
    pose: float = 1.0

    @property
    def overall(self) -> float:
        """Geometric mean of the four parts: one hopeless part makes the whole hopeless."""
        return float((self.sharpness * self.light * self.size * self.pose) ** 0.25)


def decode(photo: bytes | Image.Image, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Upright RGB picture, reduced while decoding where the format allows.

    `UnusablePhoto("broken_file")` for anything that is not a whole picture of these formats of at most 64 megapixels,
    `UnusablePhoto("no_face")` for a picture narrower than the smallest face.
    """
    if isinstance(photo, bytes) and photo[:2] == b"\xff\xd8" and photo.count(b"\xff\xda") > MOST_SCANS:
        raise UnusablePhoto("broken_file")
    try:
        picture = photo if isinstance(photo, Image.Image) else Image.open(io.BytesIO(photo), formats=formats)
        if picture.width * picture.height > MAX_PIXELS:
            raise UnusablePhoto("broken_file", "The photo has more than 64 megapixels. Please send a smaller one.")
        if min(picture.size) < LEAST_FACE_PIXELS:
            raise UnusablePhoto("no_face")
        taken = picture.width
        picture.draft("RGB", (DECODED_SIDE, DECODED_SIDE))
        reduced = taken / picture.width
        upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        if upright.mode != "RGB":  # to convert RGB would copy it
            upright = upright.convert("RGB")
        upright.info[REDUCED] = reduced
        return upright
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise UnusablePhoto("broken_file") from error


def reduction(picture: Image.Image) -> float:
    """Pixels of the photo as it was taken for one of the decoded picture, along a side."""
    return float(picture.info.get(REDUCED, 1.0))


def shrink(
    picture: Image.Image, height: int, resample: Image.Resampling = Image.Resampling.BILINEAR
) -> tuple[Image.Image, float]:
    """The picture at most `height` pixels high, and the factor by which it was reduced (>= 1)."""
    factor = max(1.0, picture.height / height)
    if factor == 1.0:
        return picture, factor
    size = (max(1, round(picture.width / factor)), round(picture.height / factor))
    return picture.resize(size, resample, reducing_gap=2.0), factor


def crop_square(picture: Image.Image, box: np.ndarray, margin: float, side: int) -> Image.Image:
    """Square of `margin` times the longer side of `box` around its middle, `side` × `side` pixels.

    box: (x1, y1, x2, y2) in pixels. What lies beyond the edge of the photo repeats the edge.
    """
    x1, y1, x2, y2 = box
    half = margin * max(x2 - x1, y2 - y1) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    left, top, right, bottom = (math.floor(v) for v in (x - half, y - half, x + half, y + half))
    inside = picture.crop((max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height)))
    beyond = (max(-left, 0), max(-top, 0), max(right - picture.width, 0), max(bottom - picture.height, 0))
    if any(beyond):
        x_pad, y_pad = (beyond[0], beyond[2]), (beyond[1], beyond[3])
        inside = Image.fromarray(np.pad(np.asarray(inside), (y_pad, x_pad, (0, 0)), mode="edge"))
    return inside.resize((side, side), Image.Resampling.BOX if 2 * half > side else Image.Resampling.BICUBIC)


def to_grey(face: Image.Image | np.ndarray) -> np.ndarray:
    """Any picture of a face as the network reads it: (48, 48) uint8."""
    picture = Image.fromarray(face) if isinstance(face, np.ndarray) else face
    picture = picture.convert("L")
    if picture.size != (FACE_SIDE, FACE_SIDE):
        picture = picture.resize((FACE_SIDE, FACE_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def judge(grey: np.ndarray, height: float | None = None, landmarks: np.ndarray | None = None) -> Quality:
    """Quality of a (48, 48) uint8 face.

    height: of the face in pixels.   landmarks: (5, 2) left eye, right eye, nose, mouth corners.
    What is not known counts as good: of a ready-made crop only sharpness and light are judged.
    """
    low, high = _tones(grey)
    return Quality(
        sharpness=_ramp(math.log(max(_detail(grey), 1e-6)), math.log(LEAST_SHARPNESS), math.log(0.7)),
        light=_ramp(high - low, 10, 80) * _ramp(low, 245, 200),
        size=1.0 if height is None else _ramp(height, LEAST_FACE_PIXELS, 96),
        pose=1.0 if landmarks is None else _ramp(_turn(landmarks), 0.45, 0.1),
    )


def refuse_unreadable(grey: np.ndarray, height: float) -> None:
    """Raise `UnusablePhoto` for a face too small, too dark or too blurred to be read by anybody."""
    if height < LEAST_FACE_PIXELS:
        raise UnusablePhoto("too_small")
    if _tones(grey)[1] < DARKEST_HIGHLIGHT:
        raise UnusablePhoto("too_dark")
    if _detail(grey) < LEAST_SHARPNESS:
        raise UnusablePhoto("blurred")


def is_dark(picture: Image.Image) -> bool:
    """True where even the light parts of a whole photo are nearly black, so that no face could be found."""
    return float(np.percentile(np.asarray(picture.convert("L").reduce(4)), 95)) < DARKEST_HIGHLIGHT


def is_blurred(picture: Image.Image) -> bool:
    """True where a whole photo has light and shade but no edge left at 120 pixels' height.

    Sharp photos of many kinds lie above .1, a motion-blurred one at .04; a wall without light and shade is
    not called blurred.
    """
    grey = np.asarray(shrink(picture.convert("L"), 120)[0]).astype(float)
    return bool(grey.std() > 10 and ndimage.laplace(grey).var() / grey.var() < 0.01)


def _tones(grey: np.ndarray) -> tuple[float, float]:
    """5th and 95th percentile of the middle of the face, where hair and background are few."""
    low, high = np.percentile(grey[8:40, 8:40], [5, 95])
    return float(low), float(high)


def _detail(grey: np.ndarray) -> float:
    """Variance of the Laplacian over the variance of the grey values: blind to contrast, falls with blur."""
    values = grey.astype(float)
    middle = values[6:-6, 6:-6]
    return float(ndimage.laplace(values, mode="nearest")[6:-6, 6:-6].var() / max(middle.var(), 4.0))


def _turn(landmarks: np.ndarray) -> float:
    left, right, nose = np.asarray(landmarks, dtype=float)[:3]
    across = right - left
    return float(abs((nose - (left + right) / 2) @ across) / max(across @ across, 1e-6))


def _ramp(value: float, worst: float, best: float) -> float:
    return float(np.clip((value - worst) / (best - worst), 0.0, 1.0))
