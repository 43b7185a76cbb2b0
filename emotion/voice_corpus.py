"""Recordings as training reads them: prepared once, in several disguises, with the moments baselines need.

Shapes:  n clips   V disguises   M mel bands   S cepstral statistics
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from emotion import features
from emotion.data import emodb, nemo, ravdess
from emotion.data.clips import Clip
from emotion.estimate import EMOTIONS
from emotion.networks.compact_voice import FLOOR_DB
from emotion.recording import SAMPLE_RATE_HZ, UnusableRecording, decode, extract, level

# Tempo and pitch together, as a tape would; 1.0 first, because evaluation uses disguise 0.
SPEEDS = (1.0, 0.88, 0.94, 1.06, 1.12)
NOISE_SNR_DB = (5.0, 30.0)


CORPORA: dict[str, Callable[[Path], list[Clip]]] = {
    "ravdess": lambda data: ravdess.clips(data / "ravdess_speech"),
    "emodb": lambda data: emodb.clips(data / "emodb" / "first2s_16k"),
    "nemo": lambda data: nemo.clips(data / "nemo"),
}
PERMISSIVE = ("emodb",)  # those whose licence allows every use


def training_clips(data: Path, corpora: Iterable[str] = tuple(CORPORA)) -> list[Clip]:
    """Of all corpora that the released network learns from, or of those named. Raises `DataMissing`."""
    return [clip for name in corpora for clip in CORPORA[name](data)]


@dataclass
class Corpus:
    """Features of every usable clip.

    spectra[v][i]: (M, T) float16, dB, disguise v of clip i; disguise 0 is the clip itself.
    moments: (V, n, 2, M) mean and mean square over time of the floored spectra.
    statistics: (V, n, S) mean and deviation of MFCC + Δ + ΔΔ, for the peer.
    labels: (n,) numbers into `classes`.  durations_s: (n, 2) of the file and of its speech.
    """

    clips: list[Clip]
    spectra: list[list[np.ndarray]]
    moments: np.ndarray
    statistics: np.ndarray
    labels: np.ndarray
    durations_s: np.ndarray
    unusable: dict[str, str]
    classes: tuple[str, ...] = EMOTIONS

    @property
    def people(self) -> np.ndarray:
        return np.array([clip.person for clip in self.clips])

    @property
    def corpora(self) -> np.ndarray:
        return np.array([clip.corpus for clip in self.clips])


def load(
    clips: list[Clip],
    cache: Path,
    band: str | None = None,
    seed: int = 0,
    progress: Callable = iter,
    classes: tuple[str, ...] = EMOTIONS,
) -> Corpus:
    """Prepare the clips, or read them from `cache` where the same clips were prepared before.

    classes: what the clips' labels are among; other than the served ones in benches on a data set's own classes.
    """
    key = hashlib.sha256(repr([(str(c.path), c.label) for c in clips] + [band, seed, SPEEDS]).encode()).hexdigest()
    path = Path(cache) / f"voices-{key[:16]}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new.npz")
        arrays: dict[str, Any] = _prepare_all(clips, band, seed, progress)
        np.savez(beside, **arrays)
        beside.replace(path)
    return _from_arrays(clips, dict(np.load(path)), classes)


def _prepare_all(clips: list[Clip], band: str | None, seed: int, progress: Callable) -> dict[str, np.ndarray]:
    kept, reasons, spectra, statistics, durations_s = [], [], [], [], []
    for index, clip in enumerate(progress(clips)):
        try:
            samples, rate_hz = decode(clip.path)
            speech = extract(samples, rate_hz, band=band)
        except UnusableRecording as problem:
            reasons.append(f"{index} {problem.code}")
            continue
        rng = np.random.default_rng([seed, index])
        logs = [features.log_mel(disguised) for disguised in disguises(speech.samples, rng)]
        kept.append(index)
        spectra += logs
        statistics.append([cepstral_statistics(log) for log in logs])
        durations_s.append((samples.size / rate_hz, speech.samples.size / SAMPLE_RATE_HZ))
    return {
        "kept": np.array(kept),
        "reasons": np.array(reasons, dtype=str),
        "lengths": np.array([log.shape[1] for log in spectra]),
        "frames": np.concatenate(spectra, axis=1).astype(np.float16),
        "statistics": np.array(statistics, dtype=np.float32).swapaxes(0, 1),
        "durations_s": np.array(durations_s),
    }


def _from_arrays(clips: list[Clip], arrays: dict[str, np.ndarray], classes: tuple[str, ...]) -> Corpus:
    kept = [clips[i] for i in arrays["kept"]]
    variants = len(arrays["statistics"])
    parts = np.split(arrays["frames"], np.cumsum(arrays["lengths"])[:-1], axis=1)
    spectra = [parts[v::variants] for v in range(variants)]
    moments = np.array([[spectral_moments(log) for log in row] for row in spectra])
    reasons = dict(line.split() for line in arrays["reasons"])
    return Corpus(
        clips=kept,
        spectra=spectra,
        moments=moments,
        statistics=arrays["statistics"],
        labels=np.array([classes.index(clip.label) for clip in kept]),
        durations_s=arrays["durations_s"],
        unusable={clips[int(i)].path.name: code for i, code in reasons.items()},
        classes=classes,
    )


def disguises(samples: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The speech at each speed, clean and then in noise: 2 · len(SPEEDS) signals."""
    at_speeds = [level(soxr.resample(samples, SAMPLE_RATE_HZ * s, SAMPLE_RATE_HZ)) for s in SPEEDS]
    return at_speeds + [level(add_noise(s, rng)) for s in at_speeds]


def add_noise(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Steady noise of a random colour (power ∝ frequency^-β, β from 0 to 2) at a random ratio of 5 to 30 dB."""
    spectrum = np.fft.rfft(rng.standard_normal(samples.size))
    bins = np.maximum(np.arange(spectrum.size), 1)
    noise = np.fft.irfft(spectrum * bins ** (-rng.uniform(0, 2) / 2), samples.size)
    wanted = samples.std() * 10 ** (-rng.uniform(*NOISE_SNR_DB) / 20)
    return (samples + noise * wanted / max(noise.std(), 1e-9)).astype(np.float32)


def spectral_moments(log_mel_db: np.ndarray) -> np.ndarray:
    """Mean and mean square of each band over time, (2, M), as the network hears it."""
    heard = np.maximum(np.asarray(log_mel_db, dtype=np.float64), FLOOR_DB)
    return np.stack([heard.mean(axis=1), (heard**2).mean(axis=1)])


def population_moments(corpus: Corpus, rows: np.ndarray) -> np.ndarray:
    """Mean and mean square of each band over all disguises of the rows, (2, M)."""
    return corpus.moments[:, rows].mean(axis=(0, 1))


def cepstral_statistics(log_mel_db: np.ndarray) -> np.ndarray:
    """Mean and deviation over time of MFCC, Δ and ΔΔ, (240,): what the peer classifier reads."""
    static = features.cepstra(np.maximum(log_mel_db, FLOOR_DB))
    rows = np.concatenate([static, features.deltas(static), features.deltas(static, order=2)])
    return np.concatenate([rows.mean(axis=1), rows.std(axis=1)])


def shrink(own: np.ndarray, count: np.ndarray | int, population: np.ndarray, prior_clips: float) -> np.ndarray:
    """Pull the average of `count` clips of a person towards the population; with no clip it is the population."""
    weight = np.asarray(count / (count + prior_clips))
    return population + weight[(...,) + (None,) * (own.ndim - weight.ndim)] * (own - population)
