"""What a setting of the reward head is worth: ours changed in one thing, beside ours, in the six worlds of B5.

On people of the tuning seeds 6001 to 6008, never on the test seeds that B5 reports: what a choice is made by. "no
rules" starts without the prior that what clinicians made for an emotion helps there; "not centred" learns from whole
features instead of features less their mean under the sampling law.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recommender.bandits import Learner, MixedEffects, Rules
from recommender.bench import regret, tables
from recommender.bench.cells import Cell
from recommender.policy import PolicyConfig
from recommender.reward import RewardConfig, RewardHead
from recommender.trials import play

FIRST_SEED, SEEDS = 6001, 8
OURS = "ours"


@dataclass(frozen=True)
class Setting:
    """Priors, how narrow draws are, and whether features are centred on the sampling law."""

    priors: RewardConfig = RewardConfig()
    spread: float = PolicyConfig().spread
    centred: bool = True


SETTINGS = {
    OURS: Setting(),
    "no rules": Setting(replace(RewardConfig(), intended_sd=0.0)),
    "rules twice as strong": Setting(replace(RewardConfig(), intended=0.08, intended_sd=0.06)),
    "not centred": Setting(centred=False),
    "spread .03": Setting(spread=0.03),
    "spread .3": Setting(spread=0.3),
}


def cells(quick: bool) -> list[Cell]:
    """One seed of everything before the next one."""
    worlds, seeds = (("linear-wild",), 1) if quick else (regret.WORLDS, SEEDS)
    return [
        Cell("priors", name, world, FIRST_SEED + n, n + 0.1 * place)
        for n in range(seeds)
        for place, world in enumerate(worlds)
        for name in SETTINGS
    ]


def work(cell: Cell, data: Path) -> dict[str, Any]:
    world, residuals, rewards = regret.prepared(cell.data, data)
    cohort, setting = world.cohort(regret.PEOPLE, cell.seed, residuals=residuals), SETTINGS[cell.method]
    head = RewardHead(world.activities, setting.priors, made_for=Rules(world).made_for)
    engine = MixedEffects(head, cohort.people, centred=setting.centred)
    return regret.figures(play(cohort, Learner(engine, cell.seed, setting.spread), rewards))


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    """Regret in per cent of ours on the same people, mean over seeds and its standard error, by world and of all."""
    found = {(line["method"], line["data"], line["seed"]): line["regret"] for line in lines}
    rows = []
    for name in SETTINGS:
        by_world = [_shares(found, name, world) for world in regret.WORLDS]
        if any(map(len, by_world)):
            rows.append([name, *(_percent(shares) for shares in by_world), _mean_of_worlds(by_world)])
    header = ["setting", *regret.WORLDS, "mean"]
    return tables.done(len(lines), total) + tables.markdown(header, rows)


def _shares(found: dict[tuple[str, str, int], float], name: str, world: str) -> np.ndarray:
    """Regret in per cent of ours, one for each seed that both have."""
    seeds = sorted(seed for method, where, seed in found if (method, where) == (name, world))
    both = [seed for seed in seeds if (OURS, world, seed) in found]
    return np.array([100 * found[name, world, seed] / found[OURS, world, seed] for seed in both])


def _percent(shares: np.ndarray) -> str:
    return _with_error(shares.mean(), _error(shares)) if len(shares) else "-"


def _mean_of_worlds(by_world: list[np.ndarray]) -> str:
    """Worlds differ in their people: their errors are independent."""
    known = [shares for shares in by_world if len(shares)]
    error = np.sqrt(sum(_error(shares) ** 2 for shares in known)) / len(known)
    return _with_error(np.mean([shares.mean() for shares in known]), error)


def _error(shares: np.ndarray) -> float:
    return float(shares.std(ddof=1) / np.sqrt(len(shares))) if len(shares) > 1 else np.nan


def _with_error(mean: float, error: float) -> str:
    return f"{mean:.1f} ± {error:.1f}" if np.isfinite(error) else f"{mean:.1f}"
