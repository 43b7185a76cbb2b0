"""E6: which emotion do words express? Our network against TF-IDF with logistic regression, each data set's own classes.

Both learn the training part alone and are tuned on the dev part for macro-F1: the peer over strength and weights of
classes, ours over its epochs and how far the priors of the classes are taken off the logits. The test part is read once
per cell. Beside GoEmotions stands BERT-base, as published: another protocol (several labels
per comment), hence a reference and no peer.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from emotion import text_training
from emotion.bench import Place
from emotion.bench.cells import Cell
from emotion.data import texts
from emotion.data.texts import Corpus

EPOCHS = {"goemotions": 4, "meld": 10, "isear": 15}
BERT = "BERT-base, Demszky et al. 2020, several labels per comment: macro-F1 .624"
SEEDS = (0, 1, 2)
PRIOR_OFF = (-0.25, 0.0, 0.25, 0.5)


def cells(quick: bool) -> list[Cell]:
    names = ("isear",) if quick else tuple(EPOCHS)
    ours = [Cell("E6", "compact_text", name, seed, minutes=2) for name in names for seed in SEEDS]
    return ours + [Cell("E6", "tfidf_lr", name, minutes=1) for name in names]


def work(cell: Cell, place: Place) -> dict[str, Any]:
    corpus = texts.load(place.data, cell.data)
    if cell.method == "tfidf_lr":
        return _logistic_regression(corpus)
    folder = place.cache / f"e6-{cell.data}-{cell.seed}"
    recipe = text_training.Recipe(epochs=EPOCHS[cell.data])
    network, fitted = text_training.learn(*corpus.train, *corpus.dev, recipe=recipe, folder=folder, seed=cell.seed)
    dev, test = (text_training.logits(network, text_training.readable(part[0])) for part in (corpus.dev, corpus.test))
    prior = np.log(corpus.train[1].mean(axis=0))
    tried = [(_macro_f1(corpus.dev[1], (dev - share * prior).argmax(axis=1)), share) for share in PRIOR_OFF]
    score, share = max(tried)
    settings = {"epoch": fitted.epoch, "prior_off": share}
    return {
        "settings": settings,
        "dev_macro_f1": round(score, 4),
        **_judged(corpus, (test - share * prior).argmax(axis=1)),
    }


def _logistic_regression(corpus: Corpus) -> dict[str, Any]:
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    train, dev, test = words.fit_transform(corpus.train[0]), *map(words.transform, (corpus.dev[0], corpus.test[0]))
    rows, classes = np.nonzero(corpus.train[1])  # a comment of two classes stands there twice, with half the weight
    tried = []
    for c, weights in product((1.0, 4.0, 10.0), (None, "balanced")):
        model = LogisticRegression(C=c, class_weight=weights, max_iter=300)
        model.fit(train[rows], classes, sample_weight=corpus.train[1][rows, classes])
        tried.append((_macro_f1(corpus.dev[1], model.predict(dev)), {"C": c, "class_weight": weights}, model))
    score, settings, best = max(tried, key=lambda trial: trial[0])
    return {"settings": settings, "dev_macro_f1": round(score, 4), **_judged(corpus, best.predict(test))}


def _judged(corpus: Corpus, said: np.ndarray) -> dict[str, Any]:
    truth = corpus.test[1]
    return {
        "n": len(truth),
        "macro_f1": round(_macro_f1(truth, said), 4),
        "accuracy": round(float((truth == said).mean()), 4),
        "macro_f1_interval_95": [round(float(q), 4) for q in _interval(truth, said)],
    }


def _interval(truth: np.ndarray, said: np.ndarray, draws: int = 200) -> np.ndarray:
    """Bootstrap over texts: nobody knows who wrote them."""
    rng = np.random.default_rng(0)
    rows = rng.integers(len(truth), size=(draws, len(truth)))
    return np.quantile([_macro_f1(truth[row], said[row]) for row in rows], (0.025, 0.975))


def _macro_f1(truth: np.ndarray, said: np.ndarray) -> float:
    return float(f1_score(truth, said, average="macro"))


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    """Markdown: a row per data set and method, ours as the mean of its seeds."""
    told = [
        f"{len(lines)} of {total} cells",
        "",
        "| data | method | macro-F1 | accuracy | seeds |",
        "|---|---|---|---|---|",
    ]
    for data, method in sorted({(line["data"], line["method"]) for line in lines}):
        same = [line for line in lines if (line["data"], line["method"]) == (data, method)]
        f1, accuracy = (np.mean([line[key] for line in same]) for key in ("macro_f1", "accuracy"))
        told.append(f"| {data} | {method} | {f1:.3f} | {accuracy:.3f} | {len(same)} |")
    return "\n".join([*told, "", BERT])
