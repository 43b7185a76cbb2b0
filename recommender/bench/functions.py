"""Eight standard test functions in the unit cube, shifted and rotated: nothing lies at zero or along the axes.

x in [0, 1]^d is mapped to z = R (2 x - 1 - s) half, with R orthogonal and the optimum s in [-0.7, 0.7]^d, both drawn
from the seed; the smallest value is 0. Definitions after Surjanovic & Bingham's library and Hansen et al. (2021).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _ackley(z: np.ndarray) -> float:
    root, waves = np.sqrt((z**2).mean()), np.cos(2 * np.pi * z).mean()
    return float(20 + np.e - 20 * np.exp(-0.2 * root) - np.exp(waves))


def _griewank(z: np.ndarray) -> float:
    return float(1 + (z**2).sum() / 4000 - np.cos(z / np.sqrt(np.arange(1, len(z) + 1))).prod())


def _levy(z: np.ndarray) -> float:
    w = 1 + z / 4  # its optimum at 1 is moved to 0
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)).sum()
    return float(np.sin(np.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2))


def _rosenbrock(z: np.ndarray) -> float:
    x = z + 1
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def _zakharov(z: np.ndarray) -> float:
    tilt = 0.5 * (np.arange(1, len(z) + 1) * z).sum()
    return float((z**2).sum() + tilt**2 + tilt**4)


def _ellipsoid(z: np.ndarray) -> float:
    return float((1000 ** (np.arange(len(z)) / max(len(z) - 1, 1)) * z**2).sum())


FUNCTIONS: dict[str, tuple[float, Callable[[np.ndarray], float]]] = {  # half width of the box, function of z
    "sphere": (5.0, lambda z: float((z**2).sum())),
    "ellipsoid": (5.0, _ellipsoid),
    "rosenbrock": (2.0, _rosenbrock),
    "zakharov": (5.0, _zakharov),
    "rastrigin": (5.12, lambda z: float((z**2 - 10 * np.cos(2 * np.pi * z) + 10).sum())),
    "ackley": (32.0, _ackley),
    "griewank": (100.0, _griewank),
    "levy": (10.0, _levy),
}


def function(name: str, d: int, seed: int) -> Callable[[np.ndarray], float]:
    """Return f on the unit cube, (d,) -> value of at least 0."""
    half, f = FUNCTIONS[name]
    rng = np.random.default_rng([seed, d, list(FUNCTIONS).index(name)])
    shift = rng.uniform(-0.7, 0.7, d)
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return lambda x: f(rotation @ ((2 * np.asarray(x) - 1 - shift) * half))
