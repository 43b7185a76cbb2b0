"""The default: a log-linear pool whose exponents and confusions a person's own reliability sets.

Shapes:  K classes   n clips   a distribution is (K,)

Each modality's distribution p_m is first sharpened or softened by a population temperature, then read as this
person means it (emotion.reliability, equation 5). With quality q_m, the person's accuracy a_m and the
population's ā_m,

    g(a) = max(0, ln(a (K − 1) / (1 − a)))                                                          (1)
    e_m  = q_m · g(a_m) / g(ā_m)                                                                    (2)
    p    ∝ prior^(1 − Σ e) · Π p_m^{e_m}                                                            (3)

and one temperature for the fused distribution. g is the log-odds by which a label of accuracy a favours
its class when errors are spread evenly: in (2) a modality that is as good as usual speaks with its own
voice, one at chance is not heard, and a poor photo or recording is heard less. (3) treats the modalities as
independent given the emotion; the fused temperature takes back what that overstates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from emotion.calibration import fit_temperature, fit_temperatures, sharpen
from emotion.estimate import EMOTIONS
from emotion.fusion.stacked import Stacked
from emotion.fusion.strategy import Posteriors, Reading, Strategy, logs, normalised, present, shares
from emotion.reliability import Prior, Reliability, fit_prior, translate

FOLDS = 3
PENALTY = 0.003  # inverse ridge penalty of matrix scaling
STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 1e6)  # κ′ tried; the last: everybody is the population


@dataclass(frozen=True)
class Population:
    """What holds for everybody. The recognisers calibrate themselves, so their temperatures are 1 unless fitted.

    temperatures: per modality, 1 where missing.  fused_temperature: on the pooled distribution.
    maps: per modality, matrix scaling instead of the temperature, where that foretells other people better.
    prior: (K,) how common each class is, uniform if None.
    threshold: largest fused probability below which no label is shown.
    """

    reliability: Prior = field(default_factory=Prior)
    temperatures: Mapping[str, float] = field(default_factory=dict)
    fused_temperature: float = 1.0
    prior: tuple[float, ...] | None = None
    threshold: float = 0.40
    maps: Mapping[str, Stacked] = field(default_factory=dict)

    def prior_of(self, classes: int) -> np.ndarray:
        return np.full(classes, 1 / classes) if self.prior is None else np.asarray(self.prior, dtype=float)

    def calibrated(self, modality: str, distribution: np.ndarray) -> np.ndarray:
        """(…, K) -> (…, K)."""
        if modality in self.maps:
            return self.maps[modality].alone(modality, np.asarray(distribution, dtype=float))
        return sharpen(np.asarray(distribution, dtype=float), 1 / self.temperatures.get(modality, 1.0))


class BestModality(Strategy):
    """A person is a `Reliability`; the weight that is reported is e_m / Σ e."""

    name = "best_modality"
    personal = True

    def __init__(self, classes: Sequence[str] = EMOTIONS, population: Population | None = None) -> None:
        super().__init__(classes)
        self.population_ = population or Population(Prior(classes=self.classes))

    def fit(self, posteriors: Posteriors, truth: np.ndarray, people: np.ndarray) -> BestModality:
        self.population_ = fit_population(posteriors, truth, people, self.classes, self.population_.threshold)
        return self

    def start(self) -> Reliability:
        return Reliability(prior=self.population_.reliability)

    def learn(self, person: Reliability | None, readings: Mapping[str, Reading], truth: int) -> Reliability:
        """As after a random prompt."""
        calibrated = {m: self.population_.calibrated(m, r.distribution) for m, r in readings.items()}
        said = {m: self.classes[int(p.argmax())] for m, p in calibrated.items()}
        person = person or self.start()
        return person.after_prompt(said, self.classes[truth], at_days=person.at_days, distributions=calibrated)

    def pool(self, readings: Mapping[str, Reading], person: Reliability | None = None) -> np.ndarray:
        """Equation (3) and the fused temperature."""
        if not readings:
            return self.prior()
        exponents = self.exponents(readings, person)
        scores = (1 - sum(exponents.values())) * np.log(self.prior())
        for m, reading in readings.items():
            calibrated = self.population_.calibrated(m, reading.distribution)
            meant = person.translated(m, calibrated) if person else calibrated
            scores = scores + exponents[m] * logs(meant)
        return normalised(scores / self.population_.fused_temperature)

    def weights(self, readings: Mapping[str, Reading], person: Reliability | None = None) -> dict[str, float]:
        return shares(self.exponents(readings, person))

    def exponents(self, readings: Mapping[str, Reading], person: Reliability | None) -> dict[str, float]:
        """Equations (1) and (2)."""
        person, size = person or self.start(), len(self.classes)
        usual = {m: log_odds(self.population_.reliability.accuracies[m], size) for m in readings}
        own = {m: log_odds(person.accuracy(m), size) for m in readings}
        return {m: r.quality * (own[m] / usual[m] if usual[m] else 0.0) for m, r in readings.items()}

    def prior(self) -> np.ndarray:
        return self.population_.prior_of(len(self.classes))


def log_odds(accuracy: float, classes: int) -> float:
    """g of equation (1): 0 at chance and below."""
    accuracy = min(max(accuracy, 1e-9), 1 - 1e-9)
    return max(0.0, math.log(accuracy * (classes - 1) / (1 - accuracy)))


def fit_population(
    posteriors: Posteriors,
    truth: np.ndarray,
    people: np.ndarray,
    classes: Sequence[str] = EMOTIONS,
    threshold: float = 0.40,
) -> Population:
    """Everything but the person, from people other than those to be fused. truth: (n,) class numbers."""
    population = _calibration(posteriors, truth, people, tuple(classes))
    calibrated = {m: population.calibrated(m, p) for m, p in posteriors.items()}
    prior = _reliability(calibrated, truth, people, tuple(classes))
    population = replace(population, reliability=prior, threshold=threshold)
    population = replace(population, fused_temperature=fit_temperature(_pooled(calibrated, population), truth))
    strength = min(STRENGTHS, key=lambda s: _surprise(calibrated, truth, people, population, s))
    return replace(population, reliability=replace(prior, confusion_strength=strength))


def _calibration(posteriors: Posteriors, truth: np.ndarray, people: np.ndarray, classes: tuple[str, ...]) -> Population:
    """Temperatures or matrix scaling, whichever pools to the smaller log loss on people left out."""
    ways = (_by_temperature, _by_matrix)
    _, person = np.unique(people, return_inverse=True)
    fold = np.random.default_rng(0).permutation(person.max() + 1)[person] % FOLDS
    if person.max() + 1 < FOLDS:
        return _by_temperature(posteriors, truth, people, classes)

    def loss(way: Callable[..., Population]) -> float:
        total = 0.0
        for held_out in (fold == f for f in range(FOLDS)):
            population = way(
                {m: p[~held_out] for m, p in posteriors.items()}, truth[~held_out], people[~held_out], classes
            )
            pooled = _pooled({m: population.calibrated(m, p[held_out]) for m, p in posteriors.items()}, population)
            fitted = sharpen(
                pooled, 1 / fit_temperature(pooled, truth[held_out])
            )  # both ways get their best temperature
            total -= logs(fitted[np.arange(held_out.sum()), truth[held_out]]).sum()
        return total

    return min(ways, key=loss)(posteriors, truth, people, classes)


def _by_temperature(
    posteriors: Posteriors, truth: np.ndarray, people: np.ndarray, classes: tuple[str, ...]
) -> Population:
    return Population(Prior(classes=classes), fit_temperatures(posteriors, truth, people))


def _by_matrix(posteriors: Posteriors, truth: np.ndarray, people: np.ndarray, classes: tuple[str, ...]) -> Population:
    """Maps give posteriors under the population's class frequencies, so these are the prior of equation (3)."""
    here = {m: present(p) for m, p in posteriors.items()}
    maps = {
        m: Stacked(classes, penalties=(PENALTY,)).fit({m: p[here[m]]}, truth[here[m]], people[here[m]])
        for m, p in posteriors.items()
        if len(np.unique(truth[here[m]])) > 1
    }
    counts = np.bincount(truth, minlength=len(classes)) + 1.0
    return Population(Prior(classes=classes), maps=maps, prior=tuple((counts / counts.sum()).tolist()))


def _pooled(calibrated: Posteriors, population: Population) -> np.ndarray:
    """Equation (3) with all exponents 1: (n, K)."""
    here = np.array([present(p) for p in calibrated.values()])
    prior = population.prior_of(len(population.reliability.classes))
    scores = np.sum([logs(np.nan_to_num(p, nan=1.0)) for p in calibrated.values()], axis=0)
    return normalised(scores + (1 - here.sum(0))[:, None] * np.log(prior))


def _reliability(calibrated: Posteriors, truth: np.ndarray, people: np.ndarray, classes: tuple[str, ...]) -> Prior:
    accuracies, strengths, confusions = {}, [], {}
    _, person = np.unique(people, return_inverse=True)
    for m, p in calibrated.items():
        here = present(p)
        right, asked = (
            np.bincount(person[i], minlength=person.max() + 1) for i in (here & (p.argmax(1) == truth), here)
        )
        accuracies[m], strength = fit_prior(right[asked > 0], asked[asked > 0])
        accuracies[m] = min(max(accuracies[m], 0.01), 0.99)
        strengths.append(strength)
        confusions[m] = _confusion(p[here], truth[here], len(classes))
    return Prior(accuracies, float(np.exp(np.mean(np.log(strengths)))), classes=classes, confusions=confusions)


def _confusion(p: np.ndarray, truth: np.ndarray, size: int) -> tuple[tuple[float, ...], ...]:
    """Mean distribution per true class, smoothed by half a clip of the overall mean: (K, K), rows = truth."""
    sums = np.zeros((size, size))
    np.add.at(sums, truth, p)
    sums += 0.5 * np.maximum(p.mean(0), 1e-6)
    return tuple(map(tuple, (sums / sums.sum(1, keepdims=True)).tolist()))


def _surprise(
    calibrated: Posteriors, truth: np.ndarray, people: np.ndarray, population: Population, strength: float
) -> float:
    """Summed log loss of predicting each clip from the same person's earlier ones, in a seeded random order."""
    total = 0.0
    for number, person in enumerate(np.unique(people)):
        order = np.random.default_rng(number).permutation(np.flatnonzero(people == person))
        total += _surprise_of_one({m: p[order] for m, p in calibrated.items()}, truth[order], population, strength)
    return total


def _surprise_of_one(calibrated: Posteriors, truth: np.ndarray, population: Population, strength: float) -> float:
    size, prior = len(population.reliability.classes), population.reliability
    base = np.log(population.prior_of(size))
    scores = np.tile(base, (len(truth), 1))
    for m, p in calibrated.items():
        here, filled = present(p), np.nan_to_num(p, nan=0.0)
        seen = _before(np.eye(size)[truth][:, :, None] * filled[:, None, :])
        right, asked = _before(here & (filled.argmax(1) == truth)), _before(here)
        own = (prior.accuracies[m] * prior.strength + right) / (prior.strength + asked)
        usual = log_odds(prior.accuracies[m], size)
        exponents = np.array([log_odds(a, size) / usual if usual else 0.0 for a in own])
        meant = translate(np.where(here[:, None], filled, 1 / size), seen, prior.confusion(m), strength)
        scores += np.where(here, exponents, 0)[:, None] * (logs(meant) - base)
    pooled = normalised(scores / population.fused_temperature)
    return float(-logs(pooled[np.arange(len(truth)), truth]).sum())


def _before(values: np.ndarray) -> np.ndarray:
    """Sums over the rows above each row."""
    return np.cumsum(values, axis=0) - values
