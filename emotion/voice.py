"""The voice recogniser: a recording in, an estimate of the expressed emotion out.

Decode → 16 kHz mono → level → band-pass → trim → quality → log-mel, read against what is usual for
everybody or for this person → network. Neither librosa nor torch is needed: the network runs on ONNX
Runtime, and on torch only where a checkpoint has no ONNX file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from emotion import checkpoint, features
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
    """

    clips: int
    mean_db: np.ndarray
    mean_square_db: np.ndarray

    @classmethod
    def of(cls, recordings: Iterable[Source | Speech], band: str | None = "wide") -> VoiceBaseline:
        """From K recordings; one that is unusable raises `UnusableRecording`. None at all is the population."""
        moments = np.array([_moments(_listen(recording, band)) for recording in recordings])
        if not len(moments):
            return cls(0, np.zeros(features.N_MELS), np.zeros(features.N_MELS))
        return cls(len(moments), *moments.mean(axis=0))

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
        return {"clips": self.clips, "mean_db": self.mean_db.tolist(), "mean_square_db": self.mean_square_db.tolist()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> VoiceBaseline:
        return cls(int(stored["clips"]), np.array(stored["mean_db"]), np.array(stored["mean_square_db"]))


class VoiceRecogniser:
    """Reads recordings with one trained network. Make it with `load`, in the process that uses it."""

    def __init__(self, network: Network, card: Mapping[str, Any], mean_db: np.ndarray, deviation_db: np.ndarray):
        """mean_db, deviation_db: (M,), what is usual in each mel band for everybody."""
        self.network = network
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
        usual = (weights[f"population_{name}_db"].astype(float) for name in ("mean", "deviation"))
        return cls(network, card, *usual)

    def predict(self, recording: Source | Speech, baseline: VoiceBaseline | None = None) -> Estimate:
        """Read one recording: a file's bytes, its path, or speech that `recording.extract` gave through `band`.

        Raises `UnusableRecording`.
        """
        speech = _listen(recording, self.band)
        probabilities = self.read(features.log_mel(speech.samples), baseline)
        return Estimate(
            probabilities=probabilities,
            quality=speech.quality,
            model_version=self.version,
            abstained=bool(probabilities.max() < self.threshold or speech.quality < LEAST_QUALITY),
            details={
                "speech_s": round(speech.speech_s, 2),
                "snr_db": round(speech.snr_db, 1),
                "clipped_share": round(speech.clipped_share, 4),
                "baseline_clips": baseline.clips if baseline else 0,
            },
        )

    def baseline(self, recordings: Iterable[Source]) -> VoiceBaseline:
        """A person's baseline from earlier recordings, heard through this recogniser's filter."""
        return VoiceBaseline.of(recordings, self.band)

    def read(self, log_mel_db: np.ndarray, baseline: VoiceBaseline | None = None) -> np.ndarray:
        """Calibrated probabilities (7,) of one spectrum (M, T) in dB."""
        usual = baseline.shrunken(*self.population, self.prior_clips) if baseline else self.population
        logits, _ = self.network(*(np.asarray(array, np.float32)[None] for array in (log_mel_db, *usual)))
        return softmax(logits[0].astype(float) / self.temperature)


def _listen(recording: Source | Speech, band: str | None) -> Speech:
    return recording if isinstance(recording, Speech) else prepare(recording, band)


def _moments(speech: Speech) -> np.ndarray:
    heard = np.maximum(features.log_mel(speech.samples).astype(float), FLOOR_DB)
    return np.stack([heard.mean(axis=1), (heard**2).mean(axis=1)])
