"""RoBERTa trained on GoEmotions (Demszky et al. 2020), from a local folder: 28 labels read as the served seven."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from emotion.checkpoint import BadCheckpoint
from emotion.estimate import EMOTIONS, Estimate
from emotion.hub.folder import library, opened, version

# The Ekman grouping that comes with the data set; its joy is our happiness.
GROUPS = {
    "anger": "anger annoyance disapproval",
    "disgust": "disgust",
    "fear": "fear nervousness",
    "happiness": "joy amusement approval excitement gratitude love optimism relief pride admiration desire caring",
    "neutral": "neutral",
    "sadness": "sadness disappointment embarrassment grief remorse",
    "surprise": "surprise realization confusion curiosity",
}
SERVED = {label: emotion for emotion, labels in GROUPS.items() for label in labels.split()}
LONGEST_TOKENS = 256


class NoWords(ValueError):
    """There is nothing to read in the text."""


class TextRecogniser:
    """Reads words with a `RobertaForSequenceClassification` of GoEmotions labels. Make it with `load`."""

    modality = "text"

    def __init__(self, network: Any, tokenizer: Any, columns: list[str], version: str) -> None:
        self.network, self.tokenizer, self.columns, self.version = network, tokenizer, columns, version

    @classmethod
    def load(cls, folder: str | os.PathLike) -> TextRecogniser:
        """The model in `folder`. Raises `checkpoint.NoModel`, `checkpoint.BadCheckpoint`."""
        network = opened(library().RobertaForSequenceClassification, folder).eval()
        labels = [network.config.id2label[index].lower() for index in sorted(network.config.id2label)]
        strange = sorted(set(labels) - set(SERVED))
        if strange:
            raise BadCheckpoint(f"{folder} has labels that are not of GoEmotions: {', '.join(strange[:3])}")
        tokenizer = opened(library().AutoTokenizer, folder)
        return cls(network, tokenizer, [SERVED[label] for label in labels], version("roberta-goemotions", folder))

    def predict(self, text: str) -> Estimate:
        """Read one text; raises `NoWords`. Quality is 1: a text is legible or there is none."""
        if not text.strip():
            raise NoWords("there are no words in the text")
        return Estimate(grouped(self._label_probabilities(text), self.columns), 1.0, self.version)

    def _label_probabilities(self, text: str) -> np.ndarray:
        """Of each label by itself, (L,): a comment may carry several, so they do not sum to 1."""
        import torch

        inputs = self.tokenizer(text, truncation=True, max_length=LONGEST_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            return self.network(**inputs).logits[0].sigmoid().double().numpy()


def grouped(labels: np.ndarray, columns: list[str]) -> np.ndarray:
    """Probabilities of labels, (L,), as a distribution over the served emotions, (7,).

    The probability that at least one label of a group applies, as if labels were independent, normalised.
    """
    none = np.ones(len(EMOTIONS))
    for probability, emotion in zip(labels, columns, strict=True):
        none[EMOTIONS.index(emotion)] *= 1 - probability
    some = np.maximum(1 - none, 1e-9)
    return some / some.sum()
