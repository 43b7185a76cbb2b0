"""The Dandelion Optimizer as published, for comparison: one iteration of rise, descend, land.

Zhao, Zhang, Ma & Chen (2022), "Dandelion Optimizer: a nature-inspired metaheuristic algorithm for engineering
applications", Eng. Appl. of AI 114:105075. Public implementations disagree in seven places. Our reading:

    q (rainy day)      1 + ((t - 1)/(T - 1))^2
    lnY                the density of lognormal(0, 1) at y ~ N(0, 1), 0 for y < 0; not its logarithm
    theta, y           once per seed, not per coordinate
    weather, alpha     once per seed, not per iteration
    levy               Mantegna's steps times s = 0.01, as printed
    selection          every seed is replaced; the elite is kept apart
    clipping           to the box after each of the three stages

docs/dandelion.md says why. It searches the native box and depends on where zero lies in it.
"""

from __future__ import annotations

import math

import numpy as np

from recommender.moves import mantegna


def iteration(
    x: np.ndarray,
    elite: np.ndarray,
    t: int,
    generations: int,
    low: np.ndarray,
    high: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """One iteration of the published optimizer.

    x: (N, D) seeds in the box [low, high].   elite: (D,) best so far.   t: 1 to `generations`.   Returns (N, D).
    """
    n, d = x.shape
    alpha = rng.random((n, 1)) * (t / generations - 1) ** 2  # eq. 8
    theta = rng.uniform(-np.pi, np.pi, (n, 1))
    radius = np.exp(-theta)
    vx, vy = radius * np.cos(theta), radius * np.sin(theta)  # eq. 9
    y = rng.standard_normal((n, 1))
    seeds = low + rng.random((n, d)) * (high - low)
    clear = x + alpha * vx * vy * lognormal_density(y) * (seeds - x)  # eq. 5
    q = 1 + ((t - 1) / (generations - 1)) ** 2  # eq. 11, our reading
    rainy = x * (1 - rng.random((n, 1)) * q)  # eq. 10
    x = np.clip(np.where(rng.standard_normal((n, 1)) < 1.5, clear, rainy), low, high)
    brownian = rng.standard_normal((n, d))
    x = np.clip(x - alpha * brownian * (x.mean(axis=0) - alpha * brownian * x), low, high)  # eq. 13
    delta = 2 * t / generations
    x = elite + 0.01 * mantegna((n, d), rng) * alpha * (elite - x * delta)  # eq. 15
    return np.clip(x, low, high)


def lognormal_density(y: np.ndarray) -> np.ndarray:
    """Density of lognormal(0, 1), 0 below zero (eq. 7)."""
    safe = np.where(y > 0, y, 1.0)
    return np.where(y > 0, np.exp(-(np.log(safe) ** 2) / 2) / (safe * math.sqrt(math.tau)), 0.0)
