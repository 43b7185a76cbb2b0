"""A benchmark is a list of cells: one method on one data set with one seed, ten minutes at most.

Each finished cell appends one line to a raw file; what stands there is not run again under `resume`.
An interrupted bench has lost the cell in hand and nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cell:
    """What one line of a bench measures. `minutes` is a guess that decides only the order."""

    bench: str
    method: str
    data: str
    seed: int = 0
    minutes: float = 1.0

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.bench, self.method, self.data, self.seed


class BadLine(ValueError):
    """A line of a raw file is not the result of a cell."""


def run(
    cells: Iterable[Cell],
    work: Callable[[Cell], dict[str, Any]],
    raw: Path,
    *,
    resume: bool = False,
    heard: Callable[[Cell, int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Run what is missing, cheapest first, and return the lines of all cells asked for.

    `work(cell)` returns figures ready for JSON; `heard(cell, done, total)` is told before each cell.
    Without `resume` every cell is run again, and the newest line of a cell counts.
    """
    cells = sorted(cells, key=lambda cell: cell.minutes)
    lines = finished(raw) if resume else {}
    for number, cell in enumerate(cells):
        if cell.key in lines:
            continue
        if heard:
            heard(cell, number, len(cells))
        lines[cell.key] = _measured(cell, work)
        _append(raw, lines[cell.key])
    return [lines[cell.key] for cell in cells]


def finished(raw: Path) -> dict[tuple[str, str, str, int], dict[str, Any]]:
    """Newest line of each cell in a raw file; BadLine names the line that is none. No file, no lines."""
    return {(line["bench"], line["method"], line["data"], line["seed"]): line for line in _lines(raw)}


def _lines(raw: Path) -> Iterator[dict[str, Any]]:
    if not raw.exists():
        return
    for number, text in enumerate(raw.read_text().splitlines(), 1):
        try:
            line = json.loads(text)
            line["bench"], line["method"], line["data"], line["seed"]  # noqa: B018 - must be there
        except (ValueError, TypeError, KeyError) as error:
            raise BadLine(f"{raw}:{number} is not the result of a cell") from error
        yield line


def _measured(cell: Cell, work: Callable[[Cell], dict[str, Any]]) -> dict[str, Any]:
    began = time.perf_counter()
    figures = work(cell)
    named = {"bench": cell.bench, "method": cell.method, "data": cell.data, "seed": cell.seed}
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {**named, "at": at, "seconds": round(time.perf_counter() - began, 1), **figures}


def _append(raw: Path, line: dict[str, Any]) -> None:
    raw.parent.mkdir(parents=True, exist_ok=True)
    with raw.open("a") as file:
        file.write(json.dumps(line) + "\n")
