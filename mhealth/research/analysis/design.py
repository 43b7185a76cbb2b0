"""The columns of a linear model, made from a frame without formulas."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mhealth.research.analysis.effects import NotIdentified


def arms_of(data: pd.DataFrame, reference: str, arm: str = "arm") -> list[str]:
    """The arms to compare with the reference, in order. Raises NotIdentified without people in two arms."""
    present = sorted(data[arm].dropna().unique())
    if reference not in present or len(present) < 2:
        raise NotIdentified("fewer than two arms have people with an outcome")
    return [label for label in present if label != reference]


def dummies(values: pd.Series, name: str) -> pd.DataFrame:
    """One 0/1 column per level but the first; a level nobody has makes none; unknown is a level of its own."""
    known = values.astype(object).where(values.notna(), "unknown").astype(str)
    levels = sorted(known.unique())[1:]
    return pd.DataFrame({f"{name}={level}": (known == level).astype(float) for level in levels}, index=values.index)


def covariates(data: pd.DataFrame, baseline: str | None, strata: Sequence[str]) -> pd.DataFrame:
    """Intercept, the centred baseline, and the factors of the strata as main effects."""
    columns = [pd.DataFrame({"intercept": 1.0}, index=data.index)]
    if baseline:
        columns.append((data[baseline].astype(float) - data[baseline].astype(float).mean()).to_frame("baseline"))
    return pd.concat([*columns, *(dummies(data[factor], factor) for factor in strata)], axis=1)


def independent(columns: pd.DataFrame) -> pd.DataFrame:
    """Without the columns that earlier ones already say."""
    kept: list[str] = []
    for name in columns:
        if np.linalg.matrix_rank(columns[[*kept, name]].to_numpy()) > len(kept):
            kept.append(name)
    return columns[kept]


def with_interest(nuisance: pd.DataFrame, interest: pd.DataFrame) -> pd.DataFrame:
    """The model's columns, those of interest last. Raises NotIdentified where the others already say one of them."""
    columns = pd.concat([independent(nuisance), interest], axis=1)
    if np.linalg.matrix_rank(columns.to_numpy()) < columns.shape[1]:
        raise NotIdentified("the arms cannot be told from the strata")
    if len(columns) <= columns.shape[1]:
        raise NotIdentified("fewer people than the model has terms")
    return columns
