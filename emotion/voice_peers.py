"""What the voice network has to beat on the same people: an RBF-SVM on MFCC statistics, and a leak detector.

Shapes:  n clips   V disguises   S statistics (mean and deviation of MFCC + Δ + ΔΔ: 240)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emotion.voice_corpus import Corpus, shrink

COSTS = (1.0, 3.0, 10.0, 30.0)
# How many disguises of a clip the peer is trained on: itself alone, or every speed.
DISGUISES = (1, 5)


@dataclass
class StatisticsSVM:
    """RBF-SVM with the cost and the amount of augmentation that do best on the selection people.

    baseline_clips: with K > 0 every clip is read relative to K other clips of its person, z-scored and
    shrunk to the population: K clips by K / (K + prior_clips).
    """

    baseline_clips: int = 0
    prior_clips: float = 8.0
    seed: int = 0
    disguises: tuple[int, ...] = DISGUISES
    chosen: dict = field(default_factory=dict, init=False)
    model_: Pipeline | None = field(default=None, init=False, repr=False)
    population_: np.ndarray | None = field(default=None, init=False, repr=False)

    def fit(self, corpus: Corpus, rows: np.ndarray, selection_rows: np.ndarray) -> StatisticsSVM:
        """Learn from `rows`; settings are chosen on `selection_rows`."""
        self.population_ = moments(corpus.statistics[0, rows])
        truth = corpus.labels[selection_rows]
        held_out = self.relative(corpus, selection_rows, self._own_moments(corpus, selection_rows, 0))
        best = -1.0
        for disguises in self.disguises:
            inputs = np.concatenate(
                [self.relative(corpus, rows, self._own_moments(corpus, rows, v), v) for v in range(disguises)]
            )
            labels = np.tile(corpus.labels[rows], disguises)
            for cost in COSTS:
                model = make_pipeline(StandardScaler(), SVC(C=cost, class_weight="balanced")).fit(inputs, labels)
                found = balanced_accuracy_score(truth, model.predict(held_out))
                if found > best:
                    best, self.model_ = found, model
                    self.chosen = {"cost": cost, "disguises": disguises, "selection_uar": found}
        return self

    def predict(self, corpus: Corpus, rows: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
        """Class numbers, (n,). own: (2, S) moments of this person's K baseline clips."""
        assert self.model_ is not None, "fit first"
        return self.model_.predict(self.relative(corpus, rows, own))

    def relative(self, corpus: Corpus, rows: np.ndarray, own: np.ndarray | None, disguise: int = 0) -> np.ndarray:
        """Statistics (n, S) z-scored against shrunken personal moments, (2, S) or (n, 2, S); None: the population."""
        assert self.population_ is not None, "fit first"
        reference = (
            self.population_ if own is None else shrink(own, self.baseline_clips, self.population_, self.prior_clips)
        )
        mean, square = reference[..., 0, :], reference[..., 1, :]
        return (corpus.statistics[disguise, rows] - mean) / np.sqrt(np.maximum(square - mean**2, 1e-6))

    def _own_moments(self, corpus: Corpus, rows: np.ndarray, disguise: int) -> np.ndarray | None:
        """For every row the moments of K other clips of its person, drawn at random, (n, 2, S)."""
        if not self.baseline_clips:
            return None
        rng = np.random.default_rng([self.seed, disguise])
        people = corpus.people
        out = []
        for row in rows:
            others = rows[(people[rows] == people[row]) & (rows != row)]
            chosen = rng.choice(others, min(self.baseline_clips, len(others)), replace=False)
            out.append(moments(corpus.statistics[disguise, chosen]))
        return np.stack(out)


def moments(statistics: np.ndarray) -> np.ndarray:
    """Mean and mean square over clips: (n, S) to (2, S)."""
    wide = statistics.astype(np.float64)
    return np.stack([wide.mean(axis=0), (wide**2).mean(axis=0)])


def recording_leak(corpus: Corpus, rows: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Class numbers from the durations of file and speech and the corpus alone, (n,).

    What this reaches above chance can be had without listening, and bounds how much of a result may be
    an artefact of how the corpora were recorded and cut.
    """
    inputs = np.column_stack([np.log(corpus.durations_s), corpus.corpora == "ravdess"])
    model = make_pipeline(StandardScaler(), SVC(C=10.0, class_weight="balanced"))
    return model.fit(inputs[rows], corpus.labels[rows]).predict(inputs[judged])
