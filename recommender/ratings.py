"""Neighbours, sparse linear models and factors on a table of interactions: peers of our model, beside EASE.

The auto-encoders among the peers are in `autoencoders`.

All have `fit(x)` and `score(x)`, x: (U, N) of 0 and 1; `score` takes people who were not fitted as well.

Shapes:  U people   N items   K factors
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

from recommender.autoencoders import MultVae, RecVae
from recommender.linear import gram_of

__all__ = ["ImplicitAls", "ItemKnn", "MultVae", "RecVae", "Slim"]


class ItemKnn:
    """Cosine similarity of items, shrunken, the nearest kept (Deshpande & Karypis 2004, TOIS)."""

    def __init__(self, neighbours: int = 100, shrinkage: float = 20.0) -> None:
        self.neighbours, self.shrinkage = neighbours, shrinkage

    def fit(self, x: np.ndarray) -> ItemKnn:
        gram = gram_of(x)
        length = np.sqrt(np.diag(gram))
        similar = gram / (np.outer(length, length) + self.shrinkage)
        np.fill_diagonal(similar, 0.0)
        kept = min(self.neighbours, len(gram))
        least = -np.partition(-similar, kept - 1, axis=0)[kept - 1]
        self.weights_ = np.where(similar >= least, similar, 0.0)
        return self

    def score(self, x: np.ndarray) -> np.ndarray:
        return scipy.sparse.csr_array(x) @ self.weights_


class Slim:
    """Sparse non-negative linear model (Ning & Karypis 2011, ICDM), by coordinate descent on all columns at once.

    minimise ||X - X W||^2 / 2 + l2 ||W||^2 / 2 + l1 |W|,   W >= 0, W_jj = 0
    """

    def __init__(self, l1: float = 5.0, l2: float = 300.0, sweeps: int = 5) -> None:
        self.l1, self.l2, self.sweeps = l1, l2, sweeps

    def fit(self, x: np.ndarray) -> Slim:
        gram = gram_of(x).astype(np.float32)
        weights = np.zeros_like(gram)
        for _ in range(self.sweeps):
            for j in np.flatnonzero(np.diag(gram)):  # only few rows of W are not zero: the product is over them
                own = gram[j, j]
                row = gram[j] - gram[j] @ weights + own * weights[j]
                weights[j] = np.maximum(row - self.l1, 0.0) / (own + self.l2)
                weights[j, j] = 0.0
        self.weights_ = weights
        return self

    def score(self, x: np.ndarray) -> np.ndarray:
        return scipy.sparse.csr_array(x) @ self.weights_


class ImplicitAls:
    """Matrix factorisation of all cells by alternating least squares (Hu, Koren & Volinsky 2008; Rendle et al. 2022).

        minimise sum over x_ui = 1 of (1 - p.q)^2 + a sum over all cells of (p.q)^2 + frequency-scaled L2

    unobserved: a.   regularisation: of a person with c items, times (c + a N), to the power of 1 as in Rendle et al.
    """

    def __init__(
        self, factors: int = 64, unobserved: float = 0.3, regularisation: float = 0.003, sweeps: int = 12, seed: int = 0
    ) -> None:
        self.factors, self.unobserved, self.regularisation = factors, unobserved, regularisation
        self.sweeps, self.seed = sweeps, seed

    def fit(self, x: np.ndarray) -> ImplicitAls:
        table = scipy.sparse.csr_array(np.asarray(x, dtype=np.float32))
        across = scipy.sparse.csr_array(table.T)
        rng = np.random.default_rng(self.seed)
        self.items_ = rng.normal(0, 0.1 / np.sqrt(self.factors), (x.shape[1], self.factors)).astype(np.float32)
        for _ in range(self.sweeps):
            self.items_ = self._solved(across, self._solved(table, self.items_))
        return self

    def score(self, x: np.ndarray) -> np.ndarray:
        """Each row's factors are solved for, whether it was fitted or not."""
        return self._solved(scipy.sparse.csr_array(np.asarray(x, dtype=np.float32)), self.items_) @ self.items_.T

    def _solved(self, table: scipy.sparse.csr_array, others: np.ndarray) -> np.ndarray:
        """The least-squares factors of every row given those of the columns, (rows, K)."""
        shared, eye = self.unobserved * (others.T @ others), np.eye(self.factors, dtype=np.float32)
        left = np.empty((table.shape[0], self.factors, self.factors), dtype=np.float32)
        right = np.zeros((table.shape[0], self.factors, 1), dtype=np.float32)
        for row in range(table.shape[0]):
            near = others[table.indices[table.indptr[row] : table.indptr[row + 1]]]
            penalty = self.regularisation * (len(near) + self.unobserved * table.shape[1])
            left[row], right[row, :, 0] = shared + near.T @ near + penalty * eye, near.sum(axis=0)
        return np.linalg.solve(left, right)[:, :, 0]
