"""The last stage of a dandelion's flight: settle near the best point, by what its neighbourhood alone says.

One process for the whole cube is blunt close to an optimum: its targets are warped for the large differences. A second
one sees only the best of the nearest points, unwarped, in coordinates along their own axes: in a narrow valley the
good points lie along it, and what a rotation has mixed comes apart again.

Shapes:  n points seen   k of them near   D coordinates
"""

from __future__ import annotations

import numpy as np

from recommender.moves import reflected
from recommender.surrogate import Process, climbed, fit_kernel, foresees, log_improvement

POOL = 512
FLATTEST = 1e-4  # smallest variance along an axis, of the largest


def landed(points: np.ndarray, values: np.ndarray, best: int, rng: np.random.Generator) -> np.ndarray | None:
    """Return candidates by falling expected improvement, (m, D); None where the neighbourhood foresees nothing.

    points: (n, D) of the cube, values: (n,), best: which of them to land near.
    """
    near = _near(points, values, best)
    axes = _axes(points[near])
    whitened = np.linalg.solve(axes, (points[near] - points[best]).T).T
    half = np.maximum(np.abs(whitened).max(axis=0), 1e-12)
    box, y = (whitened / half + 1) / 2, _standard(values[near])  # the best point lies in the middle
    process = Process(fit_kernel(box, y), box, y)
    if not foresees(process.left_out(y), y):
        return None
    return reflected(points[best] + ((2 * _improving(process, box, rng) - 1) * half) @ axes.T)


def _near(points: np.ndarray, values: np.ndarray, best: int) -> np.ndarray:
    """The better half of the 2 (4 D + 8) points nearest to the best, (k,)."""
    k = 4 * points.shape[1] + 8
    nearest = np.argsort(((points - points[best]) ** 2).sum(axis=1), kind="stable")[: 2 * k]
    return nearest[np.argsort(values[nearest], kind="stable")[:k]]


def _axes(points: np.ndarray) -> np.ndarray:
    """Principal axes, each as long as the points' deviation along it, in columns, (D, D)."""
    variances, axes = np.linalg.eigh(np.cov(points.T, bias=True).reshape((points.shape[1],) * 2))
    return axes * np.sqrt(np.maximum(variances, FLATTEST * variances.max()) + 1e-16)


def _standard(values: np.ndarray) -> np.ndarray:
    deviation = values.std()
    return (values - values.mean()) / (deviation if deviation > 0 else 1.0)


def _improving(process: Process, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the candidates anywhere in the box, half around its best point at all scales; the best is polished."""
    means = process.predict(box)[0]
    best, top, d = float(means.min()), box[means.argmin()], box.shape[1]
    steps = rng.lognormal(-3, 1, (POOL // 2, 1)) * rng.standard_normal((POOL // 2, d))
    pool = np.vstack([rng.random((POOL // 2, d)), reflected(top + steps)])
    pool = pool[np.argsort(-log_improvement(*process.predict(pool), best), kind="stable")]
    return np.vstack([climbed(process, best, pool[0])[1], pool])
