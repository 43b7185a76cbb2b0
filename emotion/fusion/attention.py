"""Learned attention over the modalities: what a modality says decides how far it is listened to.

s_m = u_m · [p_m, H(p_m)/ln K, 1],   α = softmax over the modalities present,   p = Σ_m α_m p_m
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import optimize, special

from emotion.estimate import EMOTIONS
from emotion.fusion.strategy import LEAST, Posteriors, Reading, Strategy, logs, present

ABSENT = -1e9  # score of a modality that is not there


class Attention(Strategy):
    """ridge: penalty on u, which is fitted by least negative log-likelihood. Unfitted it is the mean."""

    name = "attention"

    def __init__(self, classes: Sequence[str] = EMOTIONS, ridge: float = 1.0) -> None:
        super().__init__(classes)
        self.ridge = ridge
        self.queries_: dict[str, np.ndarray] = {}  # modality -> u_m (K + 2,)

    def fit(self, posteriors: Posteriors, truth: np.ndarray, people: np.ndarray) -> Attention:
        names = sorted(posteriors)
        here = np.array([present(posteriors[m]) for m in names])  # (M, n)
        p = np.array([np.nan_to_num(posteriors[m], nan=1 / len(self.classes)) for m in names])  # (M, n, K)
        features = _features(p)  # (M, n, K + 2)
        said = np.maximum(p[:, np.arange(len(truth)), truth], LEAST)  # (M, n): what each gave the truth

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            queries = flat.reshape(len(names), -1)
            scores = np.where(here, np.einsum("mnf,mf->mn", features, queries), ABSENT)
            attention = special.softmax(scores, axis=0)
            fused = (attention * said).sum(0)
            slope = -attention * (said / fused - 1) * here  # d loss / d scores
            gradient = np.einsum("mn,mnf->mf", slope, features) + self.ridge * queries
            return -np.log(fused).sum() + self.ridge * (queries**2).sum() / 2, gradient.ravel()

        found = optimize.minimize(loss, np.zeros(features.shape[2] * len(names)), jac=True, method="L-BFGS-B")
        self.queries_ = dict(zip(names, found.x.reshape(len(names), -1), strict=True))
        return self

    def pool(self, readings: Mapping[str, Reading], person: Any = None) -> np.ndarray:
        if not readings:
            return self.prior()
        attention = self.weights(readings)
        return np.sum([attention[m] * r.distribution for m, r in readings.items()], axis=0)

    def weights(self, readings: Mapping[str, Reading], person: Any = None) -> dict[str, float]:
        scores = [_features(r.distribution) @ self._query(m) for m, r in readings.items()]
        return dict(zip(readings, map(float, special.softmax(scores)), strict=True))

    def _query(self, modality: str) -> np.ndarray:
        return self.queries_.get(modality, np.zeros(len(self.classes) + 2))


def _features(p: np.ndarray) -> np.ndarray:
    """(…, K) -> (…, K + 2)."""
    entropy = -(p * logs(p)).sum(-1, keepdims=True) / np.log(p.shape[-1])
    return np.concatenate([p, entropy, np.ones_like(entropy)], axis=-1)
