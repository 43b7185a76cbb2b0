"""The voice recogniser: a recording in, an estimate of the expressed emotion out.

Decode → 16 kHz mono → level → band-pass → trim → quality → log-mel, read against what is usual for
everybody or for this person → network. Neither librosa nor torch is needed: the network runs on ONNX
Runtime, and on torch only where a checkpoint has no ONNX file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from emotion import checkpoint, features, strangers
from emotion.estimate import Estimate
from emotion.features import FLOOR_DB
from emotion.recording import Speech, UnusableRecording, prepare
from emotion.serving import runtime
from emotion.serving.runtime import Network

__all__ = ["UnusableRecording", "VoiceBaseline", "VoiceRecogniser"]

Source = bytes | str | Path
LEAST_QUALITY = 0.15


@dataclass(frozen=True)
class VoiceBaseline:
    """How a person usually sounds: averages over K earlier clips, best of neutral calibration check-ins.

    mean_db, mean_square_db: (M,) average over clips of each mel band's mean and mean square over time.
    band: the filter they were heard through; another filter's baseline says nothing.
    """

    clips: int
    mean_db: np.ndarray
    mean_square_db: np.ndarray
    band: str | None = field(default="wide", kw_only=True)

    @classmethod
    def of(cls, recordings: Iterable[Source | Speech], band: str | None = "wide") -> VoiceBaseline:
        """From K recordings; one that is unusable raises `UnusableRecording`. None at all is the population."""
        heard = (features.log_mel(_listen(recording, band).samples) for recording in recordings)
        return cls.pooled([cls(1, *_moments(log_mel_db), band=band) for log_mel_db in heard], band)

    @classmethod
    def pooled(cls, baselines: Sequence[VoiceBaseline], band: str | None = "wide") -> VoiceBaseline:
        """Of all their clips together, each with the same weight; those heard through another filter are left out."""
        alike = [baseline for baseline in baselines if baseline.band == band and baseline.clips]
        if not alike:
            return cls(0, np.zeros(features.N_MELS), np.zeros(features.N_MELS), band=band)
        clips = np.array([baseline.clips for baseline in alike])
        moments = np.array([(baseline.mean_db, baseline.mean_square_db) for baseline in alike])
        return cls(int(clips.sum()), *np.average(moments, axis=0, weights=clips), band=band)

    def shrunken(self, mean_db: np.ndarray, deviation_db: np.ndarray, prior_clips: float) -> tuple[np.ndarray, ...]:
        """Mean and deviation to read against, (M,) each: the population's for K = 0, the person's as K grows.

        Mean and mean square move by K / (K + prior_clips) from the population to the person.
        """
        weight = self.clips / (self.clips + prior_clips)
        mean = mean_db + weight * (self.mean_db - mean_db)
        usual_square = deviation_db**2 + mean_db**2
        square = usual_square + weight * (self.mean_square_db - usual_square)
        return mean, np.sqrt(np.maximum(square - mean**2, 1.0))

    def to_json(self) -> dict[str, Any]:
        moments = {"mean_db": self.mean_db.tolist(), "mean_square_db": self.mean_square_db.tolist()}
        return {"clips": self.clips, **moments, "band": self.band}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> VoiceBaseline:
        mean, mean_square = np.array(stored["mean_db"]), np.array(stored["mean_square_db"])
        return cls(int(stored["clips"]), mean, mean_square, band=stored.get("band", "wide"))


class VoiceRecogniser:
    """Reads recordings with one trained network. Make it with `load`, in the process that uses it."""

    def __init__(
        self,
        network: Network,
        card: Mapping[str, Any],
        mean_db: np.ndarray,
        deviation_db: np.ndarray,
        guard: strangers.Guard | None = None,
    ):
        """mean_db, deviation_db: (M,), what is usual in each mel band for everybody.

        guard: what refuses strangers; without one nothing is.
        """
        self.network = network
        self.guard = guard
        self.card = card
        self.population = mean_db, deviation_db
        self.band = card["band"]
        self.temperature = float(card["temperature"])
        self.threshold = float(card["abstention"]["threshold"])
        self.prior_clips = float(card["prior_clips"])
        self.version = f"{card['network']}-{card['sha256'][:8]}"

    @classmethod
    def load(cls, path: str | os.PathLike | None = None, engine: str = "auto") -> VoiceRecogniser:
        """The network at `path`, or the one that ships. Raises `checkpoint.NoModel`, `checkpoint.BadCheckpoint`.

        engine: "onnx", "torch", or "auto" (emotion.serving.runtime.load).
        """
        path = path or checkpoint.default_path("voice")
        network, card = runtime.load(path, "compact_voice", engine)
        weights, _ = checkpoint.load_arrays(path)
        mean_db, deviation_db = (weights[f"population_{name}_db"].astype(float) for name in ("mean", "deviation"))
        return cls(network, card, mean_db, deviation_db, strangers.load(path, card))

    def predict(self, recording: Source | Speech, baseline: VoiceBaseline | None = None) -> Estimate:
        """Read one recording: a file's bytes, its path, or speech that `recording.extract` gave through `band`.

        baseline: one that was heard through another filter, or has no clips, changes nothing.
        Raises `UnusableRecording`.
        """
        speech = _listen(recording, self.band)
        heard = features.log_mel(speech.samples)
        if baseline and (baseline.band != self.band or not baseline.clips):
            baseline = None
        probabilities = self.read(heard, baseline)
        stranger = self._judge(speech, heard) if self.guard else None
        quality = strangers.quality(speech.quality, stranger)
        return Estimate(
            probabilities=probabilities,
            quality=quality,
            model_version=self.version,
            abstained=bool(probabilities.max() < self.threshold or quality < LEAST_QUALITY),
            details={
                "speech_s": round(speech.speech_s, 2),
                "snr_db": round(speech.snr_db, 1),
                "clipped_share": round(speech.clipped_share, 4),
                "baseline_clips": baseline.clips if baseline else 0,
                **({"stranger": stranger} if stranger else {}),
            },
            without_baseline=self.read(heard) if baseline else None,
            usual=VoiceBaseline(1, *_moments(heard), band=self.band).to_json(),
        )

    def baseline(self, recordings: Iterable[Source]) -> VoiceBaseline:
        """A person's baseline from earlier recordings, heard through this recogniser's filter."""
        return VoiceBaseline.of(recordings, self.band)

    def read(self, log_mel_db: np.ndarray, baseline: VoiceBaseline | None = None) -> np.ndarray:
        """Calibrated probabilities (7,) of one spectrum (M, T) in dB."""
        logits, _ = self.hear(log_mel_db, baseline)
        return softmax(logits[0] / self.temperature)

    def hear(self, log_mel_db: np.ndarray, baseline: VoiceBaseline | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Logits (1, 7) and features of the network's last layer (1, F) of one spectrum (M, T) in dB."""
        usual = baseline.shrunken(*self.population, self.prior_clips) if baseline else self.population
        logits, inner = self.network(*(np.asarray(array, np.float32)[None] for array in (log_mel_db, *usual)))
        return logits.astype(float), inner.astype(float)

    def _judge(self, speech: Speech, log_mel_db: np.ndarray) -> dict[str, Any]:
        """Read against everybody, not the person: what a guard knows is people, whoever they are."""
        assert self.guard is not None
        return self.guard.judge(strangers.of_voice(speech.samples, log_mel_db, self.hear(log_mel_db)[1]))[0]


def _listen(recording: Source | Speech, band: str | None) -> Speech:
    return recording if isinstance(recording, Speech) else prepare(recording, band)


def _moments(log_mel_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    heard = np.maximum(log_mel_db.astype(float), FLOOR_DB)
    return heard.mean(axis=1), (heard**2).mean(axis=1)
