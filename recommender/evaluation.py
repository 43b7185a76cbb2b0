"""Our model and its peers on any interaction file, under one protocol.

`recommender.pairs` reads the file and splits it; every model is chosen by NDCG@100 on the validation target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from recommender.catalogue import Activity
from recommender.fitting import chosen_by_halves, paired_p
from recommender.linear import Ease, Popularity, ease_weights, gram_of
from recommender.metrics import ranking_metrics
from recommender.network import VaeConfig
from recommender.pairs import PROTOCOLS, BadPairs, Split, read_pairs, split
from recommender.ratings import ImplicitAls, ItemKnn, MultVae, RecVae, Slim

KS = (10, 20, 50, 100)
SIGNIFICANCE = 0.05
REGULARISATIONS = (30.0, 100.0, 300.0, 1000.0, 3000.0)
POPULARITIES = (0.0, 0.3)  # of our linear path; EASE as published has none
IALS_CHOICES = ((0.1, 0.01), (0.3, 0.003))  # weight of what was not taken up, regularisation
SLIM_CHOICES = ((1.0, 50.0), (5.0, 300.0))
RECENCIES = ((2.0, 0.1), (5.0, 0.1), (5.0, 0.3), (20.0, 0.3))  # rows after which weight is down to 1/e; what is left
MODELS = ("popularity", "knn", "ease", "ease-recent", "slim", "ials", "mult-vae", "ed-att-vae")  # "rec-vae" takes long
FILMS = VaeConfig(
    latent=64, width=128, mixture=1, id_dropout=0.0, beta=0.004, learning_rate=5e-3, batch=256, epochs=80, patience=10
)


def evaluate(
    path: str | Path,
    protocol: str,
    *,
    models: Sequence[str] = MODELS,
    seed: int = 0,
    config: VaeConfig | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Return rows of model, metric, k and mean over the users with a target.

    config: of our model, without its context block; its linear path is chosen by the validation target.
    Raises BadPairs.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}")
    data = split(read_pairs(path), protocol, seed)
    rows = []
    for name in models:
        if name == "ease-recent" and data.age is None:  # is EASE there
            continue
        metrics = judged(name, data, seed, config, told)
        rows += [{"model": name, "metric": m, "k": k, "mean": float(v.mean())} for (m, k), v in metrics.items()]
        told(f"{name}: recall@20 {metrics['recall', 20].mean():.4f}, ndcg@20 {metrics['ndcg', 20].mean():.4f}")
    return rows


def judged(
    name: str, data: Split, seed: int, config: VaeConfig | None = None, told: Callable[[str], None] = lambda _: None
) -> dict[tuple[str, int], np.ndarray]:
    """Fit a model and return its metrics per user with a target, {(metric, k): (U,)}."""
    score = _model(name, data, seed, config, told)
    return ranking_metrics(score(data.test_shown), data.test_closed > 0, data.test_wanted > 0, KS)


def _model(name: str, data: Split, seed: int, config: Any, told: Callable[[str], None]) -> Callable:
    """Fit one model, what is free in it chosen by the validation target; return its `score`."""
    if name == "popularity":
        return Popularity().fit(data.fitted).score
    if name == "knn":
        return _best([ItemKnn(shrinkage=s).fit(data.fitted) for s in (5.0, 50.0)], data).score
    if name == "slim":
        return _best([Slim(l1, l2).fit(data.fitted) for l1, l2 in SLIM_CHOICES], data).score
    if name == "ials":
        choices = [ImplicitAls(unobserved=a, regularisation=r, seed=seed) for a, r in IALS_CHOICES]
        return _best([model.fit(data.fitted) for model in choices], data).score
    if name in ("mult-vae", "rec-vae"):
        batch = int(np.clip(len(data.fitted) // 10, 32, 500))  # 500 as published, but ten steps an epoch
        peer = MultVae(batch=batch, seed=seed) if name == "mult-vae" else RecVae(batch=batch, seed=seed)
        return peer.fit(data.fitted, judge=lambda score: _quality(score, data)).score
    plain = name in ("ease", "ease-recent")
    regularisation, popularity = _chosen_linear(data, (0.0,) if plain else POPULARITIES)
    told(f"{name}: lambda {regularisation:g}, popularity {popularity:g} by the validation target")
    weights = 1.0 if name == "ease" else _recency(data, regularisation, popularity, told)
    if plain:
        ease = Ease(regularisation).fit(data.fitted)
        return lambda shown: ease.score(shown * weights)
    chosen = replace(config or FILMS, regularisation=regularisation, popularity=popularity)
    return _ours(data, seed, chosen, weights, told)


def _ours(data: Split, seed: int, config: VaeConfig, weights: np.ndarray | float, told: Callable[[str], None]):
    from recommender.vae import NothingToLearn, Recommender

    ours = Recommender(config, seed)
    activities = [Activity(str(i)) for i in range(data.fitted.shape[1])]
    try:
        ours.fit_matrix(data.fitted, activities, shown=data.valid_shown * weights, wanted=data.valid_wanted)
    except NothingToLearn as error:
        raise BadPairs(f"nobody is left to learn from: {error}") from error
    told(f"ours: {ours.report_}")
    return lambda shown: ours.logits_of_matrix(shown * weights)


def _recency(data: Split, regularisation: float, popularity: float, told: Callable[[str], None]) -> np.ndarray | float:
    """What an item counts for by its age, (U, N); 1 unless the order of rows ranks better by a paired test."""
    if data.age is None or not data.valid_wanted.any():
        return 1.0
    ease = ease_weights(gram_of(data.fitted), regularisation, popularity).astype(np.float32)
    weights: list[np.ndarray | float] = [
        1.0,
        *(floor + (1 - floor) * np.exp(-data.age / rows) for rows, floor in RECENCIES),
    ]
    tried = np.stack([_ndcg(scipy.sparse.csr_array(data.valid_shown * one) @ ease, data) for one in weights])
    values, best = chosen_by_halves(tried, np.random.default_rng(0))
    if best == 0 or paired_p(values, tried[0]) >= SIGNIFICANCE:
        return 1.0
    told(
        f"order counts: {RECENCIES[best - 1]}, validation NDCG {tried[best].mean():.4f}, without {tried[0].mean():.4f}"
    )
    return weights[best]


def _best(models: Sequence[Any], data: Split) -> Any:
    return max(models, key=lambda model: _quality(model.score, data))


def _quality(score: Callable, data: Split) -> float:
    """NDCG@100 on the validation target: what every model is chosen by."""
    return float(_ndcg(score(data.valid_shown), data).mean()) if data.valid_wanted.any() else 0.0


def _ndcg(scores: np.ndarray, data: Split) -> np.ndarray:
    """NDCG@100 of each user with a validation target."""
    return ranking_metrics(scores, data.valid_shown > 0, data.valid_wanted > 0, (100,))["ndcg", 100]


def _chosen_linear(data: Split, popularities: Sequence[float]) -> tuple[float, float]:
    """EASE's lambda, and how far it grows with the popularity of an item."""
    if not data.valid_wanted.any():
        return 1000.0, 0.0
    choices = [(r, p) for p in popularities for r in REGULARISATIONS]
    return max(choices, key=lambda choice: _linear_quality(data, *choice))


@lru_cache(maxsize=16)
def _linear_quality(data: Split, regularisation: float, popularity: float) -> float:
    """Kept, because EASE and our model ask for the same."""
    weights = ease_weights(gram_of(data.fitted), regularisation, popularity).astype(np.float32)
    return _quality(lambda shown: scipy.sparse.csr_array(shown) @ weights, data)
