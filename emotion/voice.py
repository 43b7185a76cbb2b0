"""The voice recogniser: a recording in, an estimate of the expressed emotion out.

Decode → 16 kHz mono → level → band-pass → trim → quality → log-mel → network, whose answer is read against
what is usual for everybody or for this person. Neither librosa nor torch is needed: the network runs on ONNX
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
from emotion.recording import Speech, UnusableRecording, prepare
from emotion.serving import runtime
from emotion.serving.runtime import Network

__all__ = ["UnusableRecording", "VoiceBaseline", "VoiceRecogniser"]

Source = bytes | str | Path
LEAST_QUALITY = 0.15


@dataclass(frozen=True)
class VoiceBaseline:
    """How a person usually sounds: the average over K earlier clips, best of neutral calibration check-ins.

    logits: (7,), how far the person's usual voice lies from everybody's. The network's last layer is linear, so taking
    this off the logits is taking the person's mean off the features beneath, and seven numbers are all that is kept.
    network, band: which version heard the clips, and through which filter; to others the numbers say nothing.
    """

    clips: int
    logits: np.ndarray
    network: str
    band: str | None = field(default="wide", kw_only=True)

    @classmethod
    def pooled(cls, baselines: Sequence[VoiceBaseline], band: str | None = "wide") -> VoiceBaseline:
        """Of all their clips together, each with the same weight.

        Clips heard through another filter, or by another network than the latest one, are left out.
        """
        alike = [baseline for baseline in baselines if baseline.band == band and baseline.clips]
        if not alike:
            return cls(0, np.zeros(0), "", band=band)
        alike = [baseline for baseline in alike if baseline.network == alike[-1].network]
        clips = np.array([baseline.clips for baseline in alike])
        logits = np.average([baseline.logits for baseline in alike], axis=0, weights=clips)
        return cls(int(clips.sum()), logits, alike[-1].network, band=band)

    def shrunken(self, prior_clips: float) -> np.ndarray:
        """What to read against, (7,): everybody's 0 for K = 0, the person's mean as K grows: K / (K + prior_clips)."""
        return self.logits * self.clips / (self.clips + prior_clips)

    def to_json(self) -> dict[str, Any]:
        logits = [float(f"{value:.5g}") for value in self.logits]
        return {"clips": self.clips, "logits": logits, "network": self.network, "band": self.band}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> VoiceBaseline:
        """A clip stored by a version that kept other numbers counts as none."""
        if "logits" not in stored:
            return cls(0, np.zeros(0), "", band=stored.get("band", "wide"))
        return cls(int(stored["clips"]), np.array(stored["logits"]), stored["network"], band=stored["band"])


def version_of(card: Mapping[str, Any]) -> str:
    """What estimates are marked with: the network and its weights."""
    return f"{card['network']}-{card['sha256'][:8]}"


class VoiceRecogniser:
    """Reads recordings with one trained network. Make it with `load`, in the process that uses it."""

    def __init__(
        self,
        network: Network,
        card: Mapping[str, Any],
        guard: strangers.Guard | None = None,
    ):
        """guard: what refuses strangers; without one nothing is."""
        self.network = network
        self.guard = guard
        self.card = card
        self.band = card["band"]
        self.temperature = float(card["temperature"])
        self.threshold = float(card["abstention"]["threshold"])
        self.prior_clips = float(card["prior_clips"])
        self.everybody = np.array(card["everybody"], dtype=float)  # (7,), the logits of everybody's mean voice
        self.version = version_of(card)

    @classmethod
    def load(cls, path: str | os.PathLike | None = None, engine: str = "auto") -> VoiceRecogniser:
        """The network at `path`, or the one that ships. Raises `checkpoint.NoModel`, `checkpoint.BadCheckpoint`.

        engine: "onnx", "torch", or "auto" (emotion.serving.runtime.load).
        """
        path = path or checkpoint.default_path("voice")
        network, card = runtime.load(path, "compact_voice", engine)
        return cls(network, card, strangers.load(path, card))

    def predict(self, recording: Source | Speech, baseline: VoiceBaseline | None = None) -> Estimate:
        """Read one recording: a file's bytes, its path, or speech that `recording.extract` gave through `band`.

        baseline: one that another network or filter heard, or that has no clips, changes nothing.
        Raises `UnusableRecording`.
        """
        speech = _listen(recording, self.band)
        spectrum = features.log_mel(speech.samples)
        logits, inner = self.hear(spectrum)
        without = self._calibrated(logits)
        if baseline and not self._knows(baseline):
            baseline = None
        probabilities = self._calibrated(logits, baseline)
        stranger = self._judge(speech, spectrum, inner)
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
            without_baseline=without if baseline else None,
            usual=self._usual(logits).to_json(),
        )

    def baseline(self, recordings: Iterable[Source | Speech]) -> VoiceBaseline:
        """A person's baseline from K recordings; one that is unusable raises `UnusableRecording`."""
        heard = (self.hear(features.log_mel(_listen(recording, self.band).samples))[0] for recording in recordings)
        return VoiceBaseline.pooled([self._usual(logits) for logits in heard], self.band)

    def read(self, log_mel_db: np.ndarray, baseline: VoiceBaseline | None = None) -> np.ndarray:
        """Calibrated probabilities (7,) of one spectrum (M, T) in dB."""
        return self._calibrated(self.hear(log_mel_db)[0], baseline)

    def hear(self, log_mel_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits (1, 7), and features of the network's last layer (1, F), of one spectrum (M, T) in dB."""
        logits, inner = self.network(np.asarray(log_mel_db, np.float32)[None])
        return logits.astype(float), inner.astype(float)

    def _usual(self, logits: np.ndarray) -> VoiceBaseline:
        return VoiceBaseline(1, logits[0] - self.everybody, self.version, band=self.band)

    def _calibrated(self, logits: np.ndarray, baseline: VoiceBaseline | None = None) -> np.ndarray:
        own = baseline.shrunken(self.prior_clips) if baseline else 0.0
        return softmax((logits[0] - own) / self.temperature)

    def _knows(self, baseline: VoiceBaseline) -> bool:
        return bool(baseline.clips) and (baseline.network, baseline.band) == (self.version, self.band)

    def _judge(self, speech: Speech, log_mel_db: np.ndarray, inner: np.ndarray) -> dict[str, Any] | None:
        """Read against everybody, not the person: what a guard knows is people, whoever they are."""
        if self.guard is None:
            return None
        return self.guard.judge(strangers.of_voice(speech.samples, log_mel_db, inner))[0]


def _listen(recording: Source | Speech, band: str | None) -> Speech:
    return recording if isinstance(recording, Speech) else prepare(recording, band)
