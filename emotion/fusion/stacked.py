"""Stacking (Wolpert 1992): a multinomial logistic regression reads the log-probabilities of all modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotion.estimate import EMOTIONS
from emotion.fusion.strategy import Posteriors, Reading, Strategy, logs, normalised, shares

PENALTIES = (0.0003, 0.003, 0.03)


class Stacked(Strategy):
    """A missing modality enters as a flat one. Unfitted it is the product.

    penalties: inverse ridge penalties tried; the one of least log loss on held-out people is taken.
    """

    name = "stacked"

    def __init__(self, classes: Sequence[str] = EMOTIONS, penalties: Sequence[float] = PENALTIES) -> None:
        super().__init__(classes)
        self.penalties = tuple(penalties)
        self.blocks_: dict[str, np.ndarray] = {}  # modality -> (K, K): from centred log-probabilities to scores
        self.bias_ = np.zeros(len(self.classes))

    def fit(self, posteriors: Posteriors, truth: np.ndarray, people: np.ndarray) -> Stacked:
        from sklearn.linear_model import LogisticRegression

        features = np.hstack([np.nan_to_num(_centred(posteriors[m])) for m in sorted(posteriors)])
        model = LogisticRegression(C=self._penalty(features, truth, people), max_iter=1000).fit(features, truth)
        two = len(model.classes_) == 2  # one row of coefficients stands for both
        weights = np.zeros((len(self.classes), features.shape[1]))
        weights[model.classes_] = np.vstack([-model.coef_, model.coef_]) / 2 if two else model.coef_
        self.bias_ = np.full(len(self.classes), logs(np.zeros(1))[0])  # a class never seen
        self.bias_[model.classes_] = np.append(-model.intercept_, model.intercept_) / 2 if two else model.intercept_
        self.blocks_ = dict(zip(sorted(posteriors), np.split(weights, len(posteriors), axis=1), strict=True))
        return self

    def _penalty(self, features: np.ndarray, truth: np.ndarray, people: np.ndarray) -> float:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GroupKFold, cross_val_predict

        folds, (_, counts) = min(5, len(np.unique(people))), np.unique(truth, return_counts=True)
        if folds < 2 or counts.min() < folds or len(self.penalties) == 1:
            return self.penalties[0]

        def loss(penalty: float) -> float:
            model = LogisticRegression(C=penalty, max_iter=1000)
            p = cross_val_predict(model, features, truth, groups=people, cv=GroupKFold(folds), method="predict_proba")
            return -float(logs(p[np.arange(len(truth)), np.unique(truth, return_inverse=True)[1]]).mean())

        return min(self.penalties, key=loss)

    def pool(self, readings: Mapping[str, Reading], person: Any = None) -> np.ndarray:
        if not readings:
            return self.prior()
        scores = [self._block(m) @ _centred(r.distribution) for m, r in readings.items()]
        return normalised(np.sum(scores, axis=0) + self.bias_)

    def alone(self, modality: str, distributions: np.ndarray) -> np.ndarray:
        """One modality read by itself, (…, K): matrix scaling (Guo et al. 2017)."""
        return normalised(_centred(distributions) @ self._block(modality).T + self.bias_)

    def of(self, modality: str) -> Stacked:
        """What was learned together, for one modality: its block, and the common bias."""
        one = Stacked(self.classes, self.penalties)
        one.blocks_, one.bias_ = {modality: self._block(modality)}, self.bias_
        return one

    def weights(self, readings: Mapping[str, Reading], person: Any = None) -> dict[str, float]:
        """By the size of the coefficients: their Frobenius norm."""
        return shares({m: float(np.linalg.norm(self._block(m))) for m in readings})

    def _block(self, modality: str) -> np.ndarray:
        return self.blocks_.get(modality, np.eye(len(self.classes)))


def _centred(distribution: np.ndarray) -> np.ndarray:
    scores = logs(distribution)
    return scores - scores.mean(axis=-1, keepdims=True)
