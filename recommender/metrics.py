"""Ranking metrics over held-out items.

Shapes:  U people   N items
"""

from __future__ import annotations

import numpy as np


def ranking_metrics(scores: np.ndarray, seen: np.ndarray, held_out: np.ndarray, ks=(10, 20, 50, 100)):
    """Return {(metric, k): (U',) values} for "recall" and "ndcg" over people with held-out items.

    scores: (U, N).   seen: (U, N) bool, items that may not be offered again.   held_out: (U, N) bool.
    recall@k divides by all held-out items, as in the MovieLens-1M protocol of DiffRec; ndcg@k has binary gains and
    an ideal list of min(k, held-out) items. Ties break by position.
    """
    people = held_out.any(axis=1)
    scores = np.where(seen[people], -np.inf, scores[people])
    held_out = held_out[people]
    depth = min(max(ks), scores.shape[1])
    best = top(scores, depth)
    hits = np.take_along_axis(held_out, best, axis=1).astype(float)  # (U', depth)
    total = held_out.sum(axis=1)
    discount = 1 / np.log2(np.arange(2, depth + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    result = {}
    for k in ks:
        result["recall", k] = hits[:, :k].sum(axis=1) / total
        result["ndcg", k] = hits[:, :k] @ discount[:k] / ideal[np.minimum(total, min(k, depth))]
    return result


def top(scores: np.ndarray, depth: int) -> np.ndarray:
    """Positions of the largest scores of each row, best first, (U, depth); ties break by position.

    The rest of a long row is not sorted.
    """
    threshold = -np.partition(-scores, depth - 1, axis=1)[:, depth - 1 : depth]  # (U, 1)
    above, equal = scores > threshold, scores == threshold
    missing = depth - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (np.cumsum(equal, axis=1) <= missing))
    places = np.nonzero(chosen)[1].reshape(len(scores), depth)
    order = np.argsort(-np.take_along_axis(scores, places, axis=1), axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1)
