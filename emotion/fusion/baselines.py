"""What every fusion must beat: the mean, the product and the best single modality, on distributions as given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from emotion.fusion.strategy import Posteriors, Reading, Strategy, logs, normalised, present


class Mean(Strategy):
    """The arithmetic mean of the distributions."""

    name = "mean"

    def pool(self, readings: Mapping[str, Reading], person: Any = None) -> np.ndarray:
        return np.mean([r.distribution for r in readings.values()], axis=0) if readings else self.prior()


class Product(Strategy):
    """The distributions multiplied and normalised: independent modalities under a uniform prior."""

    name = "product"

    def pool(self, readings: Mapping[str, Reading], person: Any = None) -> np.ndarray:
        if not readings:
            return self.prior()
        return normalised(np.sum([logs(r.distribution) for r in readings.values()], axis=0))


class BestSingle(Strategy):
    """Of the modalities present, the one that is most often right in the population; the others are not heard."""

    name = "best_single"
    accuracies_: Mapping[str, float] = {}

    def fit(self, posteriors: Posteriors, truth: np.ndarray, people: np.ndarray) -> BestSingle:
        self.accuracies_ = {
            m: float((p[present(p)].argmax(1) == truth[present(p)]).mean()) if present(p).any() else 0.0
            for m, p in posteriors.items()
        }
        return self

    def pool(self, readings: Mapping[str, Reading], person: Any = None) -> np.ndarray:
        return readings[self._best(readings)].distribution if readings else self.prior()

    def weights(self, readings: Mapping[str, Reading], person: Any = None) -> dict[str, float]:
        return {m: float(m == self._best(readings)) for m in readings}

    def _best(self, readings: Mapping[str, Reading]) -> str:
        return min(readings, key=lambda m: (-self.accuracies_.get(m, 0.0), m))
