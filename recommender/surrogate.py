"""What the optimizer believes of an objective between the points it has seen.

A Gaussian process with a Matern-5/2 kernel, a length per coordinate and noise; and a forest where the number of
points makes a process too dear. Targets are warped first: `warped`.

Shapes:  n points seen   m points asked about   D coordinates of the unit cube
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from scipy.special import erfcx

JITTER = 1e-8
LENGTHS, SIGNAL, NOISE = (0.05, 10.0), (0.05, 20.0), (1e-6, 2.0)  # bounds; targets have variance 1

EVIDENCE = 1.64  # standard errors of a correlation between left-out predictions and values: one in twenty by chance

Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # (m, D) points to mean and sd, (m,) each


@dataclass(frozen=True)
class Kernel:
    """signal and noise: variances.   lengths: (D,) in units of the cube's edge."""

    signal: float
    lengths: np.ndarray
    noise: float


def warped(values: np.ndarray) -> np.ndarray:
    """Return targets with mean 0 and variance 1: the logarithm of the distance to just below the best.

    What matters is telling good from very good; the few enormous values of a bad corner must not set the scale.
    """
    values = np.asarray(values, dtype=float)
    spread = np.median(values) - values.min()
    y = np.log(values - values.min() + (0.1 * spread if spread > 0 else 1.0))
    deviation = y.std()
    return (y - y.mean()) / (deviation if deviation > 0 else 1.0)


def fit_kernel(points: np.ndarray, y: np.ndarray) -> Kernel:
    """Maximum a posteriori of the kernel from one start; a handful of points must not be explained by one coordinate.

    points: (n, D), y: (n,) warped.   Priors: lengths as Hvarfner, Hellsten & Nardi (2024, ICML) scale them with D,
    noise small unless the data say otherwise.
    """
    d = points.shape[1]
    start = np.log([1.0, *np.full(d, 0.5), 1e-2])
    if len(y) < 3:
        return _kernel_of(start)
    squares = (points[:, None] - points[None]) ** 2  # (n, n, D)
    bounds = np.log([SIGNAL, *[LENGTHS] * d, NOISE])
    found = minimize(
        _negative_log_posterior, start, (squares, y), "L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": 30}
    )
    return _kernel_of(found.x)


class Process:
    """The posterior of a Gaussian process under a kernel: `predict` and, for peers that need it, its gradient."""

    def __init__(self, kernel: Kernel, points: np.ndarray, y: np.ndarray) -> None:
        self.kernel, self.points = kernel, points
        covariance = kernel.signal * _matern(_distance(points, points, kernel.lengths))
        covariance[np.diag_indices(len(y))] += kernel.noise + JITTER
        self._factor = cholesky(covariance, lower=True)
        self._inverse = _inverse(self._factor)
        self._weights = self._inverse @ y

    def predict(self, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and sd of the noiseless objective, (m,) each."""
        cross = self.kernel.signal * _matern(_distance(asked, self.points, self.kernel.lengths))  # (m, n)
        half = solve_triangular(self._factor, cross.T, lower=True)
        variance = self.kernel.signal - (half**2).sum(axis=0)
        return cross @ self._weights, np.sqrt(np.maximum(variance, 1e-12))

    def left_out(self, y: np.ndarray) -> np.ndarray:
        """Mean at each point from all the others, (n,) (Rasmussen & Williams 2006, eq. 5.12)."""
        return y - self._weights / np.diag(self._inverse)

    def predict_with_gradient(self, asked: np.ndarray) -> tuple[float, float, np.ndarray, np.ndarray]:
        """Return mean, sd and their gradients, (D,) each, at one point, (D,)."""
        kernel, difference = self.kernel, asked - self.points  # (n, D)
        r = np.sqrt(((difference / kernel.lengths) ** 2).sum(axis=1))
        cross = kernel.signal * _matern(r)
        slope = -kernel.signal * _matern_slope(r)[:, None] * difference / kernel.lengths**2  # (n, D)
        solved = self._inverse @ cross
        sd = math.sqrt(max(kernel.signal - float(cross @ solved), 1e-12))
        return float(cross @ self._weights), sd, slope.T @ self._weights, -(slope.T @ solved) / sd


def climbed(
    process: Process, best: float, start: np.ndarray, bounds: list[tuple[float, float]] | None = None, steps: int = 20
) -> tuple[float, np.ndarray]:
    """Minus the log EI at the top of the hill on which `start`, (D,), lies, and that top: L-BFGS within the cube."""

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        mean, sd, by_mean, by_sd = process.predict_with_gradient(x)
        z = (best - mean) / sd
        ratio, h = mills(z), _one_plus_mills(z)  # Phi/phi and 1 + z Phi/phi: log EI and both its slopes
        value = math.log(sd) - z * z / 2 - 0.5 * math.log(math.tau) + math.log(h)
        return -value, (ratio * by_mean - by_sd) / (h * sd)

    bounds = bounds or [(0.0, 1.0)] * len(start)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})
    return float(found.fun), found.x


def foresees(predicted: np.ndarray, y: np.ndarray) -> bool:
    """Whether left-out predictions correlate with the values more than chance allows, (n,) each."""
    spread = predicted.std() * y.std()
    if spread < 1e-12:
        return False
    correlation = ((predicted - predicted.mean()) * (y - y.mean())).mean() / spread
    return bool(correlation * math.sqrt(len(y)) > EVIDENCE)


def forest(points: np.ndarray, y: np.ndarray, asked: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd over the trees of a random forest, (m,) each."""
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(100, min_samples_leaf=2, random_state=seed, n_jobs=1).fit(points, y)
    trees = np.array([tree.predict(asked) for tree in model.estimators_])
    return trees.mean(axis=0), np.maximum(trees.std(axis=0), 1e-6)


def log_improvement(mean: np.ndarray, sd: np.ndarray, best: float) -> np.ndarray:
    """Logarithm of the expected improvement on `best` (Jones et al. 1998, eq. 15), finite where EI underflows.

    EI = sd phi(z) (1 + z Phi(z)/phi(z)), z = (best - mean)/sd; in logarithms after Ament et al. (2023, NeurIPS).
    """
    z = (best - mean) / sd
    return np.log(sd) - z * z / 2 - 0.5 * math.log(math.tau) + np.log(_one_plus_mills(z))


def mills(z: np.ndarray | float) -> np.ndarray:
    """Phi(z)/phi(z)."""
    return math.sqrt(math.pi / 2) * erfcx(-np.asarray(z) / math.sqrt(2))


def _one_plus_mills(z: np.ndarray | float) -> np.ndarray:
    """1 + z Phi(z)/phi(z), by its expansion 1/z^2 - 3/z^4 where the difference would cancel."""
    z = np.minimum(np.asarray(z, dtype=float), 25.0)
    far = np.minimum(z, -1e3) ** -2.0
    return np.where(z < -1e3, far, np.maximum(1 + np.maximum(z, -1e3) * mills(np.maximum(z, -1e3)), 1e-300))


def _inverse(factor: np.ndarray) -> np.ndarray:
    """Of the matrix with this lower Cholesky factor, (n, n)."""
    lower = dpotri(factor, lower=1)[0]
    return np.tril(lower) + np.tril(lower, -1).T


def _kernel_of(logarithms: np.ndarray) -> Kernel:
    values = np.exp(logarithms)
    return Kernel(float(values[0]), values[1:-1], float(values[-1]))


def _distance(a: np.ndarray, b: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Scaled Euclidean distances, (len(a), len(b))."""
    a, b = a / lengths, b / lengths
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squared, 0.0))


def _matern(r: np.ndarray) -> np.ndarray:
    """Matern correlation with smoothness 5/2 (Rasmussen & Williams 2006, eq. 4.17)."""
    s = math.sqrt(5) * r
    return (1 + s + s * s / 3) * np.exp(-s)


def _matern_slope(r: np.ndarray) -> np.ndarray:
    """-(1/r) d/dr of the correlation: finite at r = 0."""
    s = math.sqrt(5) * r
    return 5 / 3 * (1 + s) * np.exp(-s)


def _negative_log_posterior(logarithms: np.ndarray, squares: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """And its gradient by the logarithms of signal, lengths and noise (Rasmussen & Williams 2006, eq. 5.9)."""
    kernel, n = _kernel_of(logarithms), len(y)
    r = np.sqrt(squares @ kernel.lengths**-2.0)  # (n, n)
    signal = kernel.signal * _matern(r)
    try:
        factor = cholesky(signal + (kernel.noise + JITTER) * np.eye(n), lower=True)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(logarithms)
    inverse = _inverse(factor)
    weights = inverse @ y
    inner = inverse - np.outer(weights, weights)
    by_square = inner * kernel.signal * _matern_slope(r)
    by_length = by_square.ravel() @ squares.reshape(n * n, -1) / kernel.lengths**2
    gradient = 0.5 * np.array([(inner * signal).sum(), *by_length, kernel.noise * np.trace(inner)])
    value = 0.5 * float(y @ weights) + float(np.log(np.diag(factor)).sum())
    surprise, pull = _log_prior(logarithms)
    return value - surprise, gradient - pull


def _log_prior(logarithms: np.ndarray) -> tuple[float, np.ndarray]:
    """Normal priors on the logarithms, up to a constant, and their gradient."""
    d = len(logarithms) - 2
    middle = np.array([0.0, *np.full(d, 0.5 * math.log(d) - 0.7), math.log(1e-3)])
    spread = np.array([1.0, *np.full(d, 1.0), 3.0])
    z = (logarithms - middle) / spread
    return -0.5 * float(z @ z), -z / spread
