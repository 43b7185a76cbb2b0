"""The linear mixed model: a random intercept per person, time categorical, time × arm, by REML.

Its limits against a model for repeated measures with an unstructured covariance (MMRM): a random intercept says that
any two visits of a person correlate alike and that all visits vary alike. Where later visits vary more, or distant ones
correlate less, the standard errors of single visits are off in either direction; estimates stay unbiased while answers
are missing at random given what the model holds. p values use the normal distribution, which is a little too sure in
small trials; the ANCOVA is the primary analysis.
"""

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import statsmodels.api as sm
from statsmodels.regression.mixed_linear_model import MixedLMParams
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mhealth.research.analysis import design
from mhealth.research.analysis.effects import Effect, NotIdentified


@dataclass(frozen=True)
class RandomIntercept:
    """fixed, se: one per column of the model; sd_person and sd_residual in units of the outcome."""

    fixed: np.ndarray
    se: np.ndarray
    sd_person: float
    sd_residual: float
    converged: bool


@dataclass(frozen=True)
class MixedModel:
    effects: dict[str, list[Effect]]  # by occasion
    fit: RandomIntercept
    n_people: int
    n_observations: int


def random_intercept(outcome: np.ndarray, columns: np.ndarray, people: np.ndarray) -> RandomIntercept:
    """Fit by REML. outcome: (n,); columns: (n, k) of full rank; people: (n,), whose rows. Raises NotIdentified."""
    if len(np.unique(people)) == len(people):
        raise NotIdentified("nobody has two follow-ups: a random intercept cannot be told from the residual")
    fit = _fitted(sm.MixedLM(outcome, columns, groups=people), _share_between(outcome, columns, people))
    k = columns.shape[1]
    return RandomIntercept(
        fixed=np.asarray(fit.fe_params),
        se=np.asarray(fit.bse_fe)[:k],
        sd_person=float(np.sqrt(max(np.asarray(fit.cov_re)[0, 0], 0))),
        sd_residual=float(np.sqrt(fit.scale)),
        converged=bool(fit.converged),
    )


def _fitted(model: sm.MixedLM, start: float):
    """From a start near the optimum: from its own the optimiser may walk to where the matrices are singular."""
    n_fixed = model.exog.shape[1]
    params = MixedLMParams.from_components(fe_params=np.zeros(n_fixed), cov_re=np.array([[start]]))
    fit = None
    for method in ("lbfgs", "bfgs", "powell"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said in the result
            warnings.simplefilter("ignore", UserWarning)  # an SD of 0 is possible, and said too
            warnings.simplefilter("ignore", RuntimeWarning)
            with contextlib.suppress(np.linalg.LinAlgError, ValueError):
                fit = model.fit(start_params=params, reml=True, method=[method])
        if fit is not None and fit.converged:
            break
    if fit is None:
        raise NotIdentified("the mixed model cannot be fitted")
    return fit


def _share_between(outcome: np.ndarray, columns: np.ndarray, people: np.ndarray) -> float:
    """Variance between over variance within people, by moments of the residuals of least squares."""
    residuals = pd.Series(outcome - columns @ np.linalg.lstsq(columns, outcome, rcond=None)[0])
    own = residuals.groupby(people)
    within = ((residuals - own.transform("mean")) ** 2).sum() / (own.size() - 1).sum()
    between = max(residuals.var() - within, 0.05 * residuals.var())
    return float(between / within)


def mixed_model(
    data: pd.DataFrame,
    *,
    outcome: str,
    baseline: str,
    occasions: Sequence[str],
    strata: Sequence[str] = (),
    reference: str,
) -> MixedModel:
    """Adjusted difference at every occasion after baseline, from all answers of everybody who gave any.

    data: one row per person and occasion, with person, arm, occasion; baseline and strata repeated on each row.
    Raises NotIdentified.
    """
    rows = data[data["occasion"].isin(occasions)].dropna(subset=[outcome, baseline, "arm"])
    seen = [occasion for occasion in occasions if (rows["occasion"] == occasion).any()]
    others = design.arms_of(rows, reference)
    columns = design.with_interest(_nuisance(rows, baseline, strata, seen), _arm_at_each(rows, others, seen))
    fit = random_intercept(rows[outcome].to_numpy(float), columns.to_numpy(), rows["person"].to_numpy())
    effects = {o: [_effect(rows, fit, columns, o, label, reference) for label in others] for o in seen}
    return MixedModel(effects, fit, n_people=rows["person"].nunique(), n_observations=len(rows))


def _nuisance(rows: pd.DataFrame, baseline: str, strata: Sequence[str], occasions: Sequence[str]) -> pd.DataFrame:
    times = {f"time={o}": (rows["occasion"] == o).astype(float) for o in occasions[1:]}
    return pd.concat([design.covariates(rows, baseline, strata), pd.DataFrame(times, index=rows.index)], axis=1)


def _arm_at_each(rows: pd.DataFrame, arms: Sequence[str], occasions: Sequence[str]) -> pd.DataFrame:
    """The arm crossed with time, written so that each coefficient is the difference at one occasion."""
    cells = {
        _cell(label, occasion): ((rows["arm"] == label) & (rows["occasion"] == occasion)).astype(float)
        for occasion in occasions
        for label in arms
    }
    return pd.DataFrame(cells, index=rows.index)


def _cell(label: str, occasion: str) -> str:
    return f"{label} at {occasion}"


def _effect(
    rows: pd.DataFrame, fit: RandomIntercept, columns: pd.DataFrame, occasion: str, label: str, reference: str
) -> Effect:
    place = columns.columns.get_loc(_cell(label, occasion))
    n = rows.loc[rows["occasion"] == occasion, "arm"].value_counts()
    return Effect(
        arm=label,
        reference=reference,
        n_arm=int(n.get(label, 0)),
        n_reference=int(n.get(reference, 0)),
        estimate=float(fit.fixed[place]),
        se=float(fit.se[place]),
        df=float("inf"),
    )
