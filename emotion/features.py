"""What the voice network and its peers read: log-mel spectra and MFCC, in NumPy and SciPy.

Shapes:  N samples   T frames of 10 ms   M mel bands   C cepstral coefficients

The definitions are those of librosa 0.11, which is the oracle in the tests (agreement within 1e-3):
`center=False`, a 400-sample periodic Hamming window in the middle of each 512-sample frame, Slaney mel
scale and area normalisation, power spectra in decibels, orthonormal DCT-II, deltas by a local
polynomial over nine frames. librosa itself is not imported, which keeps a worker small.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

SAMPLE_RATE_HZ = 16_000
WINDOW_SAMPLES = 400  # 25 ms
HOP_SAMPLES = 160  # 10 ms
N_FFT = 512
N_MELS = 40
PRE_EMPHASIS = 0.95
DELTA_FRAMES = 9
SMALLEST_POWER = 1e-10  # -100 dB, below which a band is digital silence
FLOOR_DB = -70.0  # speech is levelled to -20 dB; below this lies only the recording equipment


def hz_to_mel(frequency_hz: np.ndarray | float) -> np.ndarray:
    """Slaney's mel scale (Auditory Toolbox, 1998): linear up to 1 kHz, then 27 steps per factor of 6.4."""
    frequency_hz = np.asarray(frequency_hz, dtype=float)
    above = 15 + 27 * np.log(np.maximum(frequency_hz, 1000) / 1000) / np.log(6.4)
    return np.where(frequency_hz < 1000, frequency_hz * 3 / 200, above)


def mel_to_hz(mel: np.ndarray | float) -> np.ndarray:
    """Inverse of `hz_to_mel`."""
    mel = np.asarray(mel, dtype=float)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) * (mel - 15) / 27))


@lru_cache(maxsize=4)
def mel_filters(n_mels: int = N_MELS) -> np.ndarray:
    """Triangular filters of unit area between 0 Hz and 8 kHz, (M, N_FFT // 2 + 1)."""
    edges_hz = mel_to_hz(np.linspace(0, hz_to_mel(SAMPLE_RATE_HZ / 2), n_mels + 2))
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, N_FFT // 2 + 1)
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
    return (np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)).astype(np.float32)


@lru_cache(maxsize=1)
def analysis_window() -> np.ndarray:
    """The Hamming window, zero-padded on both sides to one FFT frame, (N_FFT,)."""
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)
    side = (N_FFT - WINDOW_SAMPLES) // 2
    return np.pad(window, side).astype(np.float32)


def frames(samples: np.ndarray, length: int = N_FFT, hop: int = HOP_SAMPLES) -> np.ndarray:
    """Overlapping frames as a view, (T, length) with T = 1 + (N - length) // hop; N >= length."""
    return np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]


def log_mel(samples: np.ndarray, n_mels: int = N_MELS) -> np.ndarray:
    """Mel power spectrum in dB re 1, (M, T) float32.

    samples: (N,) mono at 16 kHz, full scale ±1. A signal shorter than one FFT frame (32 ms) raises ValueError.
    """
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1 or samples.size < N_FFT:
        raise ValueError(f"log_mel needs at least {N_FFT} mono samples, got shape {samples.shape}")
    emphasised = np.append(samples[:1], samples[1:] - np.float32(PRE_EMPHASIS) * samples[:-1])
    spectrum = fft.rfft(frames(emphasised) * analysis_window(), axis=1)  # (T, N_FFT // 2 + 1)
    power = spectrum.real**2 + spectrum.imag**2
    return 10 * np.log10(np.maximum(mel_filters(n_mels) @ power.T, SMALLEST_POWER))


def cepstra(log_mel_db: np.ndarray, n_mfcc: int = N_MELS) -> np.ndarray:
    """Mel-frequency cepstral coefficients, (C, T): the orthonormal DCT-II of each log-mel frame."""
    return fft.dct(log_mel_db, axis=0, type=2, norm="ortho")[:n_mfcc]


def deltas(features: np.ndarray, order: int = 1) -> np.ndarray:
    """Slope (order 1) or curvature (order 2) of each row over nine frames, same shape; T >= 9."""
    from scipy import signal  # half a second and 50 MB that a worker, which reads log-mel spectra, does not need

    return signal.savgol_filter(features, DELTA_FRAMES, polyorder=order, deriv=order, axis=1, mode="interp")


def normalise_rows(features: np.ndarray) -> np.ndarray:
    """Cepstral mean and variance normalisation: every row to mean 0 and standard deviation 1 over time."""
    centred = features - features.mean(axis=1, keepdims=True)
    return centred / np.maximum(features.std(axis=1, keepdims=True), 1e-6)


def mfcc(samples: np.ndarray, n_mfcc: int = N_MELS, normalise: bool = True) -> np.ndarray:
    """MFCC, Δ and ΔΔ stacked, (3C, T), by default each row normalised over the recording.

    samples: (N,) mono at 16 kHz with at least nine frames (112 ms).
    """
    static = cepstra(log_mel(samples), n_mfcc)
    stacked = np.concatenate([static, deltas(static), deltas(static, order=2)])
    return normalise_rows(stacked) if normalise else stacked
