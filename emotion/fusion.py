"""One estimate from several: a log-linear pool whose exponents a person's own reliability sets.

Shapes:  K classes   a distribution is (K,)

`best_modality`, the default. Each modality's distribution p_m is first sharpened or softened by a
population temperature. With quality q_m, the person's accuracy a_m and the population's ā_m,

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from emotion.calibration import fit_temperature, sharpen
from emotion.estimate import EMOTIONS, Estimate
from emotion.reliability import Prior, Reliability

VERSION = "fusion-1"


@dataclass(frozen=True)
class Population:
    """What holds for everybody. The recognisers calibrate themselves, so their temperatures are 1 unless fitted.

    temperatures: per modality, 1 where missing.  fused_temperature: on the pooled distribution.
    prior: (K,) how common each class is, uniform if None.
    threshold: largest fused probability below which no label is shown.
    """

    reliability: Prior = field(default_factory=Prior)
    temperatures: Mapping[str, float] = field(default_factory=dict)
    fused_temperature: float = 1.0
    prior: tuple[float, ...] | None = None
    threshold: float = 0.40

    def prior_of(self, classes: int) -> np.ndarray:
        return np.full(classes, 1 / classes) if self.prior is None else np.asarray(self.prior, dtype=float)


@dataclass(frozen=True)
class Fused:
    """A fused estimate and how it came about.

    weights: e_m / Σe per modality present, summing to 1.
    contributions: exact Shapley values of the log-odds of the fused winner, in nats; they sum to its
    log-odds under all modalities minus that under the prior.
    best_modality, probability_best: which modality is most probably right about this person, and how sure
    that is; None without any modality.
    disparity: Jensen–Shannon divergence of face and voice in bits, [0, 1]; None unless both are there.
    """

    estimate: Estimate
    weights: dict[str, float]
    contributions: dict[str, float]
    best_modality: str | None
    probability_best: float | None
    disparity: float | None


@dataclass(frozen=True)
class Evidence:
    """One modality as the strategies see it: a calibrated distribution (K,) and its exponent."""

    distribution: np.ndarray
    exponent: float


# A strategy pools any subset of the modalities; the prior (K,) stands for those that are absent.
Strategy = Callable[[Mapping[str, Evidence], np.ndarray, Population], np.ndarray]


def fuse(
    estimates: Mapping[str, Estimate],
    reliability: Reliability | None = None,
    *,
    strategy: str = "best_modality",
    population: Population | None = None,
) -> Fused:
    """Fuse the estimates of one check-in, by modality name; the order of the mapping does not matter.

    reliability: this person's posterior; without one, or without any label in it, the population's weights.
    One modality is fused with the prior by its quality. None at all gives the prior, abstained.
    """
    population = population or Population()
    reliability = reliability or Reliability(prior=population.reliability)
    modalities = sorted(estimates)
    prior = population.prior_of(len(EMOTIONS))
    evidence = {
        m: weigh(estimates[m].probabilities, estimates[m].quality, m, reliability, population) for m in modalities
    }
    pool = STRATEGIES[strategy]
    probabilities = pool(evidence, prior, population)
    best = reliability.best(modalities) if modalities else None
    return Fused(
        estimate=_estimate(probabilities, estimates, population, strategy),
        weights=_weights(evidence) if strategy == "best_modality" else {m: 1 / len(evidence) for m in modalities},
        contributions=shapley(evidence, prior, population, pool, int(probabilities.argmax())),
        best_modality=best,
        probability_best=reliability.probability_best(best, modalities) if best else None,
        disparity=_disparity(estimates),
    )


def _estimate(
    probabilities: np.ndarray, estimates: Mapping[str, Estimate], population: Population, strategy: str
) -> Estimate:
    unsure = probabilities.max() < population.threshold or all(e.abstained for e in estimates.values())
    versions = "+".join(estimates[m].model_version for m in sorted(estimates))
    return Estimate(
        probabilities=probabilities,
        quality=1.0,
        model_version=f"{VERSION}:{strategy}({versions})",
        abstained=bool(unsure),
    )


def weigh(
    distribution: np.ndarray, quality: float, modality: str, reliability: Reliability, population: Population
) -> Evidence:
    """Equations (1) and (2) for one modality."""
    distribution = np.asarray(distribution, dtype=float)
    calibrated = sharpen(distribution, 1 / population.temperatures.get(modality, 1.0))
    usual = log_odds(population.reliability.accuracies[modality], len(distribution))
    own = log_odds(reliability.accuracy(modality), len(distribution))
    return Evidence(calibrated, quality * (own / usual if usual else 0.0))


def log_odds(accuracy: float, classes: int) -> float:
    """g of equation (1): 0 at chance and below."""
    return max(0.0, math.log(accuracy * (classes - 1) / (1 - accuracy)))


def pool_best_modality(evidence: Mapping[str, Evidence], prior: np.ndarray, population: Population) -> np.ndarray:
    """Equation (3) and the fused temperature."""
    if not evidence:
        return prior
    total = sum(e.exponent for e in evidence.values())
    logs = (1 - total) * np.log(prior)
    for one in evidence.values():
        logs = logs + one.exponent * np.log(np.maximum(one.distribution, 1e-12))
    return _normalised(logs / population.fused_temperature)


def pool_product(evidence: Mapping[str, Evidence], prior: np.ndarray, population: Population) -> np.ndarray:
    """Baseline: the calibrated distributions multiplied, over the prior once too often for each but one."""
    if not evidence:
        return prior
    logs = [np.log(np.maximum(one.distribution, 1e-12)) for one in evidence.values()]
    return _normalised(np.sum(logs, axis=0) + (1 - len(logs)) * np.log(prior))


def pool_mean(evidence: Mapping[str, Evidence], prior: np.ndarray, population: Population) -> np.ndarray:
    """Baseline: the arithmetic mean of the calibrated distributions."""
    return np.mean([one.distribution for one in evidence.values()], axis=0) if evidence else prior


STRATEGIES: dict[str, Strategy] = {
    "best_modality": pool_best_modality,
    "product": pool_product,
    "mean": pool_mean,
}


def shapley(
    evidence: Mapping[str, Evidence], prior: np.ndarray, population: Population, pool: Strategy, winner: int
) -> dict[str, float]:
    """Exact Shapley values over all coalitions of modalities (Shapley 1953), in nats of log-odds of `winner`."""

    def value(coalition: tuple[str, ...]) -> float:
        p = pool({m: evidence[m] for m in coalition}, prior, population)[winner]
        return math.log(max(p, 1e-12) / max(1 - p, 1e-12))

    names, n = list(evidence), len(evidence)
    out = {}
    for name in names:
        others = [m for m in names if m != name]
        gains = [
            (value((*coalition, name)) - value(coalition)) / (n * math.comb(n - 1, size))
            for size in range(n)
            for coalition in combinations(others, size)
        ]
        out[name] = sum(gains)
    return out


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Divergence of two distributions in bits, [0, 1] (Lin 1991)."""
    middle = (p + q) / 2

    def relative_entropy(a: np.ndarray) -> float:
        some = a > 0
        return float((a[some] * np.log2(a[some] / middle[some])).sum())

    return max(0.0, (relative_entropy(p) + relative_entropy(q)) / 2)


def fit_population(
    posteriors: Mapping[str, np.ndarray], truth: np.ndarray, reliability: Prior, threshold: float = 0.40
) -> Population:
    """Temperatures of the modalities and of the pool, from people other than those to be fused.

    posteriors: modality -> (n, K), rows belonging together.  truth: (n,) class numbers.
    reliability: the population's accuracies, with `classes` = K.
    """
    temperatures = {m: fit_temperature(p, truth) for m, p in posteriors.items()}
    population = Population(reliability, temperatures, threshold=threshold)
    usual = Reliability(prior=reliability)
    prior = population.prior_of(reliability.classes)
    pooled = np.array(
        [
            pool_best_modality(
                {m: weigh(p[i], 1.0, m, usual, population) for m, p in posteriors.items()}, prior, population
            )
            for i in range(len(truth))
        ]
    )
    return replace(population, fused_temperature=fit_temperature(pooled, truth))


def _weights(evidence: Mapping[str, Evidence]) -> dict[str, float]:
    total = sum(e.exponent for e in evidence.values())
    if total <= 0:  # nothing could be heard: nobody weighs more
        return {m: 1 / len(evidence) for m in evidence}
    return {m: e.exponent / total for m, e in evidence.items()}


def _normalised(logs: np.ndarray) -> np.ndarray:
    p = np.exp(logs - logs.max())
    return p / p.sum()


def _disparity(estimates: Mapping[str, Estimate]) -> float | None:
    if not {"face", "voice"} <= set(estimates):
        return None
    return jensen_shannon(estimates["face"].probabilities, estimates["voice"].probabilities)
