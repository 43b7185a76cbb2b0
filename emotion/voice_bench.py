"""How the voice network and its peers do on people left out: K = 0, K = 10, and skewed baselines.

Shapes:  n judged rows   K baseline clips   C classes
A *line* is one result ready for JSON: what was run, on whom, and its figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotion import voice_peers
from emotion.calibration import fit_temperature, sharpen
from emotion.evaluate import scores
from emotion.networks.compact_voice import CompactVoice
from emotion.voice_corpus import Corpus, population_moments, shrink
from emotion.voice_peers import StatisticsSVM

BASELINE_CLIPS = 10
SHUFFLES = 5
SKEWED = ("sadness", "neutral")
SKEW = 0.8

Predict = Callable[[CompactVoice, Corpus, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Draw:
    """For each person some clips make the baseline and the rest is judged, in one order of time."""

    name: str
    parts: tuple[tuple[np.ndarray, np.ndarray], ...]  # per person: baseline rows, judged rows

    @property
    def judged(self) -> np.ndarray:
        return np.concatenate([rest for _, rest in self.parts])


def draws(corpus: Corpus, rows: np.ndarray, seed: int) -> Iterator[Draw]:
    """Five shuffled orders, then baselines that are four fifths sadness, and four fifths neutral."""
    for shuffle in range(SHUFFLES):
        yield Draw(f"shuffle {shuffle}", _parts(corpus, rows, np.random.default_rng([seed, shuffle]), None))
    for emotion in SKEWED:
        yield Draw(f"80 % {emotion}", _parts(corpus, rows, np.random.default_rng([seed, 99]), emotion))


def _parts(corpus: Corpus, rows: np.ndarray, rng: np.random.Generator, skewed_to: str | None) -> tuple:
    parts = []
    for person in sorted(set(corpus.people[rows])):
        order = rng.permutation(rows[corpus.people[rows] == person])
        if skewed_to:
            wanted = corpus.labels[order] == corpus.classes.index(skewed_to)
            many = int(SKEW * BASELINE_CLIPS)
            first = np.concatenate([order[wanted][:many], order[~wanted][: BASELINE_CLIPS - many]])
            order = np.concatenate([first, order[~np.isin(order, first)]])
        parts.append((order[:BASELINE_CLIPS], order[BASELINE_CLIPS:]))
    return tuple(parts)


def judge(
    network: CompactVoice,
    predict: Predict,
    corpus: Corpus,
    fit_rows: np.ndarray,
    selection_rows: np.ndarray,
    judged: np.ndarray,
    *,
    prior_clips: float,
    seed: int,
) -> dict[str, Any]:
    """All lines of one fold and the probabilities of its judged rows at K = 0, before and after temperature."""
    population = population_moments(corpus, fit_rows)
    temperature = fit_temperature(predict(network, corpus, selection_rows, population), corpus.labels[selection_rows])
    raw = predict(network, corpus, judged, population)
    lines = []
    peers = {k: StatisticsSVM(k, prior_clips, seed).fit(corpus, fit_rows, selection_rows) for k in (0, BASELINE_CLIPS)}
    for name in ("ravdess", "emodb"):
        of_corpus = corpus.corpora[judged] == name
        rows = judged[of_corpus]
        if not len(rows):
            continue
        own = raw[of_corpus].argmax(1)
        lines += [
            _line(name, "compact_voice", 0, "", corpus.labels[rows], own),
            _line(name, "svm", 0, "", corpus.labels[rows], peers[0].predict(corpus, rows), **peers[0].chosen),
            _line(
                name,
                "durations_and_corpus",
                0,
                "",
                corpus.labels[rows],
                voice_peers.recording_leak(corpus, fit_rows, rows),
            ),
        ]
        if name == "ravdess":
            at_zero = dict(zip(rows.tolist(), own, strict=True))
            for draw in draws(corpus, rows, seed):
                lines += _with_baseline(network, predict, corpus, draw, population, prior_clips, peers, at_zero)
    return {
        "temperature": temperature,
        "lines": lines,
        "rows": judged.tolist(),
        "raw": raw.round(6).tolist(),
        "calibrated": sharpen(raw, 1 / temperature).round(6).tolist(),
    }


def _with_baseline(
    network: CompactVoice,
    predict: Predict,
    corpus: Corpus,
    draw: Draw,
    population: np.ndarray,
    prior_clips: float,
    peers: dict[int, StatisticsSVM],
    at_zero: dict[int, int],
) -> list[dict]:
    """Network and peer with K clips of each person, and both without them on the same rows."""
    ours, theirs = [], []
    for first, rest in draw.parts:
        moments = shrink(corpus.moments[0, first].mean(axis=0), len(first), population, prior_clips)
        ours.append(predict(network, corpus, rest, moments).argmax(1))
        own = voice_peers.moments(corpus.statistics[0, first])
        theirs.append(peers[BASELINE_CLIPS].predict(corpus, rest, own))
    rows, truth = draw.judged, corpus.labels[draw.judged]
    without = np.array([at_zero[row] for row in rows.tolist()])
    return [
        _line("ravdess", "compact_voice", BASELINE_CLIPS, draw.name, truth, np.concatenate(ours)),
        _line("ravdess", "compact_voice", 0, draw.name, truth, without),
        _line(
            "ravdess", "svm", BASELINE_CLIPS, draw.name, truth, np.concatenate(theirs), **peers[BASELINE_CLIPS].chosen
        ),
        _line("ravdess", "svm", 0, draw.name, truth, peers[0].predict(corpus, rows), **peers[0].chosen),
    ]


def _line(data: str, method: str, clips: int, draw: str, truth: np.ndarray, said: np.ndarray, **settings: Any) -> dict:
    found = scores(truth, said)
    return {
        "data": data,
        "method": method,
        "baseline_clips": clips,
        "draw": draw,
        "n": len(truth),
        "uar": round(found["uar"], 4),
        "accuracy": round(found["accuracy"], 4),
        "recall": {emotion: round(row["recall"], 4) for emotion, row in found["per_class"].items()},
        "settings": settings,
    }


def summary(lines: list[dict]) -> dict[str, dict[str, float]]:
    """Mean UAR over folds by data, method, K and whether the baseline was drawn at random or skewed."""
    table: dict[str, list[float]] = {}
    for line in lines:
        drawn = "" if not line["draw"] else " same rows" if line["draw"].startswith("shuffle") else f" {line['draw']}"
        key = f"{line['data']} {line['method']} K={line['baseline_clips']}{drawn}"
        table.setdefault(key, []).append(line["uar"])
    return {
        key: {"uar": round(float(np.mean(values)), 4), "results": len(values)} for key, values in sorted(table.items())
    }
