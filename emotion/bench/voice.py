"""Benches E1, E2 and E3: voices of people left out, our network beside its peers on the same folds.

E1 EMO-DB, each folder apart, one speaker left out; E2 RAVDESS, actor-disjoint folds, in eight and in seven
classes, and both corpora learned together, as ours is released ("joint"); E3 train on two corpora and judge
on the third. K = 0 reads against what is usual for everybody, K = 10 against ten unlabelled clips of the person,
five draws at random and one each of 80 % sadness and 80 % neutral.

A line holds for every condition a confusion table and, per person, rows and right rows of each class, so that a
report can pool folds, compare on the same rows and draw people.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from emotion import voice_training
from emotion.bench import Place, voice_data
from emotion.bench.cells import Cell
from emotion.bench.voice_data import VoiceSet
from emotion.bench.voice_methods import LONGER, MERGED, METHODS, RELEASED, Answer
from emotion.data import ravdess
from emotion.voice_bench import draws
from emotion.voice_corpus import Corpus

SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14")
CORPORA = ("emodb", "ravdess", "nemo")
MINUTES = {
    "durations_and_corpus": 0.1,
    "egemaps_svm": 0.5,
    "compare_svm": 0.9,
    "svm": 1.0,
    "compact_voice": 1.4,
    "mfcc_lstm": 1.5,
    RELEASED: 8.0,
    LONGER: 9.0,
}
SEEDED = (0, 1, 2)


def cells(quick: bool = False) -> list[Cell]:
    """Every method on every fold; ours and the published networks with three seeds on RAVDESS."""
    if quick:
        return [Cell("E1", m, "emodb-full 10", 0, 0.1) for m in ("durations_and_corpus", "svm", "compact_voice")]
    found = [
        Cell("E2", method, f"ravdess fold {fold}", 0, 1 + MINUTES.get(method, 2.5))
        for method in METHODS
        if method not in (RELEASED, LONGER)  # the folds of the released recipe are "joint"
        for fold in range(1, 6)
    ]
    together = (("durations_and_corpus", 0.2), ("svm", 1.0), ("compact_voice", 2.6))
    found += [Cell("E2", method, f"joint fold {fold}", 0, cost) for method, cost in together for fold in range(1, 6)]
    found += [
        Cell("E1", method, f"{folder} {speaker}", 0, 4 + MINUTES.get(method, 2.5))
        for folder in ("emodb-2s", "emodb-full")
        for method in METHODS
        if method != LONGER or folder == "emodb-full"
        for speaker in SPEAKERS
    ]
    found += [
        Cell("E2", method, f"ravdess fold {fold}", seed, 6 + seed)
        for method in ("compact_voice", "mfcc_lstm", "speech_cnn")
        for seed in SEEDED[1:]
        for fold in range(1, 6)
    ]
    across = [Cell("E3", method, f"across to {corpus}", 0, 9.0) for method in METHODS for corpus in CORPORA]
    return found + [cell for cell in across if cell.method != LONGER]


def missing(cell: Cell) -> str | None:
    """openSMILE's licence keeps it out of our dependencies: its cells run where somebody has installed it."""
    if cell.method in ("egemaps_svm", "compare_svm") and find_spec("opensmile") is None:
        return "the opensmile wheel is not installed (audEERING's research licence)"
    return None


_loaded: dict[str, VoiceSet] = {}


def work(cell: Cell, place: Place) -> dict[str, Any]:
    """Train on the people of the other folds and judge on those of this one."""
    name, part = cell.data.split(maxsplit=1)
    place.cache.mkdir(parents=True, exist_ok=True)
    if name not in _loaded:
        _loaded.clear()  # one corpus in memory
        _loaded[name] = voice_data.load(name, place.data, place.cache)
    voices, began = _loaded[name], time.process_time()
    rows, selection, judged = split(voices.corpus, name, part, cell.seed)
    folder = place.cache / "states" / "-".join([cell.bench, cell.method, *cell.data.split(), str(cell.seed)])
    tasks = judge(cell.method, voices, (rows, selection, judged), folder, cell.seed)
    shutil.rmtree(folder, ignore_errors=True)  # a finished cell that is asked for again starts anew
    return {"n": len(judged), "unusable": voices.unusable, "cpu_s": round(time.process_time() - began, 1), **tasks}


def split(corpus: Corpus, name: str, part: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows to learn from, to choose with and to judge on; nobody is in two of them."""
    if name == "across":
        judged = corpus.corpora == part.split()[-1]
        people = {str(p) for p in corpus.people[judged]}
    elif name == "joint":
        people = set(voice_training.FOLDS[int(part.split()[-1]) - 1])
    elif name == "ravdess":
        people = {ravdess.person(actor) for actor in ravdess.FOLDS[int(part.split()[-1]) - 1]}
    else:
        people = {f"emodb-{part}"}
    rest = sorted(set(corpus.people) - people)
    chosen = voice_training.selection_people(rest, seed, actors=2 if name == "joint" else 3)
    judged_rows, selecting = np.isin(corpus.people, sorted(people)), np.isin(corpus.people, chosen)
    return np.flatnonzero(~judged_rows & ~selecting), np.flatnonzero(selecting), np.flatnonzero(judged_rows)


def judge(
    method: str, voices: VoiceSet, rows: tuple[np.ndarray, np.ndarray, np.ndarray], folder: Path, seed: int
) -> dict[str, Any]:
    """Figures of every condition, by task: in the corpus' own classes, and for RAVDESS in the seven served ones."""
    learn, choose, judged = rows
    answer = _remembered(METHODS[method](voices, learn, choose, folder, seed))
    out = {"own": conditions(voices.corpus, judged, answer, seed)}
    if voices.corpus.classes == voice_data.RAVDESS_CLASSES:
        seven = voice_data.seven_classes(voices.corpus)
        if method in MERGED:
            again: Answer = lambda asked, own: voice_data.merge_calm(answer(asked, own))  # noqa: E731
        else:
            again = METHODS[method](replace(voices, corpus=seven), learn, choose, folder, seed)
        out["seven"] = conditions(seven, judged, again, seed)
    return out


def _remembered(answer: Answer) -> Answer:
    """The same question costs once: eight and seven classes ask the same of a network."""
    known: dict[tuple[bytes, bytes], np.ndarray] = {}

    def asked_before(rows: np.ndarray, own: np.ndarray | None) -> np.ndarray:
        key = rows.tobytes(), b"" if own is None else own.tobytes()
        if key not in known:
            known[key] = answer(rows, own)
        return known[key]

    return asked_before


def conditions(corpus: Corpus, judged: np.ndarray, answer: Answer, seed: int) -> dict[str, dict]:
    """K = 0 on all rows; then, for random and skewed draws of ten clips, K = 10 and K = 0 on the rows that are left."""
    said = dict(zip(judged.tolist(), answer(judged, None).argmax(1).tolist(), strict=True))
    out = {"K=0": tally(corpus, judged, np.array([said[row] for row in judged.tolist()]))}
    for draw in draws(corpus, judged, seed):
        rest, name = draw.judged, "random" if draw.name.startswith("shuffle") else draw.name
        with_own = np.concatenate([answer(rows, own).argmax(1) for own, rows in draw.parts])
        without = np.array([said[row] for row in rest.tolist()])
        for key, answers in ((f"K=10 {name}", with_own), (f"K=0 {name}", without)):
            out[key] = added(out.get(key), tally(corpus, rest, answers))
    return out


def tally(corpus: Corpus, rows: np.ndarray, said: np.ndarray) -> dict[str, Any]:
    """Confusion table (truth × answer) and, per person, rows and right rows of each class."""
    count = len(corpus.classes)
    truth, people = corpus.labels[rows], corpus.people[rows]
    table = np.zeros((count, count), int)
    np.add.at(table, (truth, said), 1)
    per_person = {
        str(person): [
            np.bincount(truth[people == person], minlength=count).tolist(),
            np.bincount(truth[(people == person) & (truth == said)], minlength=count).tolist(),
        ]
        for person in sorted(set(people))
    }
    return {"classes": list(corpus.classes), "table": table.tolist(), "people": per_person}


def added(one: dict[str, Any] | None, other: dict[str, Any]) -> dict[str, Any]:
    """Two tallies of the same classes as one."""
    if one is None:
        return other
    people = {name: np.array(counts) for name, counts in one["people"].items()}
    for name, counts in other["people"].items():
        people[name] = people.get(name, 0) + np.array(counts)
    table = np.array(one["table"]) + np.array(other["table"])
    return {**other, "table": table.tolist(), "people": {name: counts.tolist() for name, counts in people.items()}}


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    """Tables, differences with intervals, and a figure."""
    from emotion.bench import voice_report

    return voice_report.write(lines, total, out)
