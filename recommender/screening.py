"""Which candidates are worth an evaluation: expected improvement at the highest rung, under what the results say.

Shapes:  n points seen   m candidates   D coordinates of the cube; points seen have a last column more with rungs
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recommender.surrogate import Kernel, Predict, Process, climbed, foresees, forest, log_improvement, warped

FOREST_BEYOND = 300  # results; a Gaussian process costs their cube


@dataclass(frozen=True)
class Screen:
    """means: (n,) posterior means of the points seen, at the highest rung.   process: none where a forest speaks."""

    predict: Predict
    means: np.ndarray
    process: Process | None

    def gain(self, points: np.ndarray) -> np.ndarray:
        """Log EI on the smallest mean, (m,): a lucky draw is no improvement to beat."""
        return log_improvement(*self.predict(points), float(self.means.min()))

    def polished(self, points: np.ndarray) -> np.ndarray:
        """The tops of the hills of expected improvement on which the points lie, (m, D); as they are under a forest."""
        if self.process is None:
            return points
        d, best = points.shape[1], float(self.means.min())
        level = np.ones(self.process.points.shape[1] - d)  # stays at the highest rung
        bounds = [(0.0, 1.0)] * d + [(1.0, 1.0)] * len(level)
        starts = (np.concatenate([point, level]) for point in points)
        return np.array([climbed(self.process, best, start, bounds)[1][:d] for start in starts])


def screen(seen: np.ndarray, values: np.ndarray, d: int, kernel: Kernel, seed: int) -> Screen | None:
    """What the results say, (n, D) or with the rung (n, D + 1); None where it foresees none of them left out."""
    y = warped(values)
    if len(y) > FOREST_BEYOND:
        return _screen(lambda asked: forest(seen, y, asked, seed), seen, d, None)
    process = Process(kernel, seen, y)
    return _screen(process.predict, seen, d, process) if foresees(process.left_out(y), y) else None


def _screen(believed: Predict, seen: np.ndarray, d: int, process: Process | None) -> Screen:
    def predict(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        level = np.ones((len(points), seen.shape[1] - d))
        return believed(np.column_stack([points, level]))

    return Screen(predict, predict(seen[:, :d])[0], process)
