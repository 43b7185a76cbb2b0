"""Stacking (Wolpert 1992): a multinomial logistic regression reads the log-probabilities of all modalities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from emotion.fusion.strategy import Posteriors, Reading, Strategy, logs, normalised, shares


class Stacked(Strategy):
    """C: inverse of the ridge penalty. A missing modality enters as a flat one. Unfitted it is the product."""

    name = "stacked"

    def __init__(self, classes=(), C: float = 0.003) -> None:
        super().__init__(*([classes] if classes else []))
        self.C = C
        self.blocks_: dict[str, np.ndarray] = {}  # modality -> (K, K): from centred log-probabilities to scores
        self.bias_ = np.zeros(len(self.classes))

    def fit(self, posteriors: Posteriors, truth: np.ndarray, people: np.ndarray) -> Stacked:
        from sklearn.linear_model import LogisticRegression

        features = np.hstack([np.nan_to_num(_centred(posteriors[m])) for m in sorted(posteriors)])
        model = LogisticRegression(C=self.C, max_iter=1000).fit(features, truth)
        size = len(self.classes)
        weights, bias = np.zeros((size, features.shape[1])), np.full(size, -np.inf)
        if len(model.classes_) == 2:  # one row of coefficients stands for both
            weights[model.classes_], bias[model.classes_] = (
                np.vstack([-model.coef_, model.coef_]) / 2,
                np.append(-model.intercept_, model.intercept_) / 2,
            )
        else:
            weights[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
        self.blocks_ = dict(zip(sorted(posteriors), np.split(weights, len(posteriors), axis=1), strict=True))
        self.bias_ = bias
        return self

    def pool(self, readings: Mapping[str, Reading], person: Any = None) -> np.ndarray:
        if not readings:
            return self.prior()
        scores = [self._block(m) @ _centred(r.distribution) for m, r in readings.items()]
        return normalised(np.sum(scores, axis=0) + self.bias_)

    def weights(self, readings: Mapping[str, Reading], person: Any = None) -> dict[str, float]:
        """By the size of the coefficients: their Frobenius norm."""
        return shares({m: float(np.linalg.norm(self._block(m))) for m in readings})

    def _block(self, modality: str) -> np.ndarray:
        return self.blocks_.get(modality, np.eye(len(self.classes)))


def _centred(distribution: np.ndarray) -> np.ndarray:
    scores = logs(distribution)
    return scores - scores.mean(axis=-1, keepdims=True)
