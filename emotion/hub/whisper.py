"""Whisper (Radford et al. 2022) from a local folder: what was said, where a study wants the words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from emotion.hub.folder import library, opened, version
from emotion.recording import SAMPLE_RATE_HZ, Speech, prepare

WINDOW_S = 30  # Whisper reads half a minute at a time


class Transcriber:
    """Turns recordings into words. Make it with `load`."""

    def __init__(self, network: Any, processor: Any, version: str) -> None:
        self.network, self.processor, self.version = network, processor, version

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Transcriber:
        """The model in `folder`. Raises `checkpoint.NoModel`, `checkpoint.BadCheckpoint`."""
        network = opened(library().WhisperForConditionalGeneration, folder).eval()
        return cls(network, opened(library().WhisperProcessor, folder), version("whisper", folder))

    def transcribe(self, recording: bytes | str | Path | Speech, language: str | None = None) -> str:
        """The words of one recording; raises `UnusableRecording`. language: as "en", or None: the model guesses."""
        speech = recording if isinstance(recording, Speech) else prepare(recording)
        window = WINDOW_S * SAMPLE_RATE_HZ
        parts = [speech.samples[start : start + window] for start in range(0, len(speech.samples), window)]
        return " ".join(filter(None, (self._words(part, language) for part in parts)))

    def _words(self, samples: Any, language: str | None) -> str:
        import torch

        inputs = self.processor(samples, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        asked = {"language": language} if language else {}
        with torch.inference_mode():
            tokens = self.network.generate(inputs.input_features, **asked)
        return str(self.processor.batch_decode(tokens, skip_special_tokens=True)[0]).strip()
