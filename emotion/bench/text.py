"""E6: which emotion do words express? Our network against TF-IDF with logistic regression, each data set's own classes.

Both learn the training part alone and are tuned on the dev part: the peer over six settings, ours over its epochs.
The test part is read once per cell. Beside GoEmotions stands BERT-base, as published: another protocol (several labels
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
    network, fitted = text_training.learn(
        corpus.train[0], corpus.train_shares, *corpus.dev, recipe=recipe, folder=folder, seed=cell.seed
    )
    said = text_training.logits(network, text_training.readable(corpus.test[0])).argmax(axis=1)
    return {"settings": {"epoch": fitted.epoch}, "dev_macro_f1": round(fitted.score, 4), **_judged(corpus, said)}


def _logistic_regression(corpus: Corpus) -> dict[str, Any]:
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    train, dev, test = words.fit_transform(corpus.train[0]), *map(words.transform, (corpus.dev[0], corpus.test[0]))
    tried = []
    for c, weights in product((1.0, 4.0, 10.0), (None, "balanced")):
        model = LogisticRegression(C=c, class_weight=weights, max_iter=300).fit(train, corpus.train[1])
        score = f1_score(corpus.dev[1], model.predict(dev), average="macro")
        tried.append((float(score), {"C": c, "class_weight": weights}, model))
    score, settings, best = max(tried, key=lambda trial: trial[0])
    return {"settings": settings, "dev_macro_f1": round(score, 4), **_judged(corpus, best.predict(test))}


def _judged(corpus: Corpus, said: np.ndarray) -> dict[str, Any]:
    truth = corpus.test[1]
    return {
        "n": len(truth),
        "macro_f1": round(float(f1_score(truth, said, average="macro")), 4),
        "accuracy": round(float((truth == said).mean()), 4),
        "macro_f1_interval_95": [round(float(q), 4) for q in _interval(truth, said)],
    }


def _interval(truth: np.ndarray, said: np.ndarray, draws: int = 200) -> np.ndarray:
    """Bootstrap over texts: nobody knows who wrote them."""
    rng = np.random.default_rng(0)
    rows = rng.integers(len(truth), size=(draws, len(truth)))
    return np.quantile([f1_score(truth[row], said[row], average="macro") for row in rows], (0.025, 0.975))


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
