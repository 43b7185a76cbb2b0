"""The text recogniser: a line of text in, an estimate of the emotion its words express out. NumPy alone.

Quality is the share of words that stood in the training texts three times or more. Below .6 the text is refused: it
is likely in another language, about which this network knows nothing. That refuses 0.8 % of the GoEmotions test
comments and 92 % of the German and Spanish sentences among the fixtures (2026-11-21).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from emotion import checkpoint, words
from emotion.estimate import Estimate

LEAST_KNOWN = 0.6
FEWEST_WORDS = 2


class UnusableText(Exception):
    """The text cannot be read; `code` is stable, `message` says what the person can do."""

    MESSAGES = {
        "too_few_words": "There were too few words. Write a whole sentence.",
        "other_language": "The words are not known here. Text is read in English only.",
    }

    def __init__(self, code: str) -> None:
        self.code, self.message = code, self.MESSAGES[code]
        super().__init__(self.message)


class TextRecogniser:
    """Reads texts with one trained network. Make it with `load`."""

    def __init__(self, arrays: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> None:
        self.arrays = arrays
        self.card = card
        self.temperature = float(card["temperature"])
        self.threshold = float(card["abstention"]["threshold"])

    @classmethod
    def load(cls, path: Path | None = None) -> TextRecogniser:
        """Raises NoModel and BadCheckpoint."""
        return cls(*checkpoint.load_arrays(path or checkpoint.default_path("text")))

    @property
    def version(self) -> str:
        return f"{self.card['network']}-{self.card['sha256'][:8]}"

    def predict(self, text: str) -> Estimate:
        """Raises UnusableText with a reason the person can act on."""
        if len([word for word in words.words(text) if word[0].isalpha()]) < FEWEST_WORDS:
            raise UnusableText("too_few_words")
        known = words.known_share(text, self.arrays["known"])
        if known < LEAST_KNOWN:
            raise UnusableText("other_language")
        p = softmax(self.logits(text) / self.temperature)
        return Estimate(p, known, self.version, abstained=bool(p.max() < self.threshold))

    def logits(self, text: str) -> np.ndarray:
        """(K,), as `networks.compact_text` computes them."""
        a = self.arrays
        x = np.stack([a["grams.weight"][bag].mean(axis=0) for bag in words.ngrams(text)]) * a["grams.scale"]  # (W, D)
        near = np.pad(x, ((1, 1), (0, 0)))
        windows = np.stack([near[:-2], near[1:-1], near[2:]], axis=2)  # (W, D, 3)
        h = np.maximum(np.einsum("wdk,hdk->wh", windows, a["phrase.weight"]) + a["phrase.bias"], 0)
        weight = softmax(h @ a["attend.weight"][0] + a["attend.bias"][0])  # (W,)
        return a["judge.weight"] @ np.concatenate([weight @ h, h.max(axis=0)]) + a["judge.bias"]
