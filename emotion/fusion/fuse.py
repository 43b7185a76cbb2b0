"""One estimate from several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emotion.disparity import jensen_shannon
from emotion.estimate import Estimate
from emotion.fusion.attention import Attention
from emotion.fusion.baselines import BestSingle, Mean, Product
from emotion.fusion.best_modality import BestModality
from emotion.fusion.detection_ratio import DetectionRatio
from emotion.fusion.population import Population
from emotion.fusion.q_learning import QLearning
from emotion.fusion.shapley import contributions
from emotion.fusion.stacked import Stacked
from emotion.fusion.strategy import Reading, Strategy
from emotion.reliability import Reliability

VERSION = "fusion-2"

STRATEGIES: dict[str, type[Strategy]] = {
    kind.name: kind for kind in (BestModality, DetectionRatio, QLearning, Attention, Mean, Product, BestSingle, Stacked)
}


@dataclass(frozen=True)
class Fused(Estimate):
    """A fused estimate and how it came about.

    weights: share of each modality present, summing to 1.
    contributions: exact Shapley values of the log-odds of the fused winner, in nats; they sum to its
    log-odds under all modalities minus that under the prior.
    best_modality, probability_best: which modality is most probably right about this person, and how sure
    that is; None without any modality.
    disparity: Jensen–Shannon divergence of face and voice in bits, [0, 1]; None unless both are there.
    """

    weights: dict[str, float] = field(default_factory=dict)
    contributions: dict[str, float] = field(default_factory=dict)
    best_modality: str | None = None
    probability_best: float | None = None
    disparity: float | None = None


def fuse(
    estimates: Mapping[str, Estimate],
    reliability: Any = None,
    *,
    strategy: str | Strategy = "best_modality",
    population: Population | None = None,
) -> Fused:
    """Fuse the estimates of one check-in, by modality name; the order of the mapping does not matter.

    reliability: what the strategy knows of this person, for the default a `Reliability`; without it, or
    without any label in it, the population's weights.
    strategy: a name, with parameters of nobody in particular, or a strategy that was fitted.
    One modality is fused with the prior by its quality. None at all gives the prior, abstained.
    """
    population = population or Population()
    rule = _rule(strategy, population)
    readings = {m: Reading(estimates[m].probabilities, estimates[m].quality) for m in sorted(estimates)}
    probabilities = rule.pool(readings, reliability)
    unsure = probabilities.max() < population.threshold or all(e.abstained for e in estimates.values())
    versions = "+".join(estimates[m].model_version for m in readings)
    known = reliability if isinstance(reliability, Reliability) else Reliability(prior=population.reliability)
    best = known.best(readings) if readings else None
    return Fused(
        probabilities=probabilities,
        quality=1.0,
        model_version=f"{VERSION}:{rule.name}({versions})",
        abstained=bool(unsure),
        weights=rule.weights(readings, reliability) if readings else {},
        contributions=contributions(rule, readings, reliability),
        best_modality=best,
        probability_best=known.probability_best(best, list(readings)) if best else None,
        disparity=_disparity(estimates),
    )


def _rule(strategy: str | Strategy, population: Population) -> Strategy:
    if isinstance(strategy, Strategy):
        return strategy
    return BestModality(population=population) if strategy == BestModality.name else STRATEGIES[strategy]()


def _disparity(estimates: Mapping[str, Estimate]) -> float | None:
    if not {"face", "voice"} <= set(estimates):
        return None
    return jensen_shannon(estimates["face"].probabilities, estimates["voice"].probabilities)
