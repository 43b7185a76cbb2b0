"""Find faces with MTCNN's three nets: Zhang et al., IEEE Signal Processing Letters 23(10), 2016.

The steps, thresholds and roundings are those of facenet-pytorch 2.5.3, which is the oracle in the tests; its
weights (MIT) are in the ONNX files. Only the averaging of pixels differs: one table of running sums serves all
scales and crops, where they were averaged one by one.

Shapes:  h, w height and width of the picture   n candidates   Boxes: (n, 4) x1, y1, x2, y2 in pixels
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from emotion.checkpoint import FOLDER
from emotion.serving.runtime import session

NETS = {"pnet": ("PNet", 12), "rnet": ("RNet", 24), "onet": ("ONet", 48)}  # class there, side of what it looks at
THRESHOLDS = (0.6, 0.7, 0.7)
SCALE_STEP = 0.709
CELL, STRIDE = 12, 2  # of the first net's view, in pixels of the scaled picture
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Found:
    """boxes: (n, 4).  probabilities: (n,).  landmarks: (n, 5, 2) eyes, nose, mouth corners.  Largest box first."""

    boxes: np.ndarray
    probabilities: np.ndarray
    landmarks: np.ndarray


NOTHING = Found(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))


def net_path(name: str) -> Path:
    """Where one of `NETS` is kept."""
    return FOLDER / f"mtcnn_{name}.onnx"


class Mtcnn:
    """The three nets, each in a session of one thread."""

    def __init__(self) -> None:
        self._nets = {name: session(net_path(name)) for name in NETS}

    def detect(self, picture: np.ndarray, smallest: float) -> Found:
        """Faces of at least `smallest` pixels in a picture, (h, w, 3) uint8."""
        sums = RunningSums(picture)
        boxes = self._propose(sums, smallest)
        boxes = self._refine(sums, boxes)
        return self._decide(sums, boxes)

    def _run(self, name: str, pixels: np.ndarray) -> list[np.ndarray]:
        """pixels: (n, side, side, 3) in [0, 255] -> the net's outputs, joined."""
        scaled = ((pixels - np.float32(127.5)) * np.float32(0.0078125)).transpose(0, 3, 1, 2)
        parts = [scaled[at : at + ROWS_AT_ONCE] for at in range(0, len(scaled), ROWS_AT_ONCE)]
        answers = [self._nets[name].run(None, {"pixels": np.ascontiguousarray(part)}) for part in parts]
        return [np.concatenate(outputs) for outputs in zip(*answers, strict=True)]

    def _propose(self, sums: RunningSums, smallest: float) -> np.ndarray:
        """Square candidates of the first net over a pyramid of scales."""
        candidates = [np.zeros((0, 9), np.float32)]
        for scale in scales(min(sums.height, sums.width), smallest):
            size = (int(sums.height * scale + 1), int(sums.width * scale + 1))
            offsets, probabilities = self._run("pnet", sums.average(sums.whole, size))
            found = cells(probabilities[0, 1], offsets[0], scale)
            candidates.append(found[suppress(found[:, :4], found[:, 4], 0.5)])
        found = np.concatenate(candidates)
        found = found[suppress(found[:, :4], found[:, 4], 0.7)]
        sides = found[:, 2:4] - found[:, 0:2]
        return squared(found[:, :4] + found[:, 5:9] * np.tile(sides, 2))

    def _refine(self, sums: RunningSums, boxes: np.ndarray) -> np.ndarray:
        boxes = boxes[sums.visible(boxes)]
        if not len(boxes):
            return boxes
        offsets, probabilities = self._run("rnet", sums.average(sums.clipped(boxes), (24, 24)))
        sure = probabilities[:, 1] > THRESHOLDS[1]
        boxes, offsets, scores = boxes[sure], offsets[sure], probabilities[sure, 1]
        kept = suppress(boxes, scores, 0.7)
        return squared(moved(boxes[kept], offsets[kept]))

    def _decide(self, sums: RunningSums, boxes: np.ndarray) -> Found:
        boxes = boxes[sums.visible(boxes)]
        if not len(boxes):
            return NOTHING
        offsets, points, probabilities = self._run("onet", sums.average(sums.clipped(boxes), (48, 48)))
        sure = probabilities[:, 1] > THRESHOLDS[2]
        boxes, offsets, points, scores = boxes[sure], offsets[sure], points[sure], probabilities[sure, 1]
        sides = boxes[:, None, 2:] - boxes[:, None, :2] + 1
        landmarks = points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides + boxes[:, None, :2] - 1
        boxes = moved(boxes, offsets)
        kept = suppress(boxes, scores, 0.7, within_smaller=True)
        kept = kept[np.argsort(-area(boxes[kept]), kind="stable")]
        return Found(boxes[kept], scores[kept], landmarks[kept])


class RunningSums:
    """Mean colours of any rectangles of a picture, from one table of sums (Crow, SIGGRAPH 1984)."""

    def __init__(self, picture: np.ndarray) -> None:
        self.height, self.width = picture.shape[:2]
        self.whole = np.array([[0, 0, self.width, self.height]])
        # int32 holds the sum of 8.4 million pixels of full scale; what is searched is far smaller
        table = np.zeros((self.height + 1, self.width + 1, 3), np.int32)
        np.cumsum(picture, axis=1, dtype=np.int32, out=table[1:, 1:])
        for above, row in pairwise(table):  # whole rows at once: a quarter of the time of a sum down each column
            row += above
        self._table = table

    def average(self, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Each box (whole pixels, inside) shrunk or enlarged to `size`: (n, *size, 3) float32.

        Output pixel i of m covers the rows floor(i·h/m) to ceil((i+1)·h/m), as adaptive average pooling does.
        """
        tops, bottoms = edges(boxes[:, 1], boxes[:, 3], size[0])
        lefts, rights = edges(boxes[:, 0], boxes[:, 2], size[1])
        table = self._table.reshape(-1, 3)
        stride = self.width + 1

        def at(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
            return table[rows[:, :, None] * stride + columns[:, None, :]]

        totals = at(bottoms, rights) - at(tops, rights) - at(bottoms, lefts) + at(tops, lefts)
        counts = (bottoms - tops)[:, :, None] * (rights - lefts)[:, None, :]
        return totals.astype(np.float32) / counts[..., None].astype(np.float32)

    def clipped(self, boxes: np.ndarray) -> np.ndarray:
        """Whole-pixel boxes inside the picture, counted from the pixel before, as the original does."""
        whole = np.trunc(boxes).astype(int)
        low = np.maximum(whole[:, :2], 1) - 1
        return np.concatenate([low, np.minimum(whole[:, 2:], (self.width, self.height))], axis=1)

    def visible(self, boxes: np.ndarray) -> np.ndarray:
        """Which boxes, (n,) bool, have a pixel inside the picture."""
        inside = self.clipped(boxes)
        return np.all(inside[:, 2:] > inside[:, :2], axis=1)


def edges(low: np.ndarray, high: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """First and past-the-last pixel of each part: two (n, parts) int."""
    length, steps = (high - low)[:, None], np.arange(parts + 1)
    starts = low[:, None] + length * steps[:-1] // parts
    ends = low[:, None] - (-length * steps[1:] // parts)
    return starts, ends


def scales(shorter_side: int, smallest: float) -> list[float]:
    """From `smallest` pixels appearing as one cell up to the whole picture appearing as one."""
    scale, found = CELL / smallest, []
    side = shorter_side * scale
    while side >= CELL:
        found.append(scale)
        scale, side = scale * SCALE_STEP, side * SCALE_STEP
    return found


def cells(probabilities: np.ndarray, offsets: np.ndarray, scale: float) -> np.ndarray:
    """Candidates (n, 9): box, probability and offsets of each cell that may hold a face.

    probabilities: (rows, columns).  offsets: (4, rows, columns).
    """
    rows, columns = np.nonzero(probabilities >= THRESHOLDS[0])
    corners = STRIDE * np.stack([columns, rows], axis=1).astype(np.float32)
    low, high = np.floor((corners + 1) / scale), np.floor((corners + CELL) / scale)
    scores = probabilities[rows, columns, None]
    return np.concatenate([low, high, scores, offsets[:, rows, columns].T], axis=1).astype(np.float32)


def suppress(boxes: np.ndarray, scores: np.ndarray, most: float, within_smaller: bool = False) -> np.ndarray:
    """Indices of the boxes kept, by falling score: a box goes when it overlaps a better one by more than `most`.

    Overlap is intersection over union; `within_smaller`: over the smaller of both, in boxes a pixel larger.
    """
    extra = 1 if within_smaller else 0
    order = np.argsort(-scores, kind="stable")
    sizes = area(boxes, extra)
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        low, high = np.maximum(boxes[best, :2], boxes[rest, :2]), np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.maximum(high - low + extra, 0).prod(axis=1)
        whole = np.minimum(sizes[best], sizes[rest]) if within_smaller else sizes[best] + sizes[rest] - shared
        order = rest[shared <= most * whole]
    return np.array(kept, dtype=int)


def area(boxes: np.ndarray, extra: int = 0) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0] + extra) * (boxes[:, 3] - boxes[:, 1] + extra)


def moved(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Boxes shifted by offsets that are shares of their sides."""
    return boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)


def squared(boxes: np.ndarray) -> np.ndarray:
    """Squares of the longer side around the same middles."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(axis=1, keepdims=True)
    low = boxes[:, :2] + sides * 0.5 - longest * 0.5
    return np.concatenate([low, low + longest], axis=1)
