"""Our model and its peers on any interaction file, under one protocol.

`recommender.pairs` reads the file and splits it; every model is chosen by NDCG@100 on the validation target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from recommender.attention import sequences_of
from recommender.catalogue import Activity
from recommender.fitting import GAINS, chosen_by_halves, paired_p
from recommender.histories import standardised
from recommender.linear import Ease, Popularity, ease_weights, gram_of
from recommender.metrics import ranking_metrics
from recommender.network import VaeConfig
from recommender.pairs import PROTOCOLS, BadPairs, Split, read_pairs, split
from recommender.ratings import ImplicitAls, ItemKnn, MultVae, RecVae, Slim
from recommender.sequences import OrderedVae, SasRec, Sequential
from recommender.space import Float, Int, Log, Setting, Space
from recommender.tuning import minimise

Weighed = Callable[[np.ndarray], np.ndarray]  # what is shown of each person, (U, N), to what it counts for
KS = (10, 20, 50, 100)
LINEAR = ("ease", "ease-recent", "ed-att-vae")  # their linear path is chosen once for all of them
SIGNIFICANCE = 0.05
REGULARISATIONS = (30.0, 100.0, 300.0, 1000.0, 3000.0)
POPULARITIES = (0.0, 0.3)  # of our linear path; EASE as published has none
CHOICES: dict[str, tuple[dict[str, float], ...]] = {  # of the peers that are not tuned: all are tried
    "knn": ({"shrinkage": 5.0}, {"shrinkage": 50.0}),
    "slim": ({"l1": 1.0, "l2": 50.0}, {"l1": 5.0, "l2": 300.0}),
    "ials": ({"unobserved": 0.1, "regularisation": 0.01}, {"unobserved": 0.3, "regularisation": 0.003}),
}
TUNED, TRIALS = ", tuned", 20  # a peer whose settings our tuner chose
SPACES: dict[str, dict[str, Setting]] = {
    "ease": {"regularisation": Log(10, 10_000)},
    "knn": {"neighbours": Int(10, 500), "shrinkage": Log(1, 500)},
    "slim": {"l1": Log(0.1, 50), "l2": Log(5, 2000)},
    "ials": {"factors": Int(16, 128), "unobserved": Log(0.01, 2), "regularisation": Log(3e-4, 0.1)},
    "mult-vae": {"dropout": Float(0.2, 0.8), "beta": Log(0.01, 1), "learning_rate": Log(3e-4, 5e-3)},
    "rec-vae": {"dropout": Float(0.2, 0.8), "gamma": Log(5e-4, 0.05), "learning_rate": Log(1e-4, 3e-3)},
}
RECENCIES = ((2.0, 0.1), (5.0, 0.1), (5.0, 0.3), (20.0, 0.3))  # rows after which weight is down to 1/e; what is left
MODELS = ("popularity", "knn", "ease", "ease-recent", "slim", "ials", "mult-vae", "ed-att-vae")  # others take long
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
    if name not in LINEAR:
        base = name.removesuffix(TUNED)
        tried = _searched(base, data, seed, told) if name != base else CHOICES.get(base, ({},))
        return _best([PEERS[base](data, seed, **settings) for settings in tried], data)
    plain = name in LINEAR[:2]
    regularisation, popularity = _chosen_linear(data, (0.0,) if plain else POPULARITIES)
    told(f"{name}: lambda {regularisation:g}, popularity {popularity:g} by the validation target")
    weighed = _alike if name == "ease" else _recency(data, regularisation, popularity, told)
    if plain:
        ease = Ease(regularisation).fit(data.fitted)
        return lambda shown: ease.score(weighed(shown))
    chosen = replace(config or FILMS, regularisation=regularisation, popularity=popularity)
    return _ours(data, seed, chosen, weighed, told)


def _searched(base: str, data: Split, seed: int, told: Callable[[str], None]) -> list[dict[str, Any]]:
    """The settings of a peer that rank best on the validation target, by our tuner in `TRIALS` evaluations."""

    def loss(settings: dict[str, Any]) -> float:
        return -_quality(PEERS[base](data, seed, **settings), data)

    study = minimise(loss, Space(SPACES[base]), budget=TRIALS, seed=seed)
    best = study.best.config if study.best else {}
    told(f"{base}{TUNED}: {best} by the validation target")
    return [best]


def _popularity(data: Split, seed: int) -> Callable:
    return Popularity().fit(data.fitted).score


def _ease(data: Split, seed: int, **settings) -> Callable:
    return Ease(**settings).fit(data.fitted).score


def _knn(data: Split, seed: int, **settings) -> Callable:
    return ItemKnn(**settings).fit(data.fitted).score


def _slim(data: Split, seed: int, **settings) -> Callable:
    return Slim(**settings).fit(data.fitted).score


def _ials(data: Split, seed: int, **settings) -> Callable:
    return ImplicitAls(seed=seed, **settings).fit(data.fitted).score


def _auto_encoder(kind: type[MultVae], data: Split, seed: int, **settings) -> Callable:
    batch = int(np.clip(len(data.fitted) // 10, 32, 500))  # 500 as published, but ten steps an epoch
    peer = kind(batch=batch, seed=seed, **settings)
    return peer.fit(data.fitted, judge=lambda score: _quality(score, data)).score


def _sequential(kind: type[Sequential], data: Split, seed: int, **settings) -> Callable:
    if data.age is None:
        raise BadPairs("the order of rows is not known")
    age, learnt = data.age, sequences_of(data.fitted, data.age)
    n, known = data.fitted.shape[1], sequences_of(data.valid_shown, data.age)
    model = kind(seed=seed, **settings).fit(learnt, n, judge=lambda score: _quality(lambda _: score(known), data))
    return lambda shown: model.score(sequences_of(shown, age))


PEERS: dict[str, Callable[..., Callable]] = {  # name: fits to a split, with settings, and returns its `score`
    "popularity": _popularity,
    "ease": _ease,
    "knn": _knn,
    "slim": _slim,
    "ials": _ials,
    "mult-vae": partial(_auto_encoder, MultVae),
    "rec-vae": partial(_auto_encoder, RecVae),
    "sasrec": partial(_sequential, SasRec),
}


def _ours(data: Split, seed: int, config: VaeConfig, weighed: Weighed, told: Callable[[str], None]):
    from recommender.vae import NothingToLearn, Recommender

    ours = Recommender(config, seed)
    activities = [Activity(str(i)) for i in range(data.fitted.shape[1])]
    try:
        ours.fit_matrix(data.fitted, activities, shown=weighed(data.valid_shown), wanted=data.valid_wanted)
    except NothingToLearn as error:
        raise BadPairs(f"nobody is left to learn from: {error}") from error
    told(f"ours: {ours.report_}")
    return _with_order(lambda shown: ours.logits_of_matrix(weighed(shown)), data, seed, told)


def _with_order(table: Callable, data: Split, seed: int, told: Callable[[str], None]) -> Callable:
    """Mix in our model of the order of rows, if that ranks better by a paired test; else the table's scores as is."""
    if data.age is None or not data.valid_wanted.any():
        return table
    order = _sequential(OrderedVae, data, seed)
    scores = table(data.valid_shown)
    plain, base, after = _ndcg(scores, data), standardised(scores), standardised(order(data.valid_shown))
    tried = np.stack([_ndcg(base + gain * after, data) for gain in GAINS])
    values, best = chosen_by_halves(tried, np.random.default_rng(seed))
    if paired_p(values, plain) >= SIGNIFICANCE:
        return table
    gain = GAINS[best]
    told(f"order is read: gain {gain:g}, validation NDCG {tried[best].mean():.4f}, without {plain.mean():.4f}")
    return lambda shown: standardised(table(shown)) + gain * standardised(order(shown))


def _recency(data: Split, regularisation: float, popularity: float, told: Callable[[str], None]) -> Weighed:
    """Rows in which newer items count for more, if that ranks better by a paired test; else rows as they are."""
    if data.age is None or not data.valid_wanted.any():
        return _alike
    ease = ease_weights(gram_of(data.fitted), regularisation, popularity).astype(np.float32)
    choices: list[Weighed] = [_alike, *(partial(_newer, data.age, *recency) for recency in RECENCIES)]
    tried = np.stack([_ndcg(scipy.sparse.csr_array(weighed(data.valid_shown)) @ ease, data) for weighed in choices])
    values, best = chosen_by_halves(tried, np.random.default_rng(0))
    if best == 0 or paired_p(values, tried[0]) >= SIGNIFICANCE:
        return _alike
    told(
        f"order counts: {RECENCIES[best - 1]}, validation NDCG {tried[best].mean():.4f}, without {tried[0].mean():.4f}"
    )
    return choices[best]


def _alike(shown: np.ndarray) -> np.ndarray:
    return shown


def _newer(age: np.ndarray, rows: float, floor: float, shown: np.ndarray) -> np.ndarray:
    """Weights from 1 for the newest item that is shown down to `floor`; 1/e of the way after so many rows, (U, N)."""
    newest = np.where(shown > 0, age, np.inf).min(axis=1, keepdims=True)
    since = np.where(shown > 0, age - np.where(np.isfinite(newest), newest, 0.0), 0.0)
    weighed: np.ndarray = shown * (floor + (1 - floor) * np.exp(-since / rows)).astype(shown.dtype)
    return weighed


def _best(scores: Sequence[Callable], data: Split) -> Callable:
    return scores[0] if len(scores) == 1 else max(scores, key=lambda score: _quality(score, data))


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
