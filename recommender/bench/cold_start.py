"""B9: new activities, missing modalities, wrong emotions: how much of a ranking is left.

The reward head learns from random offers to 150 people of a world. For other people at a random evening it ranks all
activities; NDCG@5 with gain = expected reward above the worst activity at that moment.

new activities   every fourth activity was never offered: its attributes alone speak. Against the head that knows all.
missing          no check-in, or neither emotion nor DASS-21. Against the same head without the emotion block.
wrong emotion    40 % of emotions seen are wrong, for those it learns from and those it ranks for (world `sensor`).
                 Against the same head without the emotion block, and in other worlds at 15 % wrong.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recommender import simulator
from recommender.bench import tables
from recommender.bench.cells import Cell
from recommender.bench.faithfulness import context_of, offers
from recommender.catalogue import Delivery
from recommender.context import EMOTIONS, Context
from recommender.reward import RewardHead, Row

WORLDS, SEEDS, PEOPLE, MOMENTS, TOP = ("prompted", "sensor", "linear-small", "nonlinear"), 5, 150, 300, 5
ROWS = (
    "warm",
    "new activities",
    "without emotion block",
    "no check-in",
    "no check-in, no DASS",
    "popularity",
    "rules",
    "random",
)


def cells(quick: bool) -> list[Cell]:
    seeds, worlds = (range(1), WORLDS[:1]) if quick else (range(SEEDS), WORLDS)
    return [Cell("cold_start", "reward head", world, seed, 0.5 + seed) for world in worlds for seed in seeds]


def work(cell: Cell, data: Path) -> dict[str, Any]:
    world, seed = simulator.load(cell.data), cell.seed
    log, _ = offers(world, PEOPLE, world.test_seeds[seed])
    model = simulator.Rewards(world, people=100).model
    warm, cold = fitted(world, log, model), fitted(world, log, model, without=new_ones(world))
    cohort = world.cohort(MOMENTS, world.test_seeds[(seed + 5) % 10], days=28)
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in ROWS}
    popular, bare = popularity(world, log, model), warm.without("emotion")
    for person in np.flatnonzero(cohort.present[:, 14]):
        gain = cohort.expected[person, 14]
        context = context_of(cohort, int(person), 14, 4.0)
        silent = context.without_emotion()
        scores = {
            "warm": warm.score(context.vector())[0],
            "new activities": cold.score(context.vector(), world.activities)[0],
            "without emotion block": bare.score(context.vector())[0],
            "no check-in": warm.score(silent.vector())[0],
            "no check-in, no DASS": warm.score(_mute(silent).vector())[0],
            "popularity": popular,
            "rules": _rules(world, context) + 1e-3 * rng.random(len(popular)),
            "random": rng.random(len(popular)),
        }
        for name, values in scores.items():
            found[name].append(ndcg(values, gain - gain.min()))
    return {name: round(float(np.mean(values)), 5) for name, values in found.items()}


def new_ones(world: simulator.World) -> set[str]:
    """Every fourth activity: one of each technique."""
    return {activity.id for activity in world.activities[1::4]}


def fitted(world: simulator.World, log: list[list[Delivery]], model, without: Collection[str] = ()) -> RewardHead:
    """The reward head after the log; offers of what is left out never happened."""
    known = [activity for activity in world.activities if activity.id not in without]
    place = {activity.id: i for i, activity in enumerate(known)}
    technique = {activity.id: activity.technique for activity in known}
    people = {
        person: [_row(delivery, place, technique, model) for delivery in history if delivery.activity in place]
        for person, history in enumerate(log)
    }
    return RewardHead(known).fit(people)


def _row(delivery: Delivery, place: dict[str, int], technique: dict[str, str], model) -> Row:
    reward, variance = model.reward(technique[delivery.activity], delivery.outcome)
    context = (delivery.context or Context()).vector()
    return Row(context, place[delivery.activity], reward, variance)


def popularity(world: simulator.World, log: list[list[Delivery]], model) -> np.ndarray:
    """Mean reward of each activity, one imagined average offer each, (N,)."""
    place = {activity.id: i for i, activity in enumerate(world.activities)}
    total, count = np.zeros(len(place)), np.ones(len(place))
    for history in log:
        for delivery in history:
            i = place[delivery.activity]
            total[i] += model.reward(world.activities[i].technique, delivery.outcome)[0]
            count[i] += 1
    return total / count


def ndcg(scores: np.ndarray, gain: np.ndarray) -> float:
    """Normalised discounted cumulative gain of the first five."""
    discount = 1 / np.log2(np.arange(2, TOP + 2))
    best = np.sort(gain)[::-1][:TOP] @ discount
    return float(gain[np.argsort(-scores, kind="stable")[:TOP]] @ discount / best)


def _rules(world: simulator.World, context: Context) -> np.ndarray:
    emotion = context.emotion or {}
    shown = max(emotion, key=lambda name: emotion[name], default=None)
    wanted = world.rules[EMOTIONS.index(shown)] if shown else None
    return np.array([float(activity.technique == wanted) for activity in world.activities])


def _mute(context: Context) -> Context:
    return replace(context, dass={}, dass_slopes={}, dass_age_days=None)


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    if not lines:
        return tables.done(0, total)
    _figure(lines, out / "recommender-cold-start.png")
    rows = [[name, *(_shown(lines, world, name) for world in WORLDS)] for name in ROWS]
    counts = [sum(line["data"] == world for line in lines) for world in WORLDS]
    header = ["NDCG@5, mean over seeds", *(f"{world} ({n})" for world, n in zip(WORLDS, counts, strict=True))]
    ratio = ["new / warm (asked: 90 %)"]
    above = ["the same above random"]
    for world in WORLDS:
        warm, new, chance = (_mean(lines, world, name) for name in ("warm", "new activities", "random"))
        ratio.append(f"{new / warm:.1%}" if np.isfinite(warm) else "-")
        above.append(f"{(new - chance) / (warm - chance):.1%}" if np.isfinite(warm) else "-")
    return tables.done(len(lines), total) + tables.markdown(header, [*rows, ratio, above])


def _mean(lines: list[dict[str, Any]], world: str, name: str) -> float:
    values = [line[name] for line in lines if line["data"] == world]
    return float(np.mean(values)) if values else np.nan


def _shown(lines: list[dict[str, Any]], world: str, name: str) -> str:
    mean = _mean(lines, world, name)
    return f"{mean:.4f}" if np.isfinite(mean) else "-"


def _figure(lines: list[dict[str, Any]], path: Path) -> None:
    """NDCG@5 of every condition, one point per seed."""
    plt = tables.plotting()
    worlds = [world for world in WORLDS if any(line["data"] == world for line in lines)]
    figure, axes = plt.subplots(1, len(worlds), figsize=(3.2 * len(worlds) + 1.5, 3.4), sharey=True, squeeze=False)
    for axis, world in zip(axes[0], worlds, strict=True):
        for place, name in enumerate(ROWS):
            values = [line[name] for line in lines if line["data"] == world]
            axis.plot(values, [place] * len(values), "o", color="#4477aa", markersize=4)
        axis.set(title=world, yticks=range(len(ROWS)), yticklabels=ROWS, xlabel="NDCG@5")
        axis.grid(axis="x", alpha=0.3)
    axes[0, 0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
