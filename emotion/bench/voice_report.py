"""Tables and figure of the voice benches: folds pooled, so that every recording counts once.

Shapes:  P people   C classes   a tally is what `voice.tally` counts: rows and right rows per person and class
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from math import ceil
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

OURS = "compact_voice"
JOINT = ", all corpora"  # after the name of a method that learned from RAVDESS, EMO-DB and nEMO together
LEAK = "durations_and_corpus"
DRAWS = 1000
COLUMNS = 2  # panels side by side, so that they can be read on a page
CONDITIONS: tuple[str, ...] = ("K=0",) + tuple(
    f"K={k} {drawn}" for drawn in ("random", "80 % sadness", "80 % neutral") for k in (10, 0)
)
HEADS = ("K=0", "K=10", "same rows, K=0", "80 % sadness", "same rows, K=0", "80 % neutral", "same rows, K=0")
NAMES = {
    ("E2", "ravdess", "own"): "E2 RAVDESS, eight classes",
    ("E2", "ravdess", "seven"): "E2 RAVDESS, seven classes",
    ("E2", "joint", "emodb"): "EMO-DB cut to 2 s, the six served classes, all corpora learned together",
    ("E2", "joint", "nemo"): "nEMO, six classes, all corpora learned together",
    ("E1", "emodb-2s", "own"): "E1 EMO-DB cut to 2 s, seven classes of its own",
    ("E1", "emodb-full", "own"): "E1 EMO-DB at full length, four classes",
    ("E3", "across", "own"): "E3 across corpora, five classes",
}

Counts = dict[str, np.ndarray]  # person: (2, C) rows and right rows


def write(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    """Markdown of all tables, and `emotion-voice.svg` in `out`."""
    found = gather(lines)
    parts = [f"{len(lines)} of {total} cells."]
    for key, name in NAMES.items():
        if key in found:
            parts += [f"### {name}", table(found[key]), *compared(found[key])]
    if lines:
        draw(found, out / "emotion-voice.svg")
    return "\n\n".join(parts)


def gather(lines: list[dict[str, Any]]) -> dict:
    """{(bench, data, task): {method: {seed: {condition: (people's counts, folds)}}}}."""
    found: dict = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for line in lines:
        for key, method, conditions in _tasks(line):
            seeds = found[key][method][line["seed"]]
            for condition, counts in conditions.items():
                people, folds = seeds.get(condition, ({}, 0))
                seeds[condition] = ({**people, **counts}, folds + 1)
    return found


def _tasks(line: dict[str, Any]) -> Iterator[tuple[tuple[str, str, str], str, dict[str, Counts]]]:
    """Which tables a line goes into, under what name, and its counts by condition."""
    bench, name, method = line["bench"], line["data"].split()[0], line["method"]
    for task in ("own", "seven"):
        conditions = {
            condition: {person: np.array(rows) for person, rows in tally["people"].items()}
            for condition, tally in line.get(task, {}).items()
        }
        if conditions and name == "joint":
            yield (bench, "ravdess", "seven"), method + JOINT, _of(conditions, "ravdess")
            for corpus in ("emodb", "nemo"):
                if any((people := _of(conditions, corpus)).values()):
                    yield (bench, "joint", corpus), method + JOINT, people
        elif conditions:
            yield (bench, name, task), method, conditions


def _of(conditions: dict[str, Counts], corpus: str) -> dict[str, Counts]:
    return {
        condition: {person: rows for person, rows in people.items() if person.startswith(corpus)}
        for condition, people in conditions.items()
    }


def uar(counts: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that occur, from rows and right rows: (…, 2, C) -> (…)."""
    rows, right = counts[..., 0, :], counts[..., 1, :]
    recall = np.divide(right, rows, out=np.full(rows.shape, np.nan), where=rows > 0)
    return np.nanmean(recall, axis=-1)


def pooled(people: Counts) -> float:
    return float(uar(np.sum(list(people.values()), axis=0)))


def table(methods: dict) -> str:
    """A row per method; a method with several seeds shows their mean, over seeds with the most folds."""
    lines = ["| method | folds × seeds | " + " | ".join(HEADS) + " |", "|---|---|" + "---|" * len(HEADS)]
    for method in sorted(methods, key=lambda m: -figure_of(methods[m], "K=0")[0]):
        value, folds, seeds = figure_of(methods[method], "K=0")
        cells = [_percent(figure_of(methods[method], condition)[0]) for condition in CONDITIONS]
        lines.append(f"| `{method}` | {folds} × {seeds} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def figure_of(seeds: dict, condition: str) -> tuple[float, int, int]:
    """Mean UAR over the seeds that have the most folds, these folds, and how many such seeds."""
    most = max(found["K=0"][1] for found in seeds.values())
    whole = [found for found in seeds.values() if found["K=0"][1] == most]
    return float(np.mean([pooled(found[condition][0]) for found in whole])), most, len(whole)


def compared(methods: dict) -> list[str]:
    """Ours against the best peer, on the same people and rows, with an interval over people."""
    ours, peers = (
        [m for m in methods if m.startswith(OURS) is mine and not m.startswith(LEAK)] for mine in (True, False)
    )
    out = []
    for one, condition in product(ours, ("K=0", "K=10 random")):
        whole = [m for m in peers if figure_of(methods[m], condition)[1] == figure_of(methods[one], condition)[1]]
        if not whole:  # a peer with fewer folds was judged on other people
            continue
        best = max(whole, key=lambda m: figure_of(methods[m], condition)[0])
        low, middle, high, people = difference(methods[one], methods[best], condition)
        out.append(
            f"`{one}` against the best peer, {condition.removesuffix(' random')}: `{best}`, difference "
            f"{middle:+.1f} points of UAR (95 % interval over {people} people {low:+.1f} to {high:+.1f}; first seed)."
        )
    return out


def difference(ours: dict, theirs: dict, condition: str) -> tuple[float, float, float, int]:
    """Interval of the paired difference in points, on people whom both have been judged on."""
    one, other = (seeds[min(seeds)][condition][0] for seeds in (ours, theirs))
    people = sorted(set(one) & set(other))
    pairs = np.array([[one[p], other[p]] for p in people])  # (P, 2, 2, C)
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), size=DRAWS)
    drawn = uar(np.einsum("dp,pmkc->dmkc", weights, pairs))
    low, high = np.percentile(100 * (drawn[:, 0] - drawn[:, 1]), [2.5, 97.5])
    whole = uar(pairs.sum(axis=0))
    return float(low), float(100 * (whole[0] - whole[1])), float(high), len(people)


def interval(people: Counts) -> tuple[float, float]:
    """95 % bootstrap interval of the UAR over people."""
    stacked = np.array(list(people.values()))
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(stacked), np.full(len(stacked), 1 / len(stacked)), size=DRAWS)
    low, high = np.percentile(uar(np.einsum("dp,pkc->dkc", weights, stacked)), [2.5, 97.5])
    return float(low), float(high)


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f}"


def draw(found: dict, path: Path) -> None:
    """UAR at K = 0 and K = 10 of every method, one panel per task, with intervals over people."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    keys = [key for key in NAMES if key in found]
    rows = ceil(len(keys) / COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(5.2 * COLUMNS, 3.4 * rows), squeeze=False)
    for axis in axes.flat[len(keys) :]:
        axis.set_visible(False)
    for axis, key in zip(axes.flat, keys, strict=False):
        methods = sorted(found[key], key=lambda m: figure_of(found[key][m], "K=0")[0])
        for shift, condition, colour in ((-0.13, "K=0 random", "#8a8f98"), (0.13, "K=10 random", "#1f6fb2")):
            for height, method in enumerate(methods):
                seeds = found[key][method]
                people = seeds[min(seeds)][condition][0]
                low, high = interval(people)
                axis.plot([100 * low, 100 * high], [height + shift] * 2, color=colour, linewidth=1.5)
                axis.plot(100 * pooled(people), height + shift, "o", color=colour, markersize=5)
        axis.set_yticks(range(len(methods)), methods)
        axis.set_title(fill(NAMES[key], 34), fontsize=9)
        axis.set_xlabel("UAR in %, people never heard")
        axis.grid(axis="x", alpha=0.3)
    axes[0][0].plot([], [], "o-", color="#8a8f98", label="K = 0, same rows")
    axes[0][0].plot([], [], "o-", color="#1f6fb2", label="K = 10")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="upper left", ncols=2, fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
