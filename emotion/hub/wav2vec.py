"""wav2vec 2.0 (Baevski et al. 2020) with an emotion head, from a local folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emotion.estimate import Estimate
from emotion.hub.folder import gathered, library, opened, served_columns, version
from emotion.recording import SAMPLE_RATE_HZ, Speech, prepare


class Wav2VecRecogniser:
    """Reads recordings with a `Wav2Vec2ForSequenceClassification` somebody else trained. Make it with `load`.

    Its confidence is the model's own and was not calibrated here: it never abstains.
    """

    modality = "voice"

    def __init__(self, network: Any, extractor: Any, columns: list[str | None], version: str) -> None:
        self.network, self.extractor, self.columns, self.version = network, extractor, columns, version

    @classmethod
    def load(cls, folder: str | os.PathLike, labels: Mapping[str, str] | None = None) -> Wav2VecRecogniser:
        """The model in `folder`. labels: served emotion of each of its labels, where they are spelled unusually.

        Raises `checkpoint.NoModel`, `checkpoint.BadCheckpoint`.
        """
        network = opened(library().Wav2Vec2ForSequenceClassification, folder).eval()
        columns = served_columns(network.config.id2label, labels)
        return cls(network, opened(library().Wav2Vec2FeatureExtractor, folder), columns, version("wav2vec2", folder))

    def predict(self, recording: bytes | str | Path | Speech) -> Estimate:
        """Read one recording; raises `UnusableRecording`."""
        speech = recording if isinstance(recording, Speech) else prepare(recording)
        return Estimate(self._distribution(speech.samples), speech.quality, self.version)

    def _distribution(self, samples: np.ndarray) -> np.ndarray:
        """samples: (N,) mono at 16 kHz -> (7,)."""
        import torch

        inputs = self.extractor(samples, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        with torch.inference_mode():
            logits = self.network(**inputs).logits[0]  # (L,)
        return gathered(logits.softmax(0).double().numpy(), self.columns)
