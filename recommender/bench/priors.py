"""What a setting of the reward head is worth: a reference changed in one thing, beside it, in the six worlds of B5.

On people of the tuning seeds 6001 to 6008, never on the test seeds that B5 reports: what a choice is made by. The
reference takes off features their mean under the sampling law.

ours                    takes off their mean over all activities alike, as `Recommender` does; "not centred": nothing
…, no rules             starts without the prior that what clinicians made for an emotion helps there
knowing is silent       how much is known (certainty of the emotion, age and lack of DASS-21) favours no activity;
                        "and hours": hour and weekday neither
whole model, no rules   is `Recommender` itself, its deep part trained every week: beside "ours, no rules" it also has
                        the column of engagement, and counts rewards by the outcomes of its own log, not of a pilot
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recommender import simulator
from recommender.bandits import Learner, MixedEffects, Rules
from recommender.bench import regret, tables
from recommender.bench.cells import Cell
from recommender.policy import PolicyConfig
from recommender.reward import RewardConfig, RewardHead
from recommender.trials import play

FIRST_SEED, SEEDS, WHOLE_SEEDS = 6001, 8, 4  # the whole model costs a minute and a half of processor time a cell
REFERENCE = "reference"


@dataclass(frozen=True)
class Setting:
    """Priors, how narrow draws are, which mean is taken off features (`MixedEffects`).

    whole: play `Recommender`, which centres as the service does and draws as `PolicyConfig` says.
    """

    priors: RewardConfig = RewardConfig()
    spread: float = PolicyConfig().spread
    centring: str = "law"
    whole: bool = False


NO_RULES = replace(RewardConfig(), intended_sd=0.0)
KNOWING = ("emotion_certainty", "dass_age", "dass_missing")
HOURS = ("hour_sin", "hour_cos", "week_sin", "week_cos")
SETTINGS = {
    REFERENCE: Setting(),
    "ours": Setting(centring="all"),
    "ours, no rules": Setting(NO_RULES, centring="all"),
    "no rules": Setting(NO_RULES),
    "whole model, no rules": Setting(NO_RULES, centring="all", whole=True),
    "rules twice as strong": Setting(replace(RewardConfig(), intended=0.08, intended_sd=0.06)),
    "not centred": Setting(centring="none"),
    "ours, knowing is silent": Setting(replace(RewardConfig(), silent=KNOWING), centring="all"),
    "ours, knowing and hours are silent": Setting(replace(RewardConfig(), silent=KNOWING + HOURS), centring="all"),
    "spread .03": Setting(spread=0.03),
    "spread .3": Setting(spread=0.3),
}


def cells(quick: bool) -> list[Cell]:
    """One seed of everything before the next one."""
    worlds, seeds = (("linear-wild",), 1) if quick else (regret.WORLDS, SEEDS)
    return [
        Cell("priors", name, world, FIRST_SEED + n, n + 0.1 * place + 1.5 * setting.whole)
        for n in range(seeds)
        for place, world in enumerate(worlds)
        for name, setting in SETTINGS.items()
        if not setting.whole or (n < WHOLE_SEEDS and not quick)
    ]


def work(cell: Cell, data: Path) -> dict[str, Any]:
    world, residuals, rewards = regret.prepared(cell.data, data)
    cohort, setting = world.cohort(regret.PEOPLE, cell.seed, residuals=residuals), SETTINGS[cell.method]
    if setting.whole:
        return _with_deep_part(cohort, cell.seed, setting, rewards)
    head = RewardHead(world.activities, setting.priors, made_for=Rules(world).made_for)
    engine = MixedEffects(head, cohort.people, centring=setting.centring)
    return regret.figures(play(cohort, Learner(engine, cell.seed, setting.spread), rewards))


def _with_deep_part(cohort: simulator.Cohort, seed: int, setting: Setting, rewards: simulator.Rewards):
    import torch

    from recommender.bench.served import Served, VaeConfig

    torch.set_num_threads(1)
    policy = Served(cohort, seed, VaeConfig(reward=setting.priors))
    figures = regret.figures(play(cohort, policy, rewards))
    stayed = sum(bool(report["deep_stays"]) for report in policy.trainings)
    return {**figures, "trainings": len(policy.trainings), "deep_stayed": stayed}


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    """Regret in per cent of the reference's on the same people, its mean over seeds and standard error, by world."""
    found = {(line["method"], line["data"], line["seed"]): line["regret"] for line in lines}
    rows = []
    for name in SETTINGS:
        by_world = [_shares(found, name, world) for world in regret.WORLDS]
        if any(map(len, by_world)):
            rows.append([name, *(_percent(shares) for shares in by_world), _mean_of_worlds(by_world)])
    header = ["setting", *regret.WORLDS, "mean"]
    return tables.done(len(lines), total) + tables.markdown(header, rows)


def _shares(found: dict[tuple[str, str, int], float], name: str, world: str) -> np.ndarray:
    """Regret in per cent of the reference's, one for each seed that both have."""
    seeds = sorted(seed for method, where, seed in found if (method, where) == (name, world))
    both = [seed for seed in seeds if (REFERENCE, world, seed) in found]
    return np.array([100 * found[name, world, seed] / found[REFERENCE, world, seed] for seed in both])


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
