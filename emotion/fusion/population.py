"""What holds for everybody, and how it is learned from people other than those to be fused.

Shapes:  K classes   n clips   P people   a distribution is (K,)   equations: `best_modality`
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from emotion.calibration import fit_temperature, fit_temperatures, sharpen
from emotion.estimate import EMOTIONS
from emotion.fusion.stacked import Stacked
from emotion.fusion.strategy import Posteriors, logs, normalised, present
from emotion.reliability import Prior, fit_prior, translate

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
    """The simplest way of calibrating that no richer one beats on people left out by more than chance would.

    A richer way is taken only where its log loss is smaller by more than one standard error over people: maps are
    K² numbers and more, and what few people suggest about them need not hold for the next.
    """
    names, person = np.unique(people, return_inverse=True)
    if len(names) < FOLDS:
        return _by_temperature(posteriors, truth, people, classes)
    losses = {way: _loss_of_people(way, posteriors, truth, people, classes) for way in WAYS}
    chosen = WAYS[0]
    for way in WAYS[1:]:
        gains = losses[chosen] - losses[way]
        if gains.mean() > gains.std(ddof=1) / np.sqrt(len(gains)):
            chosen = way
    return chosen(posteriors, truth, people, classes)


def _loss_of_people(
    way: Callable[..., Population], posteriors: Posteriors, truth: np.ndarray, people: np.ndarray, classes: tuple
) -> np.ndarray:
    """Mean log loss of each person's clips, (P,), pooled by a population fitted without them; its best temperature."""
    names, person = np.unique(people, return_inverse=True)
    fold = np.random.default_rng(0).permutation(len(names))[person] % FOLDS
    losses = np.empty(len(truth))
    for away in (fold == f for f in range(FOLDS)):
        rest = {m: p[~away] for m, p in posteriors.items()}
        population = way(rest, truth[~away], people[~away], classes)
        pooled = _pooled({m: population.calibrated(m, p[away]) for m, p in posteriors.items()}, population)
        fitted = sharpen(pooled, 1 / fit_temperature(pooled, truth[away]))
        losses[away] = -logs(fitted[np.arange(away.sum()), truth[away]])
    return np.bincount(person, losses) / np.bincount(person)


def _by_temperature(
    posteriors: Posteriors, truth: np.ndarray, people: np.ndarray, classes: tuple[str, ...]
) -> Population:
    return Population(Prior(classes=classes), fit_temperatures(posteriors, truth, people))


def _by_maps(posteriors: Posteriors, truth: np.ndarray, people: np.ndarray, classes: tuple[str, ...]) -> Population:
    """Matrix scaling, each modality by itself.

    Maps give posteriors under the population's class frequencies, so these are the prior of equation (3).
    """
    here = {m: present(p) for m, p in posteriors.items()}
    maps = {
        m: Stacked(classes, penalties=(PENALTY,)).fit({m: p[here[m]]}, truth[here[m]], people[here[m]])
        for m, p in posteriors.items()
        if len(np.unique(truth[here[m]])) > 1
    }
    counts = np.bincount(truth, minlength=len(classes)) + 1.0
    return Population(Prior(classes=classes), maps=maps, prior=tuple((counts / counts.sum()).tolist()))


def _by_joint_maps(
    posteriors: Posteriors, truth: np.ndarray, people: np.ndarray, classes: tuple[str, ...]
) -> Population:
    """Matrix scaling of all modalities at once: what they say together is not counted twice.

    With the bias of the regression as prior, equation (3) with exponents of 1 is the stacked pool itself.
    """
    whole = np.all([present(p) for p in posteriors.values()], axis=0)
    if len(posteriors) < 2 or len(np.unique(truth[whole])) < len(classes):
        return _by_temperature(posteriors, truth, people, classes)
    together = Stacked(classes).fit({m: p[whole] for m, p in posteriors.items()}, truth[whole], people[whole])
    maps = {m: together.of(m) for m in posteriors}
    return Population(Prior(classes=classes), maps=maps, prior=tuple(normalised(together.bias_).tolist()))


WAYS: tuple[Callable[..., Population], ...] = (_by_temperature, _by_maps, _by_joint_maps)


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
