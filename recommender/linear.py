"""Linear recommenders with closed forms: EASE, and popularity as the floor.

Shapes:  U people   N activities
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

FOLDS = 5


class Popularity:
    """Scores every item by how many people took it up."""

    def fit(self, x: np.ndarray) -> Popularity:
        """x: (U, N) non-negative."""
        self.counts_ = np.asarray((x > 0).sum(axis=0), dtype=float)
        return self

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return (U, N)."""
        return np.broadcast_to(self.counts_, x.shape)


class Ease:
    """Embarrassingly shallow auto-encoder (Steck 2019, WWW, equation 8).

        P = (X'X + lambda I)^-1,   B_ij = -P_ij / P_jj,   B_jj = 0,   scores = X B

    regularisation: lambda, in interactions.
    After `fit`: weights_ (N, N) with a zero diagonal.
    """

    def __init__(self, regularisation: float = 1000.0) -> None:
        if not regularisation > 0:
            raise ValueError("regularisation must be positive")
        self.regularisation = regularisation

    def fit(self, x: np.ndarray) -> Ease:
        """x: (U, N) non-negative strengths of engagement."""
        self.weights_ = ease_weights(gram_of(x), self.regularisation)
        return self

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return (U, N)."""
        return scipy.sparse.csr_array(np.asarray(x, dtype=np.float64)) @ self.weights_


def gram_of(x: np.ndarray) -> np.ndarray:
    """X'X, (N, N): most of a table of interactions is empty, and the product runs over what is there."""
    sparse = scipy.sparse.csr_array(x).astype(np.float64)
    return (sparse.T @ sparse).toarray()


def ease_weights(gram: np.ndarray, regularisation: float, popularity: float = 0.0) -> np.ndarray:
    """Return B, (N, N), from the Gram matrix X'X.

    popularity: item i is shrunk by lambda (n_i / mean n) ** popularity, as Rendle et al. (2022) do for factors; 0 is
    EASE as published. An item that nobody took up counts as taken up once.
    """
    count = np.maximum(np.diag(gram), 1.0)
    inverse = np.linalg.inv(gram + np.diag(regularisation * (count / count.mean()) ** popularity))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def folds_of(n: int, seed: int, folds: int = FOLDS) -> np.ndarray:
    """Return a fold number per person, (n,), sizes differing by at most one."""
    return np.random.default_rng(seed).permutation(n) % folds


def cross_fitted_weights(x: np.ndarray, regularisation: float, seed: int, folds: int = FOLDS):
    """Return each person's fold, (U,), and per fold the weights learnt from the people outside it, (F, N, N).

    A model trained on its own linear scores would trust them too much: those of a person must come from others.
    """
    x = np.asarray(x, dtype=np.float64)
    fold = folds_of(len(x), seed, folds)
    gram = gram_of(x)
    weights = [ease_weights(gram - gram_of(x[fold == f]), regularisation) for f in range(folds)]
    return fold, np.stack(weights)
