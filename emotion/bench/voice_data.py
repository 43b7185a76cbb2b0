"""The corpora of the voice benches in their own classes, with the features of every method, prepared once.

Shapes:  n clips   V disguises of a clip (`voice_corpus`)   S numbers of a table
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy import fft

from emotion import features, voice_corpus
from emotion.data import emodb, ravdess
from emotion.data.clips import Clip
from emotion.estimate import EMOTIONS
from emotion.networks.mfcc_lstm import COEFFICIENTS, STEP_S, STEPS
from emotion.recording import SAMPLE_RATE_HZ, decode, extract
from emotion.voice_corpus import Corpus

BAND = "wide"
RAVDESS_CLASSES = ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
EMODB_FULL_CLASSES = ("anger", "happiness", "neutral", "sadness")  # the others are nearly absent at full length
EMODB_CUT_CLASSES = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")
SHARED_CLASSES = ("anger", "fear", "happiness", "neutral", "sadness")
N_FFT = 2048
HOP_SAMPLES = 512


@dataclass
class VoiceSet:
    """A corpus, and what the published networks read of it once one of them asks.

    published["sequences"]: (V, n, 120, 13) float16 MFCC, zero after the end; ["steps"]: (V, n) how many are real;
    ["vectors"]: (V, n, 162) float32.
    """

    name: str
    clips: list[Clip]
    corpus: Corpus
    cache: Path

    @cached_property
    def published(self) -> dict[str, np.ndarray]:
        path = self.cache / f"published-{self.name}-{len(self.corpus.clips)}.npz"
        return cached(path, lambda: _published(self.clips, self.corpus))

    @property
    def unusable(self) -> int:
        return len(self.corpus.unusable)


def clips_of(name: str, data: Path) -> tuple[list[Clip], tuple[str, ...]]:
    """Clips of a data set in its own classes, and these classes."""
    if name == "ravdess":
        found = ravdess.clips(data / "ravdess_speech")
        return [replace(c, label=RAVDESS_CLASSES[int(c.path.stem[6:8]) - 1]) for c in found], RAVDESS_CLASSES
    if name == "joint":  # what the released network learns from
        return voice_corpus.training_clips(data), EMOTIONS
    if name == "across":
        return [clip for clip in voice_corpus.training_clips(data) if clip.label in SHARED_CLASSES], SHARED_CLASSES
    folder, classes = {
        "emodb-full": ("original_16k", EMODB_FULL_CLASSES),
        "emodb-2s": ("first2s_16k", EMODB_CUT_CLASSES),
    }[name]
    found = emodb.clips(data / "emodb" / folder, emodb.OWN_LABELS)
    return [clip for clip in found if clip.label in classes], classes


def load(name: str, data: Path, cache: Path) -> VoiceSet:
    """Prepare a data set, or read it from `cache`."""
    clips, classes = clips_of(name, data)
    return VoiceSet(name, clips, voice_corpus.load(clips, cache, BAND, classes=classes), cache)


def cached(path: Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays in the file, made first where there is none."""
    if not path.exists():
        beside = path.with_suffix(".new.npz")
        np.savez(beside, allow_pickle=False, **make())
        beside.replace(path)
    with np.load(path) as arrays:
        return {key: arrays[key] for key in arrays.files}


def _published(clips: list[Clip], corpus: Corpus) -> dict[str, np.ndarray]:
    sequences, steps, vectors = [], [], []
    for signals in disguised(clips, corpus):
        read = [mfcc_sequence(samples) for samples in signals]
        sequences.append([sequence for sequence, _ in read])
        steps.append([count for _, count in read])
        vectors.append([feature_vector(samples) for samples in signals])
    by_disguise = (np.array(part).swapaxes(0, 1) for part in (sequences, steps, vectors))
    return dict(zip(("sequences", "steps", "vectors"), by_disguise, strict=True))


def disguised(clips: list[Clip], corpus: Corpus, seed: int = 0):
    """The very signals that the corpus' spectra were made of, clip by clip."""
    kept = {clip.path for clip in corpus.clips}
    for index, clip in enumerate(clips):
        if clip.path in kept:
            speech = extract(*decode(clip.path), band=BAND)
            yield voice_corpus.disguises(speech.samples, np.random.default_rng([seed, index]))


def mfcc_sequence(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """The first three seconds as (120, 13) float16 MFCC every 25 ms, zero after the end, and how many are real."""
    emphasised = np.append(samples[:1], samples[1:] - np.float32(features.PRE_EMPHASIS) * samples[:-1])
    hop = int(STEP_S * SAMPLE_RATE_HZ)
    spectrum = fft.rfft(features.frames(emphasised, features.N_FFT, hop)[:STEPS] * features.analysis_window(), axis=1)
    mel = np.maximum(features.mel_filters() @ (np.abs(spectrum) ** 2).T, features.SMALLEST_POWER)
    heard = np.maximum(10 * np.log10(mel), features.FLOOR_DB)
    rows = features.cepstra(heard, COEFFICIENTS).T  # (T, 13)
    out = np.zeros((STEPS, COEFFICIENTS), np.float16)
    out[: len(rows)] = rows
    return out, len(rows)


def feature_vector(samples: np.ndarray) -> np.ndarray:
    """162 means over time: zero crossings 1, chroma 12, MFCC 20, RMS 1, mel 128; (162,) float32.

    librosa's definitions at 16 kHz with its default frames of 2,048 samples every 512, centred; the tuning of
    the chroma is not estimated, since speech has none.
    """
    import librosa

    padded = np.pad(samples, N_FFT // 2)
    blocks = features.frames(padded, N_FFT, HOP_SAMPLES)
    spectrum = np.abs(fft.rfft(blocks * librosa.filters.get_window("hann", N_FFT), axis=1)).T  # (1025, T)
    chroma = _filters("chroma") @ spectrum
    mel = _filters("mel") @ spectrum**2  # (128, T)
    cepstra = fft.dct(librosa.power_to_db(mel), axis=0, type=2, norm="ortho")[:20]
    edged = features.frames(np.pad(samples, N_FFT // 2, mode="edge"), N_FFT, HOP_SAMPLES)  # as librosa counts crossings
    crossings = (np.signbit(edged[:, 1:]) != np.signbit(edged[:, :-1])).sum(1) / N_FFT
    parts = [
        [crossings.mean()],
        (chroma / np.maximum(chroma.max(0), 1e-10)).mean(1),
        cepstra.mean(1),
        [np.sqrt((blocks**2).mean(1)).mean()],
        mel.mean(1),
    ]
    return np.concatenate(parts).astype(np.float32)


_bank: dict[str, np.ndarray] = {}


def _filters(kind: str) -> np.ndarray:
    if kind not in _bank:
        import librosa

        make = librosa.filters.chroma if kind == "chroma" else librosa.filters.mel
        settings = {"tuning": 0.0} if kind == "chroma" else {"n_mels": 128}
        _bank[kind] = make(sr=SAMPLE_RATE_HZ, n_fft=N_FFT, **settings)
    return _bank[kind]


def seven_classes(corpus: Corpus) -> Corpus:
    """RAVDESS with calm read as neutral, in the served classes; other corpora have no such view."""
    served = [EMOTIONS.index("neutral" if name == "calm" else name) for name in corpus.classes]
    return replace(corpus, labels=np.array(served)[corpus.labels], classes=EMOTIONS)


def merge_calm(probabilities: np.ndarray) -> np.ndarray:
    """Distributions over RAVDESS' eight classes as distributions over the served seven: (n, 8) -> (n, 7).

    A network trained with equal weight for eight classes gives calm and neutral together twice the share of any
    other: half of it is what it would give to one class of seven.
    """
    out = np.zeros((len(probabilities), len(EMOTIONS)))
    for column, name in enumerate(RAVDESS_CLASSES):
        share = 0.5 if name in ("calm", "neutral") else 1.0
        out[:, EMOTIONS.index("neutral" if name == "calm" else name)] += share * probabilities[:, column]
    return out / out.sum(1, keepdims=True)


def as_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
