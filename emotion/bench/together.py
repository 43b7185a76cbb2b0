"""The published networks that read face and voice at once, beside plain peers, on people left out.

RAVDESS, eight classes, actor-disjoint folds: mean action units of the face and cepstral statistics of the voice, alone
and together. MOSI, three modalities, five folds of the *test* videos: the code path of three modalities, no more.

Shapes:  n clips   K baseline clips of a person
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from emotion.bench import Place, together_data
from emotion.bench.cells import Cell
from emotion.bench.together_data import Clips
from emotion.voice_corpus import shrink

DATA = {"ravdess face": ("face",), "ravdess voice": ("voice",), "ravdess both": ("face", "voice")}
METHODS = ("svm", "svm_product", "dgcnn", "cross_attention")
BASELINE_CLIPS = 10
PRIOR_CLIPS = 8.0
SELECTION_PEOPLE = 3
DRAWS = 5


def cells(quick: bool = False) -> list[Cell]:
    """A method that joins modalities is asked only where there are several; MOSI's numbers are no graph of channels."""
    found = []
    for method in METHODS:
        names = ["ravdess both"] if method in ("cross_attention", "svm_product") else list(DATA)
        names += [] if method == "dgcnn" else ["mosi"]
        found += [Cell("together", method, data, 0, 0.3 if method.startswith("svm") else 2) for data in names]
    return [cell for cell in found if cell.data == "mosi"] if quick else found


def work(cell: Cell, place: Place) -> dict[str, Any]:
    if cell.data == "mosi":
        return judged(together_data.of_mosi(place.data), cell, place, baselines=(0,))
    clips = together_data.of_ravdess(place.data, place.cache).only(*DATA[cell.data])
    return judged(clips, cell, place, baselines=(0, BASELINE_CLIPS))


def judged(clips: Clips, cell: Cell, place: Place, baselines: tuple[int, ...]) -> dict[str, Any]:
    """Mean recall of the classes, all folds pooled, with K baseline clips; K = 0 also on the rows of K > 0."""
    folder = place.cache / "states" / f"together-{cell.method}-{cell.data.replace(' ', '-')}-{cell.seed}"
    said = {k: left_out(clips, cell, folder / str(k), k) for k in baselines}
    shutil.rmtree(folder, ignore_errors=True)
    figures: dict[str, Any] = {"n": len(clips.labels), "people": len(set(clips.people))}
    figures["uar"] = _uar(clips.labels, said[0][0])
    for k in baselines[1:]:
        figures[f"uar_{k}"] = float(np.mean([_uar(clips.labels, draw) for draw in said[k]]))
        same = [np.where(draw < 0, -1, said[0][0]) for draw in said[k]]
        figures[f"uar_0_on_rows_of_{k}"] = float(np.mean([_uar(clips.labels, draw) for draw in same]))
    return figures


def _uar(truth: np.ndarray, said: np.ndarray) -> float:
    """Rows that made a baseline (-1) are not scored."""
    return round(float(balanced_accuracy_score(truth[said >= 0], said[said >= 0])), 5)


def left_out(clips: Clips, cell: Cell, folder: Path, k: int) -> list[np.ndarray]:
    """What is said of every clip by a model that has not seen its person, (n,), once per draw of baselines.

    Clips in a baseline are -1. Without baselines there is one draw.
    """
    from emotion.bench import together_methods

    said = [np.full(len(clips.labels), -1) for _ in range(DRAWS if k else 1)]
    for number, fold in enumerate(clips.folds):
        away = np.isin(clips.people, fold)
        chosen = np.random.default_rng([cell.seed, number]).permutation(sorted(set(clips.people[~away])))[
            :SELECTION_PEOPLE
        ]
        selecting = np.isin(clips.people, chosen)
        rows, selection = np.flatnonzero(~away & ~selecting), np.flatnonzero(selecting)
        inputs = relative(clips, rows, k, np.random.default_rng([cell.seed, number, k]))
        answer = together_methods.METHODS[cell.method](
            inputs, clips.labels, rows, selection, folder / f"fold-{number}", cell.seed
        )
        for draw, answers in enumerate(said):
            base, rest = _split(clips.people, np.flatnonzero(away), k, np.random.default_rng([number, draw]))
            asked = relative(clips, rows, k, np.random.default_rng(0), own=base)
            scores = answer({name: part[rest] for name, part in asked.items()})
            answers[rest] = scores.argmax(1) if scores.shape[1] > 1 else (scores[:, 0] > 0)
    return said


def _split(people: np.ndarray, rows: np.ndarray, k: int, rng: np.random.Generator) -> tuple[dict, np.ndarray]:
    """The first K clips of each person in a random order, and the other rows."""
    base = {}
    for person in sorted(set(people[rows])):
        base[person] = rng.permutation(rows[people[rows] == person])[:k]
    used = np.concatenate(list(base.values()))
    return base, rows[~np.isin(rows, used)]


def relative(
    clips: Clips, rows: np.ndarray, k: int, rng: np.random.Generator, own: dict[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Parts z-scored against what is usual in `rows`, or against K clips of the person shrunk towards it.

    own: the rows of each person's baseline; without it K other clips are drawn for every clip.
    """
    found = {}
    for name, part in clips.parts.items():
        moments = np.stack([part, part**2], axis=1)  # (n, 2, channels, statistics)
        usual = moments[rows].mean(0)
        reference = np.broadcast_to(usual, moments.shape)
        if k:
            means = np.stack([moments[b].mean(0) for b in _baselines(clips.people, k, rng, own)])
            reference = shrink(means, np.full(len(means), k), usual, PRIOR_CLIPS)
        mean, square = reference[:, 0], reference[:, 1]
        floor = 1e-3 * np.sqrt(np.maximum(usual[1] - usual[0] ** 2, 1e-12))
        found[name] = (part - mean) / np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), floor)
    return found


def _baselines(people: np.ndarray, k: int, rng: np.random.Generator, own: dict[str, np.ndarray] | None):
    """For every clip the rows it is read against: the given ones of its person, or K others at random."""
    rows_of = {person: np.flatnonzero(people == person) for person in set(people)}
    for row, person in enumerate(people):
        if own and person in own:
            yield own[person]
        else:
            others = rows_of[person][rows_of[person] != row]
            yield rng.choice(others, min(k, len(others)), replace=False)


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    """UAR in %."""
    parts = [
        f"{len(lines)} of {total} cells.",
        "| data | method | K=0 | K=10 | same rows, K=0 |",
        "|---|---|---|---|---|",
    ]
    pairs = sorted({(line["data"], line["method"]) for line in lines})
    for data, method in pairs:
        found = [line for line in lines if (line["data"], line["method"]) == (data, method)]
        columns = [_mean(found, key) for key in ("uar", f"uar_{BASELINE_CLIPS}", f"uar_0_on_rows_of_{BASELINE_CLIPS}")]
        parts.append(f"| {data} | `{method}` | {' | '.join(columns)} |")
    return "\n".join([parts[0], "", *parts[1:]])


def _mean(lines: list[dict[str, Any]], key: str) -> str:
    found = [100 * line[key] for line in lines if key in line]
    return f"{np.mean(found):.1f}" if found else "–"
