"""`python -m emotion evaluate fusion`: all strategies on a table of posteriors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from emotion.fusion import posteriors, protocol
from emotion.fusion.report import PEER, report


def evaluate(table: Path, population: Path | None = None) -> dict[str, Any]:
    """Ready for JSON. Raises BadPosteriors."""
    people, others = posteriors.read(table), posteriors.read(population) if population else None
    outcome = protocol.run(people, others, heard=_progress if sys.stderr.isatty() else None)
    return {
        "protocol": {
            "shuffles": protocol.SHUFFLES,
            "scored_after": protocol.WARM_UP,
            "k": list(protocol.KNOWN),
            "population": "other file, without the person" if population else "other people of the same file",
            "people_with_too_few_clips": "not scored, part of the population",
        },
        **report(people, outcome),
    }


def summary(result: dict[str, Any]) -> str:
    """A line per strategy: accuracy by k, and the distance to the peer at the largest k."""
    lines = [f"people {result['people']}  too few clips {len(result['people_too_short'])}  clips {result['n']}"]
    for name, by_k in result["strategies"].items():
        figures = "  ".join(f"k={k} {row['accuracy']:.4f}" for k, row in by_k.items())
        last = list(by_k.values())[-1][f"difference_to_{PEER}"]
        low, high = last["accuracy_interval_95"]
        lines.append(f"{name:<16}{figures}  to {PEER} {last['accuracy']:+.4f} [{low:+.4f}, {high:+.4f}]")
    return "\n".join(lines)


def _progress(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done} of {total} people", end=end, file=sys.stderr, flush=True)  # noqa: T201
