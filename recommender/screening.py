"""Which candidates are worth an evaluation: expected improvement at the highest rung, under what the results say.

Shapes:  n points seen   m candidates   D coordinates of the cube; points seen have a last column more with rungs
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recommender.surrogate import Kernel, Predict, Process, foresees, forest, log_improvement, warped

FOREST_BEYOND = 300  # results; a Gaussian process costs their cube


@dataclass(frozen=True)
class Screen:
    """means: (n,) posterior means of the points seen, at the highest rung.   smooth: a process speaks, no forest."""

    predict: Predict
    means: np.ndarray
    smooth: bool

    def gain(self, points: np.ndarray) -> np.ndarray:
        """Log EI on the smallest mean, (m,): a lucky draw is no improvement to beat."""
        return log_improvement(*self.predict(points), float(self.means.min()))


def screen(seen: np.ndarray, values: np.ndarray, d: int, kernel: Kernel, seed: int) -> Screen | None:
    """What the results say, (n, D) or with the rung (n, D + 1); None where it foresees none of them left out."""
    y = warped(values)
    if len(y) > FOREST_BEYOND:
        return _screen(lambda asked: forest(seen, y, asked, seed), seen, d, smooth=False)
    process = Process(kernel, seen, y)
    return _screen(process.predict, seen, d, smooth=True) if foresees(process.left_out(y), y) else None


def _screen(believed: Predict, seen: np.ndarray, d: int, *, smooth: bool) -> Screen:
    def predict(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        level = np.ones((len(points), seen.shape[1] - d))
        return believed(np.column_stack([points, level]))

    return Screen(predict, predict(seen[:, :d])[0], smooth)
