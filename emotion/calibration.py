"""Is a stated confidence true? Temperature, expected calibration error, risk and coverage.

Shapes:  n recordings or photos   K classes.  `truth` holds class numbers, (n,) int.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import optimize, special

BINS = 10


def sharpen(probabilities: np.ndarray, exponent: float) -> np.ndarray:
    """Raise distributions to a power and renormalise, (…, K): the exponent 1 / T applies temperature T."""
    logs = exponent * np.log(np.maximum(probabilities, 1e-12))
    return special.softmax(logs, axis=-1)


def fit_temperature(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Temperature in [0.2, 10] of least negative log-likelihood (Guo et al. 2017). probabilities: (n, K)."""
    logs = np.log(np.maximum(probabilities, 1e-12))

    def loss(log_temperature: float) -> float:
        scaled = special.log_softmax(logs / np.exp(log_temperature), axis=1)
        return -np.average(scaled[np.arange(len(truth)), truth], weights=weights)

    found = optimize.minimize_scalar(loss, bounds=(np.log(0.2), np.log(10)), method="bounded")
    return float(np.exp(found.x))


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error of the top label over bins of equal mass, in [0, 1]; both arguments (n,)."""
    order = np.argsort(confidence, kind="stable")
    gaps = [
        len(part) * abs(confidence[part].mean() - correct[part].mean())
        for part in np.array_split(order, min(bins, len(order)))
        if len(part)
    ]
    return float(sum(gaps) / max(len(order), 1))


def excess_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, rng: np.random.Generator, draws: int = 1000
) -> tuple[float, float]:
    """Calibration error beyond that of a calibrated model with the same confidences, and its p-value.

    A perfect model shows .07 at n = 240 by chance alone, so the plain figure says little on small sets.
    """
    observed = calibration_error(confidence, correct)
    chance = np.array([calibration_error(confidence, rng.random(len(confidence)) < confidence) for _ in range(draws)])
    return observed - float(chance.mean()), float((1 + (chance >= observed).sum()) / (1 + draws))


def brier_score(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mean squared distance between distribution and truth, in [0, 2]."""
    target = np.eye(probabilities.shape[1])[truth]
    return float(((probabilities - target) ** 2).sum(1).mean())


def log_loss(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mean negative log-likelihood in nats."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-12)).mean())


def risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> list[dict[str, float]]:
    """Error rate among the answers kept, when the least confident are held back: rows at 100 %, 90 % … 10 %."""
    order = np.argsort(-confidence, kind="stable")
    rows = []
    for share in np.arange(1.0, 0.05, -0.1):
        kept = order[: max(1, int(round(share * len(order))))]
        rows.append(
            {
                "coverage": round(float(share), 2),
                "threshold": float(confidence[kept[-1]]),
                "risk": float(1 - correct[kept].mean()),
            }
        )
    return rows


def abstention_threshold(confidence: np.ndarray, correct: np.ndarray, kept_share: float = 0.8) -> float:
    """Confidence below which an answer is held back so that `kept_share` of these answers are given."""
    return float(np.quantile(confidence, 1 - kept_share)) if len(confidence) else 0.0


def fit_temperatures(posteriors: Mapping[str, np.ndarray], truth: np.ndarray, people: np.ndarray) -> dict[str, float]:
    """A temperature per modality, drawn to their common mean as far as the data cannot tell them apart.

    Random-effects pooling of log-temperatures (DerSimonian & Laird 1986); their errors are those of a sample
    of people, not of clips.  posteriors: (n, K), a missing row is NaN.  truth, people: (n,).
    """
    alone, variance = {}, {}
    for modality, p in posteriors.items():
        here = ~np.isnan(p[:, 0])
        alone[modality] = np.log(fit_temperature(p[here], truth[here])) if here.any() else 0.0
        variance[modality] = _variance(p[here], truth[here], people[here], alone[modality]) if here.any() else np.inf
    drawn = drawn_together(np.array(list(alone.values())), np.array(list(variance.values())))
    return dict(zip(posteriors, map(float, np.exp(drawn)), strict=True))


def _variance(p: np.ndarray, truth: np.ndarray, people: np.ndarray, log_temperature: float) -> float:
    """Sampling variance of a fitted log-temperature over people: the sandwich, slopes by central differences."""
    step = 0.02

    def loss(at: float) -> np.ndarray:
        scaled = special.log_softmax(np.log(np.maximum(p, 1e-12)) / np.exp(at), axis=1)
        return -scaled[np.arange(len(truth)), truth]

    below, here, above = (loss(log_temperature + s) for s in (-step, 0, step))
    _, person = np.unique(people, return_inverse=True)
    slopes = np.bincount(person, (above - below) / (2 * step))
    curvature = ((above - 2 * here + below) / step**2).sum()
    return float((slopes**2).sum() / max(curvature, 1e-6) ** 2)


def drawn_together(values: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Each value between itself and the common mean, by how far the values differ beyond their errors."""
    weights = 1 / np.maximum(variances, 1e-9)
    mean = (weights * values).sum() / weights.sum()
    heterogeneity = (weights * (values - mean) ** 2).sum() - (len(values) - 1)
    scale = weights.sum() - (weights**2).sum() / weights.sum()
    between = max(0.0, heterogeneity / scale) if scale > 0 else 0.0
    mean = (values / (between + 1 / weights)).sum() / (1 / (between + 1 / weights)).sum()
    kept = between / (between + 1 / weights)
    return mean + kept * (values - mean)
