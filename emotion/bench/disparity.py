"""E10: the face of one clip with the voice of another emotion of the same actor, against clips as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emotion.bench import Place
from emotion.bench.cells import Cell
from emotion.bench.fusion_data import ravdess
from emotion.disparity import Null, disagreement, jensen_shannon
from emotion.fusion import BestModality
from emotion.fusion.posteriors import Table
from emotion.fusion.strategy import rows
from emotion.reliability import Reliability

LABELS = 20  # of a person, before their other clips are scored
OTHER_VOICES = 3  # per face
SHUFFLES = 5
DRAWS = 1000

Score = Callable[[np.ndarray, np.ndarray], float]
# method: (score, calibrated by the population's temperatures, the person's confusions known, null drawn to the person)
METHODS: dict[str, tuple[Score, bool, bool, bool]] = {
    "plain divergence": (jensen_shannon, False, False, False),
    "calibrated divergence": (jensen_shannon, True, False, False),
    "disagreement": (disagreement, True, False, False),
    "disagreement, null drawn to the person": (disagreement, True, False, True),
    "disagreement, 20 labels": (disagreement, True, True, False),
    "disagreement, 20 labels, null drawn to the person": (disagreement, True, True, True),
}


def cells(quick: bool) -> list[Cell]:
    return [Cell("E10", name, "ravdess", minutes=1.0) for name in (list(METHODS)[:3] if quick else METHODS)]


def work(cell: Cell, place: Place) -> dict[str, Any]:
    table = ravdess(place.data)
    found = [_person(table, str(person), cell.method) for person in np.unique(table.people)]
    congruent, mixed = ([part for one in found for part in one[i]] for i in (0, 1))
    alarms, caught = (np.array([[len(p), (p[:, 1] < 0.05).sum()] for p in parts]) for parts in (congruent, mixed))
    people = [(np.concatenate(c)[:, 0], np.concatenate(m)[:, 0]) for c, m in found]
    rng = np.random.default_rng(cell.seed)
    draws = [_auc([people[i] for i in rng.integers(len(people), size=len(people))]) for _ in range(DRAWS)]
    return {
        "people": len(people),
        "auc": _auc(people),
        "auc_interval_95": [float(v) for v in np.percentile(draws, [2.5, 97.5])],
        "recall_at_5_percent_false_alarms": _recall(people),
        "alert_recall": float(caught[:, 1].sum() / caught[:, 0].sum()),
        "alert_false_alarms": float(alarms[:, 1].sum() / alarms[:, 0].sum()),
    }


def _person(table: Table, person: str, method: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Per shuffle: scores and p-values (n, 2) of clips as they are, and of mixed ones. Null from other people."""
    _, calibrated, labelled, drawn = METHODS[method]
    others = table.take(table.people != person)
    rule = BestModality(table.classes)
    if calibrated:
        rule.fit(others.posteriors, others.truth, others.people)
    scores = [
        _congruent(table, np.flatnonzero(table.people == b), 0, rule, method)[1] for b in np.unique(others.people)
    ]
    null = Null(tuple(np.concatenate(scores)))
    congruent, mixed = [], []
    for seed in range(SHUFFLES):
        known, usual = _congruent(table, np.flatnonzero(table.people == person), seed, rule, method)
        order = np.random.default_rng(seed).permutation(np.flatnonzero(table.people == person))
        earlier = [_score(table, i, i, rule, known, method) for i in order[:LABELS]] if drawn else []
        own = null.knowing(earlier)
        later = order[LABELS:]
        rng = np.random.default_rng(seed)
        voices = [
            (i, j) for i in later for j in rng.permutation(later[table.truth[later] != table.truth[i]])[:OTHER_VOICES]
        ]
        congruent.append(_with_p(usual, own))
        mixed.append(_with_p(np.array([_score(table, i, j, rule, known, method) for i, j in voices]), own))
    return congruent, mixed


def _congruent(
    table: Table, mine: np.ndarray, seed: int, rule: BestModality, method: str
) -> tuple[Reliability, np.ndarray]:
    """What is known of a person after their first clips, and the scores of the later ones as they are."""
    order, known = np.random.default_rng(seed).permutation(mine), rule.start()
    if METHODS[method][2]:
        for i in order[:LABELS]:
            known = rule.learn(known, rows(table.posteriors, i), int(table.truth[i]))
    return known, np.array([_score(table, i, i, rule, known, method) for i in order[LABELS:]])


def _score(table: Table, face: int, voice: int, rule: BestModality, known: Reliability, method: str) -> float:
    score = METHODS[method][0]
    p, q = table.posteriors["face"][face], table.posteriors["voice"][voice]
    p, q = rule.population_.calibrated("face", p), rule.population_.calibrated("voice", q)
    return score(known.translated("face", p), known.translated("voice", q))


def _with_p(scores: np.ndarray, null: Null) -> np.ndarray:
    return np.array([(s, null.p_value(s)) for s in scores])


def _auc(people: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Probability that a mixed clip scores above one as it is (Mann–Whitney)."""
    from scipy.stats import mannwhitneyu

    usual, mixed = (np.concatenate([one[i] for one in people]) for i in (0, 1))
    return float(mannwhitneyu(mixed, usual).statistic / (len(usual) * len(mixed)))


def _recall(people: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """With the threshold set on the clips themselves, as published figures are."""
    usual, mixed = (np.concatenate([one[i] for one in people]) for i in (0, 1))
    return float((mixed > np.quantile(usual, 0.95)).mean())


def report(lines: Sequence[dict[str, Any]], total: int, out: Path) -> str:
    """A table in Markdown, and `disparity.svg` in `out`."""
    head = ["E10", "AUC", "recall at 5 % false alarms", "alerts (p < .05) on mixed", "false alerts"]
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for line in lines:
        low, high = line["auc_interval_95"]
        rates = [line[n] for n in ("recall_at_5_percent_false_alarms", "alert_recall", "alert_false_alarms")]
        shown = " | ".join(f"{100 * rate:.1f} %" for rate in rates)
        table.append(f"| {line['method']} | {line['auc']:.3f} [{low:.3f}, {high:.3f}] | {shown} |")
    if lines:
        _draw(lines, out / "disparity.svg")
    return "\n\n".join([f"{len(lines)} of {total} cells", "\n".join(table)])


def _draw(lines: Sequence[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [line["method"] for line in lines]
    errors = np.abs(np.array([line["auc_interval_95"] for line in lines]).T - [line["auc"] for line in lines])
    left.errorbar([line["auc"] for line in lines], names, xerr=errors, fmt="o", color="#30507a", capsize=3)
    left.axvline(0.90, color="#888888", linestyle=":")
    left.set(xlabel="AUC (dotted: goal)", xlim=(0.75, 0.95))
    right.plot([100 * x["recall_at_5_percent_false_alarms"] for x in lines], names, "o", color="#30507a")
    right.axvline(55, color="#888888", linestyle=":")
    right.set(xlabel="recall at 5 % false alarms, %", xlim=(30, 65))
    left.invert_yaxis()
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.savefig(path)
