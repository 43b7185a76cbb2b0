"""Benchmarks of this package against its peers: lists of cells, resumable.

A bench is a module with three functions:

    cells(quick) -> list[Cell]              what there is to measure; `quick` is the slice of a few minutes
    work(cell, place) -> dict               measure one cell: figures ready for JSON
    report(lines, total, out) -> str        Markdown of the lines so far, "n of N cells"; figures are written to `out`

and, where a peer may be absent, `missing(cell) -> str | None`, the reason why a cell cannot be run here.

`python -m emotion bench NAME --data DIR --out DIR` appends the raw lines to DIR/raw/emotion-NAME.jsonl.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from emotion.bench.cells import Cell, finished, run

BENCHES: dict[str, str] = {  # name: module
    "voice": "emotion.bench.voice",
    "face": "emotion.bench.face",
    "fusion": "emotion.bench.fusion",
    "disparity": "emotion.bench.disparity",
    "speed": "emotion.bench.speed",
    "size": "emotion.bench.size",
    "text": "emotion.bench.text",
    "strangers": "emotion.bench.strangers",
    "robustness": "emotion.bench.robustness",
    "together": "emotion.bench.together",
}


class BenchFailed(ValueError):
    """The bench cannot run here: data or a peer is missing."""


class OutOfTime(Exception):
    """No further cell is started; what is finished stands."""


@dataclass(frozen=True)
class Place:
    """data: folder of the data sets.  cache: prepared features and states of half-finished cells."""

    data: Path
    cache: Path


def measure(
    name: str,
    out: Path,
    *,
    place: Place,
    quick: bool = False,
    resume: bool = False,
    minutes: float | None = None,
    only: str = "",
    heard: Callable[[str], None] = lambda _: None,
) -> str:
    """Run what is missing and return the report.

    minutes: a limit after which no cell is started.  only: run cells whose "bench method data seed" holds
    these words; the report is on all of them.
    """
    bench: ModuleType = importlib.import_module(BENCHES[name])
    cells, raw, began = bench.cells(quick), out / "raw" / f"emotion-{name}.jsonl", time.monotonic()
    wanted = [cell for cell in cells if all(word in _words(cell) for word in only.split())]
    wanted = [cell for cell in wanted if not _left_out(bench, cell, heard)]

    def told(cell: Cell, number: int, total: int) -> None:
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            raise OutOfTime
        heard(f"{number + 1}/{total}  {_words(cell)}")

    try:
        run(wanted, partial(bench.work, place=place), raw, resume=resume, heard=told)
    except OutOfTime:
        heard("out of time: what is finished stands")
    known = finished(raw)
    return str(bench.report([known[cell.key] for cell in cells if cell.key in known], len(cells), out))


def _left_out(bench: ModuleType, cell: Cell, heard: Callable[[str], None]) -> bool:
    reason = bench.missing(cell) if hasattr(bench, "missing") else None
    if reason:
        heard(f"left out: {_words(cell)}: {reason}")
    return bool(reason)


def _words(cell: Cell) -> str:
    return f"{cell.bench} {cell.method} {cell.data} seed {cell.seed}"
