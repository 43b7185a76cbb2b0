"""Numbers that tell speech from other sounds: syllables, voicing, gliding pitch, the shape of the spectrum.

They are read from the prepared recording alone, so they know nothing of the emotion network. Syllables come at about
4 Hz and are the strongest modulation of speech (Houtgast & Steeneken 1985; Scheirer & Slaney 1997); voices are
harmonic for a part of the time and glide between pitches, where instruments hold or jump and noise has none.

Shapes:  N samples   T frames of 10 ms   M mel bands   D numbers of a vector
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from emotion.features import FLOOR_DB, HOP_SAMPLES, SAMPLE_RATE_HZ, frames

MODULATION_HZ = (0.5, 2.0, 4.0, 8.0, 16.0, 50.0)
FRAMES_PER_S = SAMPLE_RATE_HZ / HOP_SAMPLES
PITCH_HZ = (60.0, 500.0)
PITCH_FRAME = 640  # 40 ms: two periods of 60 Hz and more
PITCH_HOP = 320
VOICED = 0.5  # height of the autocorrelation's peak
SHAPE = 8  # cosine terms that describe a curve over the mel bands


def describe(samples: np.ndarray, log_mel_db: np.ndarray) -> np.ndarray:
    """(D,) float64 of prepared speech, (N,) samples, and its spectrum, (M, T) in dB."""
    heard = np.maximum(np.asarray(log_mel_db, dtype=float), FLOOR_DB)
    parts = [_modulation(heard), _spectrum(heard), _change(heard), _voice(samples)]
    return np.concatenate(parts)


def _modulation(heard: np.ndarray) -> np.ndarray:
    """Share of the level's movement in five bands of frequency, over all mel bands and for the whole, (11,)."""
    moved = heard - heard.mean(axis=1, keepdims=True)
    whole = heard.max(axis=0)[None] - heard.max(axis=0).mean()
    out = []
    for rows in (moved, whole):
        power = (np.abs(fft.rfft(rows * np.hanning(rows.shape[1]), n=max(256, rows.shape[1]), axis=1)) ** 2).sum(axis=0)
        hz = np.linspace(0, FRAMES_PER_S / 2, power.size)
        edges = np.searchsorted(hz, MODULATION_HZ)
        bands = np.array([power[a:b].sum() for a, b in zip(edges[:-1], edges[1:], strict=True)])
        out.append(np.log(bands / max(bands.sum(), 1e-9) + 1e-4))
    return np.concatenate([*out, [np.log(moved.std() + 0.1)]])


def _spectrum(heard: np.ndarray) -> np.ndarray:
    """Mean and deviation of the bands as cosine terms, and how peaked the frames are, (2 · SHAPE + 2,)."""
    curves = [fft.dct(curve, norm="ortho")[:SHAPE] for curve in (heard.mean(axis=1), heard.std(axis=1))]
    power = 10 ** (heard / 10)
    flatness = heard.mean(axis=0) - 10 * np.log10(power.mean(axis=0))
    return np.concatenate([*curves, [flatness.mean(), flatness.std()]])


def _change(heard: np.ndarray) -> np.ndarray:
    """How much the spectrum changes from frame to frame, and how that is spread, (4,)."""
    steps = np.abs(np.diff(heard, axis=1)).mean(axis=0)
    quantiles = np.percentile(steps, [10, 50, 90])
    alike = np.corrcoef(heard.mean(axis=0)[:-5], heard.mean(axis=0)[5:])[0, 1] if heard.shape[1] > 20 else 0.0
    return np.concatenate([np.log(quantiles + 0.1), [np.nan_to_num(alike)]])


def _voice(samples: np.ndarray) -> np.ndarray:
    """Voiced share, harmonicity, pitch, its spread and how it moves, (8,)."""
    blocks = frames(np.asarray(samples, dtype=np.float32), PITCH_FRAME, PITCH_HOP)
    blocks = blocks - blocks.mean(axis=1, keepdims=True)
    power = (blocks**2).sum(axis=1)
    loud = power > 0.01 * np.percentile(power, 95)
    size = 2 * PITCH_FRAME
    autocorrelation = fft.irfft(np.abs(fft.rfft(blocks[loud], size, axis=1)) ** 2, size, axis=1)[:, :PITCH_FRAME]
    unbiased = autocorrelation / np.maximum(autocorrelation[:, :1], 1e-9) * PITCH_FRAME
    unbiased = unbiased / np.arange(PITCH_FRAME, 0, -1)
    shortest, longest = (int(SAMPLE_RATE_HZ / hz) for hz in reversed(PITCH_HZ))
    search = unbiased[:, shortest : longest + 1]
    best = search.argmax(axis=1)
    height = np.clip(search[np.arange(len(search)), best], 0, 1)
    voiced = height > VOICED
    octaves = np.log2(SAMPLE_RATE_HZ / (best + shortest) / 100.0)
    steps = np.abs(np.diff(octaves))[voiced[1:] & voiced[:-1]]
    pitches = octaves[voiced] if voiced.any() else np.zeros(1)
    held, jumped = ((steps < 0.005).mean(), (steps > 0.25).mean()) if steps.size else (0.0, 0.0)
    turns = (voiced[1:] != voiced[:-1]).mean() if len(voiced) > 1 else 0.0
    return np.array(
        [
            voiced.mean(),
            height.mean(),
            height.std(),
            np.median(pitches),
            np.subtract(*np.percentile(pitches, [90, 10])),
            np.sqrt(held),
            np.sqrt(jumped),
            np.sqrt(turns),
        ]
    )
