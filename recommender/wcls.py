"""Weighted and centred least squares: the causal excursion effect of a micro-randomised treatment.

Boruvka, Almirall, Witkiewitz & Murphy (2018), JASA 113:1112. At decision t of person i, if available,

    w = (p~/p)^A ((1 - p~)/(1 - p))^(1-A)              p: probability used, p~: numerator, of the moderators alone
    y = g'alpha + (A - p~) f'beta + rest               weighted least squares; beta is the effect
    V = Q (sum_i u_i u_i') Q,   u_i = (I - G_i Q)^-1 X_i' W_i r_i,   G_i = X_i' W_i X_i,   Q = (sum_i G_i)^-1

The factor (I - G_i Q)^-1 is the small-sample correction of Mancl and DeRouen (2001, Biometrics 57:126), which the
identity X'W (I - X Q X'W)^-1 = (I - X'WX Q)^-1 X'W moves from decisions to coefficients. Intervals use Student's t
with n - (number of coefficients) degrees of freedom below 50 people, the normal law from 50 on.

A wrong g costs precision, never validity, as long as the probabilities are those that were used. People must be
independent given the policy: it may learn from a person's own past or be frozen. If it learns from all of them during
the trial the sandwich is exact only for an effect that does not depend on the past; freeze it per batch instead.

Shapes:  ... any batch of data sets   n people   k coefficients, those of g first   q moderators
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

FEW_PEOPLE = 50


class UnusableTrial(ValueError):
    """No effect can be estimated: too few people, lengths that differ, a probability of 0 or 1, collinear columns."""


@dataclass(frozen=True)
class Effect:
    """Effect of anything against nothing, one entry per moderator column.

    estimate, se: (..., q).   covariance: (..., q, q).   degrees: of freedom of Student's t; infinite for the normal.
    coefficients: (..., k) all of them, those of g first.   people: n.
    """

    estimate: np.ndarray
    covariance: np.ndarray
    degrees: float
    coefficients: np.ndarray
    people: int

    @property
    def se(self) -> np.ndarray:
        return np.sqrt(np.diagonal(self.covariance, axis1=-2, axis2=-1))

    @property
    def p_value(self) -> np.ndarray:
        """Two-sided, of each coefficient being zero, (..., q)."""
        return 2 * self._law.sf(np.abs(self.estimate) / self.se)

    def interval(self, level: float = 0.95) -> np.ndarray:
        """Lower and upper end, (..., q, 2)."""
        half = self._law.ppf((1 + level) / 2) * self.se
        return np.stack([self.estimate - half, self.estimate + half], axis=-1)

    @property
    def _law(self):
        return stats.norm if np.isinf(self.degrees) else stats.t(self.degrees)


def wcls(
    *,
    outcome: np.ndarray,
    action: np.ndarray,
    probability: np.ndarray,
    person: Sequence | np.ndarray,
    available: np.ndarray | None = None,
    controls: np.ndarray | None = None,
    moderators: np.ndarray | None = None,
    numerator: np.ndarray | None = None,
) -> Effect:
    """Estimate the proximal effect of sending anything.

    outcome: (m,) proximal outcome after each decision.   action: (m,) 1 sent, 0 nothing.
    probability: (m,) of sending, as used.   person: (m,) labels.   available: (m,) bool, others do not count.
    controls: (m, c) further columns of g.   moderators: (m, q - 1) further columns of f; both get an intercept,
    and g holds the moderators too.
    numerator: (m,) probability given the moderators alone; fitted by a logistic regression on them if None.
    Raises UnusableTrial.
    """
    keep = np.ones(len(outcome), dtype=bool) if available is None else np.asarray(available, dtype=bool)
    y, a, p = (np.asarray(v, dtype=float)[keep] for v in (outcome, action, probability))
    if not (np.isfinite(y).all() and ((p > 0) & (p < 1)).all()):
        raise UnusableTrial("outcomes must be numbers and probabilities lie strictly between 0 and 1")
    f = _with_intercept(moderators, keep)
    g = f if controls is None else np.hstack([f, np.asarray(controls, dtype=float).reshape(len(keep), -1)[keep]])
    p_tilde = _numerator(a, f) if numerator is None else np.asarray(numerator, dtype=float)[keep]
    x = np.hstack([g, (a - p_tilde)[:, None] * f])
    names, index = np.unique(np.asarray(person)[keep], return_inverse=True)
    gram, cross = _moments(x, weights(a, p, p_tilde), y, index, len(names))
    return effect(gram, cross, f.shape[1])


def weights(action: np.ndarray, probability: np.ndarray, numerator: np.ndarray | float) -> np.ndarray:
    """w = (p~/p)^A ((1 - p~)/(1 - p))^(1-A), of any shape."""
    return np.where(action > 0, numerator / probability, (1 - numerator) / (1 - probability))


def effect(gram: np.ndarray, cross: np.ndarray, q: int) -> Effect:
    """Estimate from each person's weighted moments; the last q coefficients are the effect.

    gram: (..., n, k, k) G_i.   cross: (..., n, k) X_i'W_i y_i.   Raises UnusableTrial.
    """
    n, k = cross.shape[-2:]
    if n <= k:
        raise UnusableTrial(f"{n} people cannot carry {k} coefficients")
    try:
        bread = np.linalg.inv(gram.sum(axis=-3))  # Q
        theta = (bread @ cross.sum(axis=-2)[..., None])[..., 0]
        score = cross - (gram @ theta[..., None, :, None])[..., 0]  # X_i' W_i r_i
        leverage = np.eye(k) - gram @ bread[..., None, :, :]
        u = np.linalg.solve(leverage, score[..., None])[..., 0]
    except np.linalg.LinAlgError as singular:
        raise UnusableTrial("columns are collinear") from singular
    covariance = bread @ (np.swapaxes(u, -1, -2) @ u) @ bread
    degrees = float(n - k) if n < FEW_PEOPLE else np.inf
    return Effect(theta[..., -q:], covariance[..., -q:, -q:], degrees, theta, n)


def _with_intercept(columns: np.ndarray | None, keep: np.ndarray) -> np.ndarray:
    ones = np.ones((int(keep.sum()), 1))
    return ones if columns is None else np.hstack([ones, np.asarray(columns, float).reshape(len(keep), -1)[keep]])


def _moments(x, w, y, index, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each person's weighted moments, (n, k, k) and (n, k)."""
    gram, cross = np.zeros((n, x.shape[1], x.shape[1])), np.zeros((n, x.shape[1]))
    weighted = w[:, None] * x
    np.add.at(gram, index, weighted[:, :, None] * x[:, None, :])
    np.add.at(cross, index, weighted * y[:, None])
    return gram, cross


def _numerator(action: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Logistic regression of the action on the moderators by Newton's method, (m,); their mean for an intercept.

    Under a right model of the effect any numerator will do: that this one is estimated costs nothing.
    """
    if action.min(initial=1.0) == action.max(initial=0.0):
        raise UnusableTrial("something was sent always, or never")
    gamma = np.zeros(f.shape[1])
    for _ in range(50):
        p = special.expit(f @ gamma)
        step = np.linalg.lstsq((f.T * (p * (1 - p))) @ f, f.T @ (action - p), rcond=None)[0]
        gamma = gamma + step
        if np.abs(step).max() < 1e-12:
            break
    return np.clip(special.expit(f @ gamma), 1e-6, 1 - 1e-6)
