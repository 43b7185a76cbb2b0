"""How far a person's face or voice can be trusted: one small posterior per person and modality.

a_m is the probability that modality m is right about this person. Every person starts at the population,

    a_m ~ Beta(ā_m κ, (1 − ā_m) κ)                                                                  (1)

and evidence, discounted by half every `half_life_days`, is added to it in O(1).

**Random prompts.** Whether to ask was drawn at random before an estimate was shown, so the answer y is
a plain label: with ŷ_m what modality m said,

    right_m += [ŷ_m = y],   wrong_m += [ŷ_m ≠ y].                                                   (2)

**Spontaneous corrections** come mostly when the fused estimate f is wrong, and f mostly follows the
stronger modality: counted as labels they would condemn it. Let c₁ and c₀ be the probabilities that a
wrong and a right fused estimate is corrected and ρ = c₀/c₁. Given what the modalities said, and that
the person corrected at all, the answer y has the likelihood

    L(a) = s(y) q(y | a) / Σ_k s(k) q(k | a),   s(k) = ρ if k = f, else 1,                          (3)
    q(k | a) = Π_m a_m if ŷ_m = k else (1 − a_m)/(K − 1).                                           (4)

If f = ŷ_1 ≠ ŷ_2 and ρ is small, (3) hardly depends on a_1: that modality 1 was wrong is known from
the selection alone, and only modality 2 is examined. The posterior is projected back on independent
Beta distributions with the same means and variances (assumed density filtering; Minka 2001, §3).

Check-ins without a correction change nothing: silence may as well mean that nobody looked.

**Confusions.** A person's sad face may look afraid, time and again. Row k of C_m is the mean distribution that
modality m gives when the truth is k, in the population. With κ′ labels' worth of faith in it and the summed
distributions n_k of the person's own randomly prompted check-ins labelled k,

    R_kj = [(κ′ C_kj + n_kj) / (κ′ + Σ_j n_kj)] / C_kj,     p_m(k) ← p_m(k) · Σ_j p_m(j) R_kj             (5)

which is the ratio of a Dirichlet posterior mean to its prior mean, averaged over what the modality may have
meant. (5) conditions on the truth: how often a class was asked about does not enter. A class never
labelled has R = 1; nobody known is the population. Corrections are left out of it: they are selected by what
the modalities said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product as cartesian
from typing import Any

import numpy as np
from scipy import special

from emotion.estimate import EMOTIONS

NODES = 12  # quadrature nodes per modality
GRID = (np.arange(400) + 0.5) / 400

Table = tuple[tuple[float, ...], ...]  # (K, K), rows = truth


@dataclass(frozen=True)
class Prior:
    """The population: how often each modality is right (ā_m), and how alike people are (κ, in labels).

    The defaults are the hit rates of the shipped networks on people they were not trained on; κ is cautious,
    since no corpus shows people whose face and voice differ in reliability.
    corrected_when_right: ρ of equation (3).
    confusions: C_m of equation (5) per modality, (K, K), rows = truth; where there is none, accuracy on the
    diagonal and even errors beside it.  confusion_strength: κ′, cautious by default for the same reason.
    """

    accuracies: Mapping[str, float] = field(default_factory=lambda: {"face": 0.67, "voice": 0.59, "text": 0.55})
    strength: float = 12.0
    corrected_when_right: float = 0.02
    classes: tuple[str, ...] = EMOTIONS
    confusions: Mapping[str, Table] = field(default_factory=dict)
    confusion_strength: float = 8.0

    def beta(self, modality: str) -> tuple[float, float]:
        mean = self.accuracies[modality]
        return mean * self.strength, (1 - mean) * self.strength

    def confusion(self, modality: str) -> np.ndarray:
        """C_m, (K, K)."""
        if modality in self.confusions:
            return np.asarray(self.confusions[modality])
        right, size = self.accuracies[modality], len(self.classes)
        even = (1 - right) / (size - 1)
        return np.full((size, size), even) + (right - even) * np.eye(size)


@dataclass(frozen=True)
class Evidence:
    """Discounted pseudo-counts beyond the population's; after corrections they need not be whole or positive."""

    right: float = 0.0
    wrong: float = 0.0


@dataclass(frozen=True)
class Reliability:
    """The posterior of one person. Immutable: every label gives a new one.

    at_days: time of the last label, in days since any fixed origin.
    """

    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    at_days: float = 0.0
    labels: int = 0
    prior: Prior = field(default_factory=Prior)
    half_life_days: float = 180.0
    readings: Mapping[str, Table] = field(default_factory=dict)  # n of equation (5)

    def posterior(self, modality: str) -> tuple[float, float]:
        """Parameters (α, β) of the Beta posterior at the time of the last label."""
        alpha, beta = self.prior.beta(modality)
        seen = self.evidence.get(modality, Evidence())
        return max(alpha + seen.right, 1e-3), max(beta + seen.wrong, 1e-3)

    def accuracy(self, modality: str) -> float:
        """Posterior mean of the probability that this modality is right."""
        alpha, beta = self.posterior(modality)
        return alpha / (alpha + beta)

    def best(self, modalities: Iterable[str]) -> str:
        """The modality most probably right; equal ones are told apart by the population, then by name."""
        return min(modalities, key=lambda m: (-round(self.accuracy(m), 12), -self.prior.accuracies[m], m))

    def probability_best(self, modality: str, modalities: Iterable[str]) -> float:
        """P(a_m > a_j for every other j): ∫ density_m(x) Π_j cdf_j(x) dx."""
        others = [m for m in modalities if m != modality]
        edges = special.betainc(*self.posterior(modality), np.linspace(0, 1, len(GRID) + 1))
        below = np.prod([special.betainc(*self.posterior(m), GRID) for m in others], axis=0)
        return float((np.diff(edges) * below).sum())

    def translated(self, modality: str, distribution: np.ndarray) -> np.ndarray:
        """A calibrated distribution (K,) as this person means it: equation (5)."""
        if modality not in self.readings:
            return distribution
        prior, strength = self.prior.confusion(modality), self.prior.confusion_strength
        return translate(distribution, np.asarray(self.readings[modality]), prior, strength)

    def after_prompt(
        self,
        said: Mapping[str, str],
        label: str,
        *,
        at_days: float,
        probability: float = 1.0,
        distributions: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    ) -> Reliability:
        """Learn from the answer to a prompt that was asked at random.

        said: the most probable emotion per modality.  probability: with which it was asked, in (0, 1]. It
        does not weigh the answer, because asking did not depend on what was said; 0 was not random: ValueError.
        distributions: (K,) per modality, calibrated; confusions are learnt from them where given.
        """
        if not 0 < probability <= 1:
            raise ValueError(f"a prompt at random has a probability in (0, 1], not {probability}")
        now = self._discounted(at_days)
        evidence = dict(now.evidence)
        for modality, emotion in said.items():
            old = evidence.get(modality, Evidence())
            hit = float(emotion == label)
            evidence[modality] = Evidence(old.right + hit, old.wrong + 1 - hit)
        row = self.prior.classes.index(label)
        readings = {**now.readings, **{m: now._with(m, row, p) for m, p in (distributions or {}).items()}}
        return replace(now, evidence=evidence, readings=readings, labels=self.labels + 1)

    def _with(self, modality: str, row: int, distribution: Sequence[float] | np.ndarray) -> Table:
        size = len(self.prior.classes)
        old = self.readings.get(modality, ((0.0,) * size,) * size)
        new = tuple(a + float(b) for a, b in zip(old[row], distribution, strict=True))
        return (*old[:row], new, *old[row + 1 :])

    def after_correction(self, said: Mapping[str, str], fused: str, label: str, *, at_days: float) -> Reliability:
        """Learn from a correction the person made unasked, given the emotion that was shown as fused."""
        now = self._discounted(at_days)
        modalities = sorted(said)
        nodes = [_beta_nodes(*now.posterior(m)) for m in modalities]
        accuracy = np.array(list(cartesian(*[values for values, _ in nodes]))).T  # (modalities, points)
        mass = np.array(list(cartesian(*[weights for _, weights in nodes]))).prod(axis=1)
        mass = mass * self._likelihood([said[m] for m in modalities], fused, label, accuracy)
        evidence = dict(now.evidence)
        for modality, values in zip(modalities, accuracy, strict=True):
            alpha, beta = _beta_with_moments(values, mass)
            prior_alpha, prior_beta = self.prior.beta(modality)
            evidence[modality] = Evidence(alpha - prior_alpha, beta - prior_beta)
        return replace(now, evidence=evidence, labels=self.labels + 1)

    def _likelihood(self, said: list[str], fused: str, label: str, accuracy: np.ndarray) -> np.ndarray:
        """Equation (3) at points (modalities, points) -> (points,)."""
        named = sorted({*said, fused, label})
        terms = {emotion: self._selected(said, fused, emotion, accuracy) for emotion in named}
        unnamed = (len(self.prior.classes) - len(named)) * self._selected(said, fused, "", accuracy)
        return terms[label] / (sum(terms.values()) + unnamed)

    def _selected(self, said: list[str], fused: str, emotion: str, accuracy: np.ndarray) -> np.ndarray:
        miss = (1 - accuracy) / (len(self.prior.classes) - 1)
        given = np.where([[s == emotion] for s in said], accuracy, miss).prod(axis=0)
        return given * (self.prior.corrected_when_right if emotion == fused else 1.0)

    def _discounted(self, at_days: float) -> Reliability:
        """As of `at_days`: evidence halves every half-life. A label that arrives late is taken as of the last one."""
        if not self.labels:
            return replace(self, at_days=at_days)
        keep = 0.5 ** (max(0.0, at_days - self.at_days) / self.half_life_days)
        evidence = {m: Evidence(seen.right * keep, seen.wrong * keep) for m, seen in self.evidence.items()}
        readings = self.readings
        if keep != 1:
            readings = {m: tuple(tuple(n * keep for n in row) for row in rows) for m, rows in readings.items()}
        return replace(self, evidence=evidence, readings=readings, at_days=max(at_days, self.at_days))

    def to_json(self) -> dict[str, Any]:
        """What must be stored of this person; the population comes from the software."""
        return {
            "evidence": {m: [seen.right, seen.wrong] for m, seen in sorted(self.evidence.items())},
            "readings": {m: [list(row) for row in rows] for m, rows in sorted(self.readings.items())},
            "at_days": self.at_days,
            "labels": self.labels,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], prior: Prior | None = None) -> Reliability:
        """The inverse of `to_json`; an empty mapping is a person of whom nothing is known."""
        evidence = {m: Evidence(*map(float, counts)) for m, counts in stored.get("evidence", {}).items()}
        at_days, labels = float(stored.get("at_days", 0.0)), int(stored.get("labels", 0))
        readings = {m: tuple(tuple(map(float, row)) for row in rows) for m, rows in stored.get("readings", {}).items()}
        return cls(evidence, at_days, labels, prior or Prior(), readings=readings)


def translate(distributions: np.ndarray, readings: np.ndarray, confusion: np.ndarray, strength: float) -> np.ndarray:
    """Equation (5). distributions: (…, K).  readings: n, (…, K, K).  confusion: C, (K, K).  Returns (…, K)."""
    posterior = (strength * confusion + readings) / (strength + readings.sum(-1, keepdims=True))
    meant = np.einsum("...j,...kj->...k", distributions, posterior / confusion) * distributions
    return meant / meant.sum(-1, keepdims=True)


def fit_prior(right: np.ndarray, asked: np.ndarray) -> tuple[float, float]:
    """Empirical Bayes for one modality: (ā, κ) from hits and labels per person, both (people,).

    By the method of moments: the spread of hit rates beyond what chance gives. Without any excess κ is 1000,
    that is, everybody is the population.
    """
    rates = right / asked
    mean = float(right.sum() / asked.sum())
    chance = mean * (1 - mean) * np.mean(1 / asked)
    excess = float(rates.var(ddof=1) - chance) if len(rates) > 1 else 0.0
    if excess <= 0:
        return mean, 1000.0
    return mean, float(np.clip(mean * (1 - mean) / excess - 1, 2.0, 1000.0))


def _beta_nodes(alpha: float, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Jacobi quadrature of a Beta distribution: nodes in (0, 1) and weights that sum to 1.

    Its first 2·NODES − 1 moments are exact, so that a label which says nothing leaves the posterior alone.
    """
    nodes, weights = special.roots_jacobi(NODES, beta - 1, alpha - 1)
    return (nodes + 1) / 2, weights / weights.sum()


def _beta_with_moments(values: np.ndarray, mass: np.ndarray) -> tuple[float, float]:
    """The Beta distribution with the mean and variance of weighted points; both arguments (points,)."""
    mass = mass / mass.sum()
    mean = float(np.clip((mass * values).sum(), 1e-4, 1 - 1e-4))
    variance = float((mass * (values - mean) ** 2).sum())
    total = max(mean * (1 - mean) / max(variance, 1e-9) - 1, 1e-2)
    return mean * total, (1 - mean) * total
