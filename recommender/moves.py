"""The dandelion's three stages as generators of candidates in the unit cube: rise, descend, land.

Every move is a step between or around points that were evaluated: shifting the objective shifts the candidates with
it. That is what the published stages lack (`recommender.paper`), which scale the coordinates themselves.
"""

from __future__ import annotations

import math

import numpy as np

POOL = 512  # candidates per ask


def candidates(points: np.ndarray, order: np.ndarray, left: float, rng: np.random.Generator) -> np.ndarray:
    """Return candidates by the three moves, a quarter of them fresh seeds, (POOL, D).

    points: (n, D) evaluated.   order: (n,) their places from best to worst.   left: unspent share of the budget.
    """
    n, d = POOL // 4, points.shape[1]
    elites = points[order[: max(3, math.ceil(len(order) / 5))]]
    parents = elites[rng.integers(len(elites), size=n)]
    step = rng.lognormal(-1.0, 1.0, (n, 1)) * (rng.random((n, d)) < 0.5)
    rise = parents + step * (rng.random((n, d)) - parents)
    spread = np.maximum(elites.std(axis=0), 0.01)
    descend = elites[rng.integers(len(elites), size=n)] + rng.standard_normal((n, d)) * spread
    sparse = rng.random((n, d)) < max(2 / d, 0.3)
    reach = 0.002 + 0.1 * left**2 * rng.random((n, 1))
    land = points[order[0]] + reach * mantegna((n, d), rng) * sparse
    return reflected(np.vstack([rise, descend, land, rng.random((POOL - 3 * n, d))]))


def mantegna(shape: tuple[int, ...], rng: np.random.Generator, beta: float = 1.5) -> np.ndarray:
    """Levy-stable steps by the algorithm of Mantegna (1994)."""
    top = math.gamma(1 + beta) * math.sin(math.pi * beta / 2)
    sigma = (top / (math.gamma((1 + beta) / 2) * beta * 2 ** ((beta - 1) / 2))) ** (1 / beta)
    return rng.normal(0, sigma, shape) / np.abs(rng.standard_normal(shape)) ** (1 / beta)


def reflected(points: np.ndarray) -> np.ndarray:
    """Fold any real coordinates back into [0, 1] at its bounds."""
    folded = np.abs(points) % 2
    return np.where(folded > 1, 2 - folded, folded)
