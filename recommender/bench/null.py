"""B6: a world in which nothing works must say so, and one in which prompting works must be heard.

null      125 people, 56 days; nothing depends on person, emotion or sending. The primary contrast, anything against
          nothing on the evening's mood by WCLS at .05, may reject in 6.0 % of trials at most.
prompted  an effect of .2 SD that fades to nothing by day 25, at the n that is stated.
loss      the null world played by the reward head, learning every night: what personalising loses there against
          offering everybody the most popular activity (same share of chance, same people, same luck) may be .02
          reward SD at most.

The policy sends with a constant probability, and mood depends on sending, not on which activity was sent: so sends,
moods and the contrast are the same whatever the reward head learns (a test plays both), and 2,000 trials need no head.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from recommender import bandits, simulator, wcls
from recommender.bench import tables
from recommender.bench.cells import Cell
from recommender.policy import PolicyConfig
from recommender.reward import RewardConfig
from recommender.trials import Played, play

ALPHA, MOST_REJECTED, MOST_LOST, LEAST_POWER = 0.05, 0.06, 0.02, 0.80
PEOPLE = {"null": 125, "prompted": 400, "loss": 125}
TRIALS = {"null": 2000, "prompted": 400, "loss": 200}
IN_A_CELL = {"null": 500, "prompted": 100, "loss": 50}
MINUTES = {"null": 1.0, "prompted": 2.0, "loss": 5.0}
HEAD = RewardConfig(blocks=("emotion",))


def cells(quick: bool) -> list[Cell]:
    """Seeds are the number of the first trial in the cell."""
    kinds = ("null", "prompted") if quick else tuple(PEOPLE)
    last = {kind: IN_A_CELL[kind] if quick else TRIALS[kind] for kind in kinds}
    return [
        Cell("null", "reward head" if kind == "loss" else "contrast", f"{kind}, n {PEOPLE[kind]}", first, MINUTES[kind])
        for kind in kinds
        for first in range(0, last[kind], IN_A_CELL[kind])
    ]


def work(cell: Cell, data: Path) -> dict[str, Any]:
    kind = cell.data.split(",")[0]
    world, n, trials = simulator.load("null" if kind == "loss" else kind), PEOPLE[kind], IN_A_CELL[kind]
    cohort = world.cohort(n * trials, world.test_seeds[0] * 10_000 + cell.seed)
    if kind == "loss":
        rewards = simulator.Rewards(world)
        played = play(cohort, bandits.make("ours", world, cohort, cell.seed, groups=trials, config=HEAD), rewards)
        return {"trials": trials, "loss": loss(cohort, played, n)}
    sent, mood = prompts(cohort)
    effects = [contrast(cohort, sent, mood, slice(n * t, n * (t + 1))) for t in range(trials)]
    return {"trials": trials, "estimate": [round(e, 5) for e, _ in effects], "p": [round(p, 5) for _, p in effects]}


def prompts(cohort: simulator.Cohort) -> tuple[np.ndarray, np.ndarray]:
    """What was sent and the mood of each evening, (P, T) each: as `trials.play` has it for any policy."""
    sent = [cohort.sends(day, PolicyConfig().send_probability) for day in range(cohort.days)]
    return np.stack(sent, axis=1), np.stack([cohort.mood(day, sent[day]) for day in range(cohort.days)], axis=1)


def contrast(cohort: simulator.Cohort, sent, mood, people: slice) -> tuple[float, float]:
    """The primary contrast of one trial: estimate and p value. Controls: the day, the person's mood so far."""
    mood, sent = mood[people], sent[people]
    n, days = mood.shape
    there = np.where(cohort.present[people], mood, 0.0)
    so_far = np.cumsum(there, axis=1) - there
    evenings = np.cumsum(cohort.present[people], axis=1) - cohort.present[people]
    before = so_far / (evenings + 2)
    found = wcls.wcls(
        outcome=mood.ravel(),
        action=sent.ravel(),
        probability=np.full(n * days, PolicyConfig().send_probability),
        person=np.repeat(np.arange(n), days),
        available=cohort.available[people].ravel(),
        controls=np.column_stack([np.tile(np.arange(days) / days, n), before.ravel()]),
    )
    return float(found.estimate[0]), float(found.p_value[0])


def loss(cohort: simulator.Cohort, played: Played, n: int) -> dict[str, float]:
    """What ours earns less than popularity and than chance, in reward SD; popularity learns in each trial alone."""
    sd, there = np.nanstd(played.reward), cohort.available
    popular = _popular(cohort, played, n)
    uniform = cohort.expected.mean(axis=2)
    means = {"popularity": popular[there].mean(), "uniform": uniform[there].mean()}
    return {name: round(float((mean - played.value[there].mean()) / sd), 5) for name, mean in means.items()}


def _popular(cohort: simulator.Cohort, played: Played, n: int) -> np.ndarray:
    """Expected reward of popularity's mixed law, (P, T): the activity with the best mean reward in ours' own offers."""
    value, share = np.zeros(cohort.available.shape), PolicyConfig().epsilon
    chosen, told = played.chosen, np.nan_to_num(played.reward)
    k = len(cohort.world.activities)
    for t in range(len(value) // n):
        mine = slice(n * t, n * (t + 1))
        total, count = np.zeros(k), np.ones(k)
        for day in range(cohort.days):
            best = int((total / count).argmax())
            everyone = cohort.expected[mine, day]
            value[mine, day] = (1 - share) * everyone[:, best] + share * everyone.mean(axis=1)
            sent = chosen[mine, day] >= 0
            np.add.at(total, chosen[mine, day][sent], told[mine, day][sent])
            np.add.at(count, chosen[mine, day][sent], 1)
    return value


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    kinds = {kind: [line for line in lines if line["data"].startswith(kind)] for kind in PEOPLE}
    tested = {kind: kinds[kind] for kind in ("null", "prompted") if kinds[kind]}
    if tested:
        _figure(tested, out / "recommender-null-world.png")
    header = ["world", "n", "trials", "rejected", "95 % of it", "asked", "mean estimate (SD)"]
    text = tables.done(len(lines), total) + tables.markdown(header, [_row(*item) for item in tested.items()])
    return text + "\n" + _losses(kinds["loss"])


def _row(kind: str, lines: list[dict[str, Any]]) -> list[Any]:
    p = np.concatenate([line["p"] for line in lines])
    rejected = int((p < ALPHA).sum())
    ends = stats.binomtest(rejected, len(p)).proportion_ci()
    asked = f"at most {MOST_REJECTED:.1%}" if kind == "null" else f"at least {LEAST_POWER:.0%}"
    mean, share = np.mean(np.concatenate([line["estimate"] for line in lines])), rejected / len(p)
    return [kind, PEOPLE[kind], len(p), f"{share:.2%}", f"{ends.low:.1%} to {ends.high:.1%}", asked, f"{mean:+.4f}"]


def _losses(lines: list[dict[str, Any]]) -> str:
    rows = [
        [
            f"against {name}",
            sum(line["trials"] for line in lines),
            f"{np.mean([line['loss'][name] for line in lines]):+.4f}",
        ]
        for name in ("popularity", "uniform")
        if lines
    ]
    return tables.markdown(
        ["loss of the reward head in the null world", "trials", f"reward SD (asked: {MOST_LOST})"], rows
    )


def _figure(worlds: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """p values: flat in the null world, close to zero where there is something to find."""
    plt = tables.plotting()
    figure, axes = plt.subplots(1, len(worlds), figsize=(4.2 * len(worlds), 3.2), squeeze=False)
    for axis, (world, lines) in zip(axes[0], worlds.items(), strict=True):
        p = np.concatenate([line["p"] for line in lines])
        axis.hist(p, bins=20, range=(0, 1), color="#4477aa")
        axis.axhline(len(p) / 20, color="black", linewidth=0.8)
        axis.set(title=f"{world}: {len(p)} trials of {PEOPLE[world]}", xlabel="p value of the primary contrast")
    axes[0, 0].set_ylabel("trials")
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
