"""Missing outcomes: how many, and what the effect would be under other assumptions than "missing at random".

Multiple imputation by chained linear regressions with draws of their parameters (van Buuren 2018, Flexible Imputation
of Missing Data, algorithms 3.1 and 4.3), pooled by Rubin's rules with the degrees of freedom of Barnard & Rubin (1999).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mhealth.research.analysis import design
from mhealth.research.analysis.ancova import Model
from mhealth.research.analysis.effects import Effect, NotIdentified

ROUNDS = 10  # of the chained regressions; one occasion with missing values needs one


@dataclass(frozen=True)
class Question:
    """What the sensitivity analyses ask again. outcomes: columns of the occasions in time order, the last is judged."""

    outcomes: tuple[str, ...]
    baseline: str
    strata: tuple[str, ...]
    reference: str


def missingness(data: pd.DataFrame, outcomes: Sequence[str]) -> pd.DataFrame:
    """Per arm and column: people, answers that could be scored, missing ones and their share."""
    lines = [
        {"arm": arm, "outcome": outcome, "n": len(people), "scored": int(people[outcome].notna().sum())}
        for outcome in outcomes
        for arm, people in data.groupby("arm", sort=True)
    ]
    table = pd.DataFrame(lines, columns=["arm", "outcome", "n", "scored"])
    table["missing"] = table["n"] - table["scored"]
    table["missing_share"] = table["missing"] / table["n"].where(table["n"] > 0)
    return table


def compared(data: pd.DataFrame, outcome: str, columns: Sequence[str]) -> pd.DataFrame:
    """Baseline of people with and without the outcome: the more they differ, the less are they missing by chance."""
    groups = np.where(data[outcome].notna(), "with outcome", "without outcome")
    table = data.groupby(groups)[list(columns)].agg(["size", "mean", "std"]).stack(level=0, future_stack=True)
    return table.rename_axis(["group", "measure"]).reset_index()


def imputed(people: pd.DataFrame, question: Question, n_imputations: int, seed: int) -> np.ndarray:
    """(imputations, people, outcomes) with every hole filled in. people: randomised ones with a baseline.

    Raises NotIdentified where too few people have an outcome to learn from.
    """
    arms = design.dummies(people["arm"], "arm")
    fixed = pd.concat([design.covariates(people, question.baseline, question.strata), arms], axis=1)
    fixed = design.independent(fixed).to_numpy()
    values = people[list(question.outcomes)].to_numpy(float)
    seeds = np.random.SeedSequence(seed).spawn(n_imputations)
    return np.array([_chained(values, fixed, np.random.default_rng(child)) for child in seeds])


def _chained(values: np.ndarray, fixed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """values: (people, occasions) with NaN where missing; fixed: (people, k) complete."""
    missing = np.isnan(values)
    if (~missing).sum(axis=0).min() <= fixed.shape[1] + values.shape[1]:
        raise NotIdentified("too few outcomes to learn from")
    filled = np.where(missing, np.nanmean(values, axis=0), values)
    holes = [column for column in range(values.shape[1]) if missing[:, column].any()]
    for _ in range(ROUNDS if len(holes) > 1 else 1):
        for column in holes:
            others = np.delete(filled, column, axis=1)
            filled[missing[:, column], column] = _drawn(filled[:, column], [fixed, others], missing[:, column], rng)
    return filled


def _drawn(y: np.ndarray, blocks: list[np.ndarray], missing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A draw for each missing value from the posterior predictive of a linear regression with flat priors."""
    x = np.hstack(blocks)
    known_x, known_y = x[~missing], y[~missing]
    inverse = np.linalg.pinv(known_x.T @ known_x, hermitian=True)
    mean = inverse @ known_x.T @ known_y
    df = len(known_y) - np.linalg.matrix_rank(known_x)
    sigma = np.sqrt(((known_y - known_x @ mean) ** 2).sum() / rng.chisquare(df))
    values, vectors = np.linalg.eigh(inverse)
    root = vectors * np.sqrt(values.clip(0))
    beta = mean + sigma * root @ rng.standard_normal(len(mean))
    return x[missing] @ beta + sigma * rng.standard_normal(missing.sum())


def pooled(effects: Sequence[Effect]) -> Effect:
    """One effect from those of the imputed data sets: Rubin's rules (Rubin 1987, ch. 3; Barnard & Rubin 1999)."""
    m, first = len(effects), effects[0]
    estimates = np.array([effect.estimate for effect in effects])
    within = float(np.mean([effect.se**2 for effect in effects]))
    between = float(estimates.var(ddof=1)) if m > 1 else 0.0
    total = within + (1 + 1 / m) * between
    df = first.df
    if between > 0:
        share = (1 + 1 / m) * between / total
        observed = (first.df + 1) / (first.df + 3) * first.df * (1 - share)
        df = 1 / (share**2 / (m - 1) + 1 / observed)
    return replace(first, estimate=float(estimates.mean()), se=float(np.sqrt(total)), df=df)


def delta_adjusted(
    data: pd.DataFrame, question: Question, deltas: Sequence[float], *, n_imputations: int = 50, seed: int = 1
) -> dict[float, list[Effect]]:
    """The ANCOVA of everybody randomised with a baseline, `delta` added to imputed values outside of the reference arm.

    delta: in units of the scale; 0 assumes missing at random; positive is worse where higher is worse, against the
    arm. Raises NotIdentified.
    """
    people = with_baseline(data, question)
    model = Model(people, question.baseline, question.strata, question.reference)
    filled = imputed(people, question, n_imputations, seed)[:, :, -1]
    last = people[question.outcomes[-1]]
    holes = (last.isna() & (people["arm"] != question.reference)).to_numpy(float)
    return {delta: _judged(model, filled + delta * holes) for delta in deltas}


def with_baseline(data: pd.DataFrame, question: Question) -> pd.DataFrame:
    return data.dropna(subset=["arm", question.baseline])


def _judged(model: Model, outcomes: np.ndarray) -> list[Effect]:
    """outcomes: (imputations, people)."""
    return [pooled(effects) for effects in zip(*(model.effects(outcome) for outcome in outcomes), strict=True)]


def tipping_point(adjusted: dict[float, list[Effect]], arm: str) -> float | None:
    """The smallest delta tried at which the interval of the arm holds 0; None where none does."""
    for delta in sorted(adjusted):
        effect = next(effect for effect in adjusted[delta] if effect.arm == arm)
        if effect.low <= 0 <= effect.high:
            return delta
    return None
