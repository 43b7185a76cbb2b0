"""How benchmark pages are written: Markdown tables, and matplotlib without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"


def done(finished: int, total: int) -> str:
    """The sentence above every table."""
    return f"{finished} of {total} cells.\n\n"


def plotting() -> Any:
    """matplotlib.pyplot on a canvas without a screen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
