"""Our model and its peers on any interaction file, under one protocol.

`recommender.pairs` reads the file and splits it; every model is chosen by NDCG@100 on the validation target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from recommender.catalogue import Activity
from recommender.linear import Ease, Popularity, ease_weights, gram_of
from recommender.metrics import ranking_metrics
from recommender.network import VaeConfig
from recommender.pairs import PROTOCOLS, BadPairs, Split, read_pairs, split
from recommender.ratings import ImplicitAls, ItemKnn, MultVae, Slim

KS = (10, 20, 50, 100)
REGULARISATIONS = (100.0, 300.0, 1000.0, 3000.0)
IALS_CHOICES = ((0.1, 0.01), (0.3, 0.003))  # weight of what was not taken up, regularisation
SLIM_CHOICES = ((1.0, 50.0), (5.0, 300.0))
MODELS = ("popularity", "knn", "ease", "slim", "ials", "mult-vae", "ed-att-vae")
FILMS = VaeConfig(latent=64, width=128, mixture=1, id_dropout=0.0, learning_rate=5e-3, batch=128, epochs=15, patience=4)


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

    config: of our model, without its context block; its regularisation is set to the one that EASE chooses.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}")
    data = split(read_pairs(path), protocol, seed)
    if not data.test_wanted.any():
        raise BadPairs("no user has a target")
    rows = []
    for name in models:
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
    if name == "mult-vae":
        return MultVae(seed=seed).fit(data.fitted, judge=lambda score: _quality(score, data)).score
    regularisation = _chosen_regularisation(data)
    told(f"EASE: lambda {regularisation:g} by the validation target")
    if name == "ease":
        return Ease(regularisation).fit(data.fitted).score
    return _ours(data, seed, replace(config or FILMS, regularisation=regularisation), told)


def _ours(data: Split, seed: int, config: VaeConfig, told: Callable[[str], None]) -> Callable:
    from recommender.vae import Recommender

    ours = Recommender(config, seed)
    activities = [Activity(str(i)) for i in range(data.fitted.shape[1])]
    ours.fit_matrix(data.fitted, activities, shown=data.valid_shown, wanted=data.valid_wanted)
    told(f"ours: {ours.report_}")
    return ours.logits_of_matrix


def _best(models: Sequence[Any], data: Split) -> Any:
    return max(models, key=lambda model: _quality(model.score, data))


def _quality(score: Callable, data: Split) -> float:
    """NDCG@100 on the validation target: what every model is chosen by."""
    if not data.valid_wanted.any():
        return 0.0
    metrics = ranking_metrics(score(data.valid_shown), data.valid_shown > 0, data.valid_wanted > 0, (100,))
    return float(metrics["ndcg", 100].mean())


def _chosen_regularisation(data: Split) -> float:
    if not data.valid_wanted.any():
        return 1000.0
    gram = gram_of(data.fitted)
    shown = scipy.sparse.csr_array(data.valid_shown)
    return max(REGULARISATIONS, key=lambda r: _quality(lambda _: shown @ ease_weights(gram, r), data))
