"""Score everybody again: a decision log in, each person's best activities out, in constant memory.

The log is read as a stream, cut into chunks of people and scored by joblib's workers, on this machine or, under
`joblib.parallel_config(backend="dask")`, on others. Results are written in the order of the log; what is in the output
already is not scored again, so that a run that was stopped goes on where it was.

    python -m recommender rescore --model DIR --log LOG --out OUT [--workers 2]

A person's moment is now: the context of their last delivery stands for the present one. Expected rewards are those of
`Recommender.score`; their deviations, which only a decision needs, are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from recommender.catalogue import Delivery
from recommender.log import BadLog, parsed

CHUNK, BEST = 500, 5
Person = tuple[str, list[Delivery]]


def rescore(
    model: str | Path,
    log: str | Path,
    out: str | Path,
    *,
    workers: int = 1,
    chunk: int = CHUNK,
    best: int = BEST,
    heard: Callable[[int], None] = lambda people: None,
) -> int:
    """Append a line per person to `out` and return how many people it holds.

    log: JSON lines (`recommender.log`), sorted by person.   heard: told after each chunk how many people are done.
    Raises BadLog for an unusable or unsorted log, IncompatibleModel for what is no model.
    """
    import joblib

    _model(str(model))  # an unusable model is refused before anything is read
    done = _finished(Path(out))
    left = islice(grouped(log), done, None)
    parts = iter(lambda: list(islice(left, chunk)), [])
    pool = joblib.Parallel(n_jobs=workers, return_as="generator", pre_dispatch="2*n_jobs")
    with Path(out).open("a", encoding="utf-8") as file:
        for lines in pool(joblib.delayed(_scored_lines)(str(model), part, best) for part in parts):
            file.write("".join(lines))
            file.flush()
            done += len(lines)
            heard(done)
    return done


def grouped(log: str | Path) -> Iterator[tuple[str, list[str]]]:
    """Each person with the raw lines of their deliveries. Raises BadLog where the log is not sorted by person."""
    try:
        with Path(log).open(encoding="utf-8") as lines:
            last = ""
            for person, mine in groupby((line for line in lines if line.strip()), key=_person):
                if person <= last:
                    raise BadLog(f"{log}: {person} comes after {last}; the log must be sorted by person")
                last = person
                yield person, list(mine)
    except (OSError, UnicodeDecodeError) as error:
        raise BadLog(f"{log}: {error}") from error


def _person(line: str) -> str:
    try:
        return str(json.loads(line)["person"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadLog(f"a line is no delivery: {line[:60]!r}") from error


def _finished(out: Path) -> int:
    """People in the output; half a line, left by a crash, is cut off."""
    if not out.exists():
        return 0
    with out.open("rb+") as file:
        count = end = 0
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(end)
                break
            count, end = count + 1, end + len(line)
    return count


def _scored_lines(model: str, people: Sequence[tuple[str, list[str]]], best: int) -> list[str]:
    """One chunk, in a worker: the best activities of each person with their expected rewards."""
    read = [(person, _history(lines)) for person, lines in people]
    loaded = _model(model)
    scores = loaded.expected([history for _, history in read])
    names = [activity.id for activity in loaded.activities_]
    lines = []
    for (person, _), row in zip(read, scores, strict=True):
        first = np.argsort(-row, kind="stable")[:best]
        chosen = [[names[i], round(float(row[i]), 6)] for i in first]
        lines.append(json.dumps({"person": person, "best": chosen}) + "\n")
    return lines


def _history(lines: Sequence[str]) -> list[Delivery]:
    return sorted((parsed(line, number)[1] for number, line in enumerate(lines, 1)), key=lambda d: d.at)


@lru_cache(maxsize=1)
def _model(folder: str):
    import torch

    from recommender.vae import Recommender

    torch.set_num_threads(1)  # workers share the cores already
    return Recommender.load(folder)
