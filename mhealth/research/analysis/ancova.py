"""Analysis of covariance: the outcome on arm, baseline and strata, by least squares."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import statsmodels.api as sm

from mhealth.research.analysis import design
from mhealth.research.analysis.effects import Effect

SMALLEST_ARM = 2


def ancova(
    data: pd.DataFrame,
    *,
    outcome: str,
    baseline: str | None,
    strata: Sequence[str] = (),
    reference: str,
    arm: str = "arm",
) -> list[Effect]:
    """Adjusted difference of each arm against the reference, among people with an outcome and a baseline.

    data: one row per person; outcome, baseline: columns in units of the scale; strata: columns of factors.
    Raises NotIdentified.
    """
    known = complete(data, outcome, baseline, arm)
    return Model(known, baseline, strata, reference, arm).effects(known[outcome].to_numpy(float))


class Model:
    """The columns of an analysis of covariance, for one outcome or many of the same people. Raises NotIdentified."""

    def __init__(
        self, people: pd.DataFrame, baseline: str | None, strata: Sequence[str], reference: str, arm: str = "arm"
    ) -> None:
        self.reference, self.arms = reference, design.arms_of(people, reference, arm)
        interest = pd.DataFrame({label: (people[arm] == label).astype(float) for label in self.arms})
        columns = design.with_interest(design.covariates(people, baseline, strata), interest)
        self._columns, self._n = columns.to_numpy(), people[arm].value_counts()

    def effects(self, outcome: np.ndarray) -> list[Effect]:
        """outcome: (people,) in their order. One effect per arm."""
        fit = sm.OLS(outcome, self._columns).fit()
        k = len(self.arms)
        return [
            Effect(
                arm=label,
                reference=self.reference,
                n_arm=int(self._n[label]),
                n_reference=int(self._n[self.reference]),
                estimate=float(estimate),
                se=float(se),
                df=float(fit.df_resid),
            )
            for label, estimate, se in zip(self.arms, fit.params[-k:], fit.bse[-k:], strict=True)
        ]


def complete(data: pd.DataFrame, outcome: str, baseline: str | None, arm: str = "arm") -> pd.DataFrame:
    """People of arms that have two or more, who have what the analysis needs."""
    known = data.dropna(subset=[name for name in (outcome, baseline, arm) if name])
    sizes = known[arm].map(known[arm].value_counts())
    return known[sizes >= SMALLEST_ARM]


def interaction_p(
    data: pd.DataFrame, *, outcome: str, baseline: str, strata: Sequence[str], factor: str, reference: str
) -> float:
    """p of arm × factor by the F test of the model with against the model without it. Raises NotIdentified."""
    known = complete(data, outcome, baseline)
    others = design.arms_of(known, reference)
    arms = pd.DataFrame({label: (known["arm"] == label).astype(float) for label in others})
    groups = design.dummies(known[factor], factor)
    nuisance = pd.concat([design.covariates(known, baseline, [s for s in strata if s != factor]), groups, arms], axis=1)
    products = {f"{a}×{g}": arms[a] * groups[g] for a in arms for g in groups}
    columns = design.with_interest(nuisance, pd.DataFrame(products, index=known.index))
    y, n_products = known[outcome].to_numpy(float), len(products)
    if not n_products:
        return float("nan")
    test = np.eye(columns.shape[1])[-n_products:]
    return float(sm.OLS(y, columns.to_numpy()).fit().f_test(test).pvalue)
