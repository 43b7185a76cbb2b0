"""Take the noise out of small grey faces before the network reads them.

The network standardises each face, so darkness alone costs nothing; what it costs is the sensor's noise, which
standardising brings out with the rest. Noise is estimated per face (Immerkær, Computer Vision and Image Understanding
64, 1996) and cut off in the cosine transform of every 8 × 8 window, the windows averaged by how few numbers each of
them needs (Yu & Sapiro, IEEE Transactions on Image Processing 20, 2011; weights: Guleryuz 2007). The estimate takes
fine texture for noise; what a face usually shows of it is taken off, so that three faces of four without noise come
back as they were.

Shapes:  n faces of side S   w windows along a side, S + 7
"""

from __future__ import annotations

import math

import numpy as np

SIDE = 8
THRESHOLD = 2.7  # times the noise: what is smaller is taken for noise
TEXTURE = 0.1  # of a face's contrast: a quarter of FER2013's faces show more that passes for noise
_K, _N = np.mgrid[:SIDE, :SIDE]
COSINES = (np.sqrt(np.where(_K == 0, 1, 2) / SIDE) * np.cos(np.pi * (2 * _N + 1) * _K / (2 * SIDE))).astype(np.float32)


def noise(faces: np.ndarray) -> np.ndarray:
    """Standard deviation of the noise in grey values: (n, S, S) -> (n,).

    From what a mask leaves that is blind to planes and straight edges; of fine texture it sees a little too.
    """
    x = np.asarray(faces, np.float32)
    down = x[:, :-2] - 2 * x[:, 1:-1] + x[:, 2:]
    left = down[:, :, :-2] - 2 * down[:, :, 1:-1] + down[:, :, 2:]
    return math.sqrt(math.pi / 2) * np.abs(left).mean((1, 2)) / 6


def beyond_texture(faces: np.ndarray) -> np.ndarray:
    """The part of `noise` that texture does not explain, 0 for most faces: (n, S, S) -> (n,)."""
    usual = TEXTURE * np.asarray(faces, np.float32).std((1, 2))
    return np.sqrt(np.maximum(noise(faces) ** 2 - usual**2, 0))


def denoised(faces: np.ndarray) -> np.ndarray:
    """(n, S, S) uint8 -> the same shape, uint8."""
    out = faces.copy()
    for face, sigma in zip(out, beyond_texture(faces), strict=True):
        if sigma:
            face[:] = np.clip(np.rint(_cut(face, THRESHOLD * sigma)), 0, 255)
    return out


def _cut(face: np.ndarray, least: float) -> np.ndarray:
    """Drop what is smaller than `least` in every window's transform: (S, S) -> (S, S) float32."""
    edge = SIDE - 1
    padded = np.pad(face.astype(np.float32), edge, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (SIDE, SIDE))  # (w, w, 8, 8)
    numbers = COSINES @ windows @ COSINES.T
    kept = np.abs(numbers) > least
    kept[:, :, 0, 0] = True  # the mean is no noise
    weight = 1 / kept.sum((2, 3), dtype=np.float32)  # (w, w)
    smooth = COSINES.T @ (numbers * kept) @ COSINES * weight[:, :, None, None]
    total, weights = np.zeros_like(padded), np.zeros_like(padded)
    count = len(weight)
    for i in range(SIDE):
        for j in range(SIDE):
            total[i : i + count, j : j + count] += smooth[:, :, i, j]
            weights[i : i + count, j : j + count] += weight
    return (total / weights)[edge:-edge, edge:-edge]
