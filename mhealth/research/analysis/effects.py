"""What an analysis found, on the scale's own units and standardised, and how several findings are taken together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats


class NotIdentified(ValueError):
    """The data cannot answer the question: too few people, or one column says the same as others."""


@dataclass(frozen=True)
class Effect:
    """Adjusted difference, arm minus reference, in units of the scale, with its 95 % interval.

    df: degrees of freedom of the t distribution; infinite for a normal one.
    """

    arm: str
    reference: str
    n_arm: int
    n_reference: int
    estimate: float
    se: float
    df: float

    @property
    def low(self) -> float:
        return self.estimate - self._half

    @property
    def high(self) -> float:
        return self.estimate + self._half

    @property
    def p(self) -> float:
        return float(2 * stats.t.sf(abs(self.estimate) / self.se, self.df)) if self.se else math.nan

    @property
    def _half(self) -> float:
        return float(stats.t.ppf(0.975, self.df)) * self.se


@dataclass(frozen=True)
class Standardised:
    """Hedges' g with its 95 % interval."""

    g: float
    se: float

    @property
    def low(self) -> float:
        return self.g - stats.norm.ppf(0.975) * self.se

    @property
    def high(self) -> float:
        return self.g + stats.norm.ppf(0.975) * self.se


def pooled_sd(values: pd.Series, arms: pd.Series) -> tuple[float, int]:
    """Standard deviation within arms, and its degrees of freedom. Raises NotIdentified."""
    known = values.notna() & arms.notna()
    groups = [group.to_numpy(float) for _, group in values[known].groupby(arms[known])]
    df = sum(len(group) - 1 for group in groups)
    squares = sum(((group - group.mean()) ** 2).sum() for group in groups)
    if df < 2 or squares <= 0:
        raise NotIdentified("no spread at baseline to standardise by")
    return math.sqrt(squares / df), df


def small_sample_factor(df: float) -> float:
    """J = Γ(df/2) / (√(df/2) Γ((df−1)/2)), Hedges (1981), J Educ Stat 6:107-128, eq. 6e."""
    return math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)


def hedges_g(effect: Effect, baseline: pd.Series, arms: pd.Series) -> Standardised:
    """Adjusted difference / pooled baseline SD × J, of the two arms compared.

    Its variance, J² (se²/SD² + d²/(2 df)), counts the error of the difference as the model gives it and that of the
    SD (delta method, Borenstein et al. 2009, Introduction to Meta-Analysis, ch. 4). Raises NotIdentified.
    """
    compared = arms.isin([effect.arm, effect.reference])
    sd, df = pooled_sd(baseline[compared], arms[compared])
    d, j = effect.estimate / sd, small_sample_factor(df)
    return Standardised(j * d, j * math.sqrt((effect.se / sd) ** 2 + d**2 / (2 * df)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values, in the order given; NaN stays NaN and counts as no test (Holm 1979, Scand J Stat 6:65-70)."""
    p = np.asarray(p_values, float)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted.tolist()


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share (Wilson 1927, JASA 22:209-212)."""
    if n == 0:
        return 0.0, 1.0
    z, p = stats.norm.ppf(0.5 + level / 2), successes / n
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return float((middle - half) / (1 + z**2 / n)), float((middle + half) / (1 + z**2 / n))
