"""How much each modality contributed to what was concluded: exact Shapley values (Shapley 1953)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from emotion.fusion.strategy import LEAST, Reading, Strategy


def contributions(
    strategy: Strategy, readings: Mapping[str, Reading], person: Any = None, winner: int | None = None
) -> dict[str, float]:
    """Shapley values over all coalitions of modalities, in nats; an absent modality leaves the prior in its place.

    The value of a coalition is the log-odds of the class `winner`, by default the one that wins when all are
    there; the contributions sum to its log-odds under all modalities minus those under the prior.
    """
    if winner is None:
        winner = int(strategy.pool(readings, person).argmax())

    def value(coalition: tuple[str, ...]) -> float:
        p = float(strategy.pool({m: readings[m] for m in coalition}, person)[winner])
        return math.log(max(p, LEAST) / max(1 - p, LEAST))

    names, n = list(readings), len(readings)
    worth = {c: value(c) for size in range(n + 1) for c in combinations(names, size)}
    out = {}
    for name in names:
        others = [m for m in names if m != name]
        out[name] = sum(
            (worth[tuple(m for m in names if m in (*coalition, name))] - worth[coalition])
            / (n * math.comb(n - 1, size))
            for size in range(n)
            for coalition in combinations(others, size)
        )
    return out
