"""Figures of a run of the protocol: per strategy and k, with intervals over people and the distance to a peer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from emotion import calibration
from emotion.fusion.posteriors import Table
from emotion.fusion.protocol import Outcome, Predictions

PEER = "product"
DRAWS = 2000


def report(table: Table, outcome: Outcome, *, peer: str = PEER, seed: int = 0, draws: int = DRAWS) -> dict[str, Any]:
    """Ready for JSON. Intervals are 95 % bootstrap intervals over people; paired ones use the same draws."""
    tables = {key: _confusions(table, found, outcome.scored) for key, found in outcome.predictions.items()}
    people = len(outcome.scored)
    weights = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), size=draws)
    drawn = {key: _measures(np.einsum("dp,pij->dij", weights, counts)) for key, counts in tables.items()}
    strategies: dict[str, dict[str, Any]] = {}
    for (name, k), counts in tables.items():
        figures = {m: float(v[0]) for m, v in _measures(counts.sum(0)[None]).items()}
        intervals = {f"{m}_interval_95": _interval(v) for m, v in drawn[name, k].items()}
        row = {**figures, **intervals, **_confidence(table, outcome.predictions[name, k], seed)}
        if (peer, k) in tables:
            row[f"difference_to_{peer}"] = _difference(counts, tables[peer, k], drawn[name, k], drawn[peer, k])
        strategies.setdefault(name, {})[str(k)] = row
    return {
        "classes": list(table.classes),
        "modalities": sorted(table.posteriors),
        "n": len(table.truth),
        "people": people,
        "people_too_short": outcome.too_short,
        "strategies": strategies,
    }


def _confusions(table: Table, found: Predictions, scored: list[str]) -> np.ndarray:
    """(people, K, K) counts over all shuffles, rows = truth."""
    size = len(table.classes)
    number = {person: i for i, person in enumerate(scored)}
    person = np.array([number[str(p)] for p in table.people[found.row]])
    counts = np.zeros((len(scored), size, size))
    np.add.at(counts, (person, table.truth[found.row], found.probabilities.argmax(1)), 1)
    return counts


def _measures(counts: np.ndarray) -> dict[str, np.ndarray]:
    """UAR, accuracy and macro-F1 of confusion tables (d, K, K), each (d,); over the classes that occur."""
    right, true, said = np.einsum("dii->di", counts), counts.sum(2), counts.sum(1)
    there = true > 0

    def over_classes(values: np.ndarray) -> np.ndarray:
        return np.where(there, values, 0).sum(1) / there.sum(1)

    return {
        "uar": over_classes(right / np.maximum(true, 1)),
        "accuracy": right.sum(1) / counts.sum((1, 2)),
        "macro_f1": over_classes(2 * right / np.maximum(true + said, 1)),
    }


def _confidence(table: Table, found: Predictions, seed: int) -> dict[str, float]:
    """Calibration over all shuffles; beyond chance from the first shuffle, where no clip stands twice."""
    truth, p = table.truth[found.row], found.probabilities
    confidence, correct = p.max(1), p.argmax(1) == truth
    first = found.shuffle == 0
    rng = np.random.default_rng(seed)
    beyond, p_value = calibration.excess_calibration_error(confidence[first], correct[first], rng, draws=300)
    return {
        "ece": calibration.calibration_error(confidence, correct),
        "ece_beyond_chance": beyond,
        "ece_p_value": p_value,
        "brier": calibration.brier_score(p, truth),
        "log_loss": calibration.log_loss(p, truth),
    }


def _difference(
    ours: np.ndarray, theirs: np.ndarray, drawn: Mapping[str, np.ndarray], peer: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    mine, other = _measures(ours.sum(0)[None]), _measures(theirs.sum(0)[None])
    out: dict[str, Any] = {m: float((mine[m] - other[m])[0]) for m in mine}
    return out | {f"{m}_interval_95": _interval(drawn[m] - peer[m]) for m in mine}


def _interval(values: np.ndarray) -> list[float]:
    return [float(v) for v in np.percentile(values, [2.5, 97.5])]
