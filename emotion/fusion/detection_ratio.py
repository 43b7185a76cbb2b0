"""The detection-ratio rule of a graph-convolution system, as printed.

Per modality and class, over the population's clips: DR = TP / (TP + TN + FP + FN), W = 1 − DR, and the
fused score of a class is S = Σ_m W_m P_m; the largest wins. S is normalised here into a distribution.

Where it behaves badly: the denominator is the number of all clips, so DR is at most the share of the class,
1/K when classes are balanced, and hardly depends on how good a modality is; and W = 1 − DR *lowers* the voice
of the modality that detects a class more often. What is left is nearly the mean, tilted to the weaker one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotion.estimate import EMOTIONS
from emotion.fusion.strategy import Posteriors, Reading, Strategy, present, shares


class DetectionRatio(Strategy):
    """Unfitted, W = 1 everywhere: the mean."""

    name = "detection_ratio"

    def __init__(self, classes: Sequence[str] = EMOTIONS) -> None:
        super().__init__(classes)
        self.ratios_: dict[str, np.ndarray] = {}  # modality -> (K,)

    def fit(self, posteriors: Posteriors, truth: np.ndarray, people: np.ndarray) -> DetectionRatio:
        self.ratios_ = {m: self._ratio(p[present(p)], truth[present(p)]) for m, p in posteriors.items()}
        return self

    def _ratio(self, posterior: np.ndarray, truth: np.ndarray) -> np.ndarray:
        right = truth[posterior.argmax(1) == truth]
        return np.bincount(right, minlength=len(self.classes)) / max(len(truth), 1)

    def pool(self, readings: Mapping[str, Reading], person: Any = None) -> np.ndarray:
        if not readings:
            return self.prior()
        score = np.sum([self._heard(m, r) for m, r in readings.items()], axis=0)
        return score / score.sum()

    def weights(self, readings: Mapping[str, Reading], person: Any = None) -> dict[str, float]:
        """By what each modality brings to the sum of all scores."""
        return shares({m: float(self._heard(m, r).sum()) for m, r in readings.items()})

    def _heard(self, modality: str, reading: Reading) -> np.ndarray:
        return (1 - self.ratios_.get(modality, np.zeros(len(self.classes)))) * reading.distribution
