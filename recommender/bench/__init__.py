"""Benchmarks of this package against its peers: lists of cells, resumable.

A bench is a module with three functions:

    cells(quick) -> list[Cell]            what there is to measure; `quick` is the slice of a few minutes
    work(cell, data) -> dict              measure one cell: figures ready for JSON; `data` is the folder of data sets
    report(lines, total, out) -> str      Markdown of the lines so far, "n of N cells"; figures are written to `out`

`python -m recommender bench NAME --out DIR` appends the raw lines to DIR/raw/recommender-NAME.jsonl.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

from recommender.bench.cells import Cell, finished, run

BENCHES: dict[str, str] = {  # name: module
    "films": "recommender.bench.films",
    "noise": "recommender.bench.noise",
    "optimizer": "recommender.bench.optimizer",
    "speed": "recommender.bench.speed",
    "null": "recommender.bench.null",
    "faithfulness": "recommender.bench.faithfulness",
    "cold_start": "recommender.bench.cold_start",
    "ope": "recommender.bench.ope",
    "regret": "recommender.bench.regret",
    "priors": "recommender.bench.priors",
    "tuning": "recommender.bench.tuning",
    "wcls": "recommender.bench.wcls",
}


class BenchFailed(ValueError):
    """The bench cannot run here: data or a peer is missing."""


class OutOfTime(Exception):
    """No further cell is started; what is finished stands."""


def measure(
    name: str,
    out: Path,
    *,
    data: Path,
    quick: bool = False,
    resume: bool = False,
    minutes: float | None = None,
    only: str = "",
    heard: Callable[[str], None] = lambda _: None,
) -> str:
    """Run what is missing and return the report of all that is finished.

    minutes: a limit after which no cell is started.   only: run cells whose "method data seed" holds all these words.
    Raises BenchFailed where no cell does.
    """
    bench: ModuleType = importlib.import_module(BENCHES[name])
    cells, raw, began = bench.cells(quick), out / "raw" / f"recommender-{name}.jsonl", time.monotonic()
    wanted = [cell for cell in cells if all(word in _words(cell) for word in only.split())]
    if not wanted:
        raise BenchFailed(f"no cell of {name} is called {only!r}")

    def told(cell: Cell, number: int, total: int) -> None:
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            raise OutOfTime
        heard(f"{number + 1}/{total}  {cell.method}  {cell.data}  seed {cell.seed}")

    with contextlib.suppress(OutOfTime):
        run(wanted, partial(bench.work, data=data), raw, resume=resume, heard=told)
    known = finished(raw)
    return str(bench.report([known[cell.key] for cell in cells if cell.key in known], len(cells), out))


def _words(cell: Cell) -> str:
    return f"{cell.method} {cell.data} seed {cell.seed}"
