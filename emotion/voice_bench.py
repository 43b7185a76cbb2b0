"""How the voice network and its peers do on people left out: K = 0, K = 10, and skewed baselines.

Shapes:  n judged rows   K baseline clips   C classes
A *line* is one result ready for JSON: what was run, on whom, and its figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emotion import voice_peers
from emotion.calibration import fit_temperature, sharpen
from emotion.evaluate import scores
from emotion.networks.compact_voice import CompactVoice, VoiceEnsemble
from emotion.voice_corpus import Corpus
from emotion.voice_peers import StatisticsSVM

BASELINE_CLIPS = 10
SHUFFLES = 5
SKEWED = ("sadness", "neutral")
SKEW = 0.8
CORPORA = ("ravdess", "emodb", "nemo")

Network = CompactVoice | VoiceEnsemble


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
    network: Network,
    corpus: Corpus,
    fit_rows: np.ndarray,
    selection_rows: np.ndarray,
    judged: np.ndarray,
    *,
    prior_clips: float,
    seed: int,
) -> dict[str, Any]:
    """All lines of one fold and the probabilities of its judged rows at K = 0, before and after temperature."""
    chosen = decide(network, embed(network, corpus, selection_rows))
    temperature = fit_temperature(chosen, corpus.labels[selection_rows])
    voices = Voices(network, corpus, judged, embed(network, corpus, judged), prior_clips)
    raw = decide(network, voices.features)
    lines = []
    peers = {k: StatisticsSVM(k, seed=seed).fit(corpus, fit_rows, selection_rows) for k in (0, BASELINE_CLIPS)}
    for name in CORPORA:
        of_corpus = corpus.corpora[judged] == name
        rows = judged[of_corpus]
        if not len(rows):
            continue
        truth, leak = corpus.labels[rows], voice_peers.recording_leak(corpus, fit_rows, rows)
        lines += [
            _line(name, "compact_voice", 0, "", truth, raw[of_corpus].argmax(1)),
            _line(name, "svm", 0, "", truth, peers[0].predict(corpus, rows), **peers[0].chosen),
            _line(name, "durations_and_corpus", 0, "", truth, leak),
        ]
        for draw in draws(corpus, rows, seed):
            lines += [] if not len(draw.judged) else _with_baseline(name, voices, draw, peers)
    return {
        "temperature": temperature,
        "lines": lines,
        "rows": judged.tolist(),
        "raw": raw.round(6).tolist(),
        "calibrated": sharpen(raw, 1 / temperature).round(6).tolist(),
    }


@torch.no_grad()
def embed(network: Network, corpus: Corpus, rows: np.ndarray) -> Tensor:
    """Features (n, F) of whole, undisguised clips."""
    network.eval()
    return torch.cat([network.embed(torch.from_numpy(corpus.spectra[0][row].astype(np.float32))[None]) for row in rows])


@torch.no_grad()
def decide(network: Network, features: Tensor, own: Tensor | None = None, prior_clips: float = 0.0) -> np.ndarray:
    """Probabilities (n, K) of clips with these features. own: (k, F) of a person's baseline clips."""
    usual = 0.0 if own is None else own.mean(0) * len(own) / (len(own) + prior_clips)
    return network.eval().decide(features - usual).softmax(1).double().numpy()


@dataclass(frozen=True)
class Voices:
    """The judged clips as a network hears them: features (n, F) of the clips in `rows` (n,)."""

    network: Network
    corpus: Corpus
    rows: np.ndarray
    features: Tensor
    prior_clips: float

    def said(self, rows: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
        """Class numbers of `rows`, read against the clips `own` of their person, or against everybody."""
        usual = None if own is None else self._of(own)
        return decide(self.network, self._of(rows), usual, self.prior_clips).argmax(1)

    def _of(self, rows: np.ndarray) -> Tensor:
        return self.features[np.searchsorted(self.rows, rows)]


def _with_baseline(name: str, voices: Voices, draw: Draw, peers: dict[int, StatisticsSVM]) -> list[dict]:
    """Network and peer with K clips of each person, and both without them on the same rows."""
    corpus, rows, own, theirs = voices.corpus, draw.judged, [], []
    for first, rest in draw.parts:
        own.append(voices.said(rest, first))
        moments = voice_peers.moments(corpus.statistics[0, first])
        theirs.append(peers[BASELINE_CLIPS].predict(corpus, rest, moments))
    truth, with_k, chosen = corpus.labels[rows], BASELINE_CLIPS, peers[BASELINE_CLIPS].chosen
    return [
        _line(name, "compact_voice", with_k, draw.name, truth, np.concatenate(own)),
        _line(name, "compact_voice", 0, draw.name, truth, voices.said(rows)),
        _line(name, "svm", with_k, draw.name, truth, np.concatenate(theirs), **chosen),
        _line(name, "svm", 0, draw.name, truth, peers[0].predict(corpus, rows), **peers[0].chosen),
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
