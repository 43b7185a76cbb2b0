"""The randomness of a decision: from one integer seed, the same for ever.

A seed gives three independent streams (posterior draws, activity, send or nothing) by `SeedSequence.spawn_key`. Only
raw PCG64 bits are used: NumPy promises that they never change, which it does not for `Generator.normal`. Posterior
draws are turned into win counts, so that a last-digit difference between two mathematical libraries cannot change a
probability.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

POSTERIOR, ACTIVITY, SEND = range(3)  # the streams of a seed


def thompson_probabilities(mean: Sequence[float], sd: Sequence[float], draws: int, seed: int) -> np.ndarray:
    """Return how often each of m activities has the largest of `draws` seeded posterior draws, (m,) summing to 1.

    mean, sd: (m,). Ties (only possible without uncertainty) are shared.
    """
    means, sds = np.asarray(mean, dtype=float), np.asarray(sd, dtype=float)
    uniforms = raw_uniforms(seed, POSTERIOR, draws * len(means) + draws * len(means) % 2)
    able = _able_to_win(means, sds, uniforms)
    samples = means[able] + sds[able] * normals(uniforms, draws, np.flatnonzero(able), len(means))
    best = samples == samples.max(axis=1, keepdims=True)  # (draws, able)
    winners = best.sum(axis=1, keepdims=True)
    shares = np.zeros(len(means))
    shares[able] = (best if winners.max() == 1 else best / winners).sum(axis=0) / draws
    return shares


def _able_to_win(mean: np.ndarray, sd: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Who may win a draw at all, (m,) bool: nobody is drawn farther out than the longest radius there is.

    With a narrow posterior that leaves few, and the others' normal numbers need not be computed.
    """
    farthest = (1 + 1e-9) * float(_radius(uniforms[: len(uniforms) // 2].max()))
    able: np.ndarray = mean + farthest * sd >= (mean - farthest * sd).max()
    return able


def drawn(law: Sequence[float], u: float) -> int:
    """Invert the cumulative law at u in [0, 1); entries of zero are never returned."""
    total = 0.0
    for i, p in enumerate(law):
        total += p
        if p > 0:
            last = i
            if u < total:
                return i
    return last  # the sum fell short of u by rounding


def raw_uniforms(seed: int, stream: int, n: int) -> np.ndarray:
    """Return the first n numbers of a stream in [0, 1), with 53 random bits each, (n,). seed: not negative."""
    bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream,))).random_raw(n)
    return (bits >> np.uint64(11)) * 2.0**-53


def uniform(seed: int, stream: int) -> float:
    """The first number of a stream."""
    return float(raw_uniforms(seed, stream, 1)[0])


def normals(uniforms: np.ndarray, rows: int, columns: np.ndarray, width: int) -> np.ndarray:
    """Return the asked columns of a (rows, width) table of standard normal numbers, (rows, asked).

    By Box and Muller (1958): one half of the uniforms gives radii, the other angles, and the table is filled row by
    row, first with all radius x cosine, then with radius x sine.
    """
    radii, angles = np.split(uniforms, 2)
    place = (np.arange(rows)[:, None] * width + columns).ravel()
    cosines = np.searchsorted(place, len(radii))
    first, second = place[:cosines], place[cosines:] - len(radii)
    parts = [
        _radius(radii[first]) * np.cos(2 * np.pi * angles[first]),
        _radius(radii[second]) * np.sin(2 * np.pi * angles[second]),
    ]
    return np.concatenate(parts).reshape(rows, len(columns))


def _radius(uniforms):
    return np.sqrt(-2 * np.log1p(-uniforms))
