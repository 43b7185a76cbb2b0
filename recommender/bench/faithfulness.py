"""B10: are reasons what moves a score, do decisions replay, do closed gates stay closed?

reasons  The model is trained on random offers to people of a world. For other people's offers each reason, an activity
         done before or a block of the context, is deleted from the *input* and everything is computed again: its part
         of the explanation must foretell the drop. Counted: how often deleting the largest positive reason lowers the
         chosen activity's advantage over the others more than deleting a random other positive reason.
replay   Decisions go through JSON and back and are made again: every field must be equal.
gates    An activity that a gate closed must have probability 0 and never be chosen, whatever the policy.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from recommender import bandits, simulator
from recommender.bench import tables
from recommender.bench.cells import Cell
from recommender.catalogue import Delivery
from recommender.context import BLOCK_OF, EMOTIONS, SCALES, Context
from recommender.policy import Candidate, PolicyConfig, clinician_order, decide, differences, fixed_sequence
from recommender.reward import INTENDED
from recommender.trials import play

WORLDS, PEOPLE, CASES, QUICK_CASES = ("prompted", "nonlinear"), 150, 300, 60
ACTIVITIES, CHECKS_IN_A_CELL, CHECKS = 47, 250_000, 1_000_000
REPLAYED = 500
WITHOUT: dict[str, dict[str, Any]] = {
    "emotion": {"emotion": None, "modality_weights": {}},
    "dass": {"dass": {}, "dass_slopes": {}, "dass_age_days": None},
    "time": {"local_time": None},
    "programme": {"day_in_programme": 0.0, "dose_last_7_days": 0.0},
}


def cells(quick: bool) -> list[Cell]:
    checks = [
        Cell("faithfulness", "gates", f"{CHECKS_IN_A_CELL} checks", s, 1.0) for s in range(CHECKS // CHECKS_IN_A_CELL)
    ]
    cases = QUICK_CASES if quick else CASES
    reasons = [Cell("faithfulness", "reasons", f"{world}, {cases} cases", 0, 3.0) for world in WORLDS]
    return [
        Cell("faithfulness", "replay", f"{REPLAYED} decisions", 0, 0.5),
        *checks[: 1 if quick else None],
        *reasons[: 1 if quick else None],
    ]


def work(cell: Cell, data: Path) -> dict[str, Any]:
    return {"gates": _gates, "replay": _replay, "reasons": _reasons}[cell.method](cell)


def random_decision(rng: np.random.Generator, draws: int):
    """A decision of a random policy about activities of which a random part is closed."""
    closed = rng.random(ACTIVITIES) < rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    candidates = [Candidate(f"a{i}", closed_by=("risk",) if closed[i] else ()) for i in range(ACTIVITIES)]
    names = [candidate.activity for candidate in candidates]
    config = PolicyConfig(send_probability=float(rng.uniform(0, 1)), draws=draws, always_send=bool(rng.random() < 0.2))
    common: dict[str, Any] = {"candidates": candidates, "seed": int(rng.integers(2**62)), "config": config}
    kind = rng.integers(3)
    if kind == 0:
        scores = np.where(closed & (rng.random() < 0.5), np.nan, rng.normal(size=ACTIVITIES))
        return decide(scores=scores.tolist(), scores_sd=rng.uniform(0, 0.5, ACTIVITIES).tolist(), **common)
    order = list(rng.permutation(names))
    if kind == 1:
        return clinician_order(order=order, **common)
    return fixed_sequence(order=order[:30], done=list(rng.choice(names, 20)), **common)


def _gates(cell: Cell) -> dict[str, Any]:
    """Each activity of each decision is one check; so is what was chosen."""
    rng, checks, violations, chosen = np.random.default_rng([cell.seed, 10]), 0, 0, 0
    while checks < CHECKS_IN_A_CELL:
        choice = random_decision(rng, draws=20)
        for candidate, p in zip(choice.candidates, choice.probabilities, strict=True):
            violations += not candidate.eligible and (p != 0 or candidate.activity == choice.activity)
        checks, chosen = checks + ACTIVITIES, chosen + (choice.activity is not None)
    return {"checks": checks, "violations": int(violations), "sent": chosen}


def _replay(cell: Cell) -> dict[str, Any]:
    rng, equal = np.random.default_rng([cell.seed, 11]), 0
    for _ in range(REPLAYED):
        record = json.loads(json.dumps(random_decision(rng, draws=1000).record(), allow_nan=False))
        equal += not differences(record)
    return {"decisions": REPLAYED, "equal": equal}


def _reasons(cell: Cell) -> dict[str, Any]:
    import torch

    from recommender.vae import Recommender

    torch.set_num_threads(1)
    name, cases = cell.data.split(",")[0], int(cell.data.split()[1])
    world = simulator.load(name)
    histories, contexts = offers(world, PEOPLE, world.test_seeds[2])
    model = Recommender(seed=cell.seed).fit(histories, contexts, world.activities)
    others, moments = offers(world, cases, world.test_seeds[3])
    rng, larger, shares, foretold = np.random.default_rng(cell.seed), [], [], []
    for history, seen in zip(others, moments, strict=True):
        if len(history) < 8:
            continue
        past, context, at = history[:-1], seen[-1], history[-1].at
        drops = judged(model, past, context, at, rng)
        if drops:
            larger.append(drops[0] > drops[1])
            foretold.append(drops[2:])
        shares.append(latent_share(model, past, context, at))
    rank = stats.spearmanr(*np.array(foretold).T).statistic if len(foretold) > 2 else None
    return {
        "cases": len(larger),
        "larger": int(np.sum(larger)),
        "latent_share": round(float(np.mean(shares)), 4),
        "latent_above_half": int(np.sum(np.array(shares) > 0.5)),
        "deep_stays": bool(model.report_["deep_stays"]),
        "rank_correlation": None if rank is None else round(float(rank), 3),
    }


def judged(model, past: Sequence[Delivery], context: Context, at, rng: np.random.Generator):
    """Drops after deleting the largest positive reason and a random other one, and that one's part; None: under two."""
    advantage = _advantage(model, past, context, at)
    chosen = int(advantage.argmax())
    parts = inputs_of(model.explain(past, context, model.activities_[chosen].id, in_training=False, at=at))
    positive = sorted((name for name in parts if parts[name] > 1e-6), key=lambda name: -parts[name])
    if len(positive) < 2:
        return None
    one, other = positive[0], positive[int(rng.integers(1, len(positive)))]
    left = [without(name, past, context) for name in (one, other)]
    drops = [advantage[chosen] - _advantage(model, *inputs, at)[chosen] for inputs in left]
    return drops[0], drops[1], parts[other], drops[1]


def inputs_of(parts: dict[str, float]) -> dict[str, float]:
    """Parts of an explanation by what of the input they come from; what no single input makes is left out."""
    found: dict[str, float] = defaultdict(float)
    for name, value in parts.items():
        kind, _, rest = name.partition(":")
        column = rest.rpartition("*")[2] if "*" in rest else rest
        if kind == "past":
            found[name] += value
        elif name == INTENDED:
            found["emotion"] += value
        elif column in BLOCK_OF and BLOCK_OF[column] in WITHOUT and (kind == "context" or "*" in rest):
            found[BLOCK_OF[column]] += value
    return dict(found)


def without(reason: str, past: Sequence[Delivery], context: Context) -> tuple[Sequence[Delivery], Context]:
    """The input with a reason deleted from it."""
    if reason in WITHOUT:
        return past, replace(context, **WITHOUT[reason])
    return [d for d in past if d.activity != reason.removeprefix("past:")], context


def latent_share(model, past: Sequence[Delivery], context: Context, at) -> float:
    """Share of the latent remainder in the sum of absolute parts of the best activity's score."""
    chosen = int(_advantage(model, past, context, at).argmax())
    parts = model.explain(past, context, model.activities_[chosen].id, in_training=False, at=at)
    return abs(parts.get("latent", 0.0)) / max(sum(abs(v) for k, v in parts.items() if k != "baseline"), 1e-12)


def _advantage(model, past: Sequence[Delivery], context: Context, at: datetime) -> np.ndarray:
    mean, _ = model.score(past, context, in_training=False, at=at)
    return mean - mean.mean()


def offers(world: simulator.World, people: int, seed: int) -> tuple[list[list[Delivery]], list[list[Context]]]:
    """Random offers to people, as deliveries with the contexts they were made in."""
    cohort, rewards = world.cohort(people, seed), simulator.Rewards(world, people=50)
    played = play(cohort, bandits.Uniform(len(world.activities)), rewards)
    histories, contexts = [], []
    for person in range(people):
        history, seen = [], []
        for day in np.flatnonzero(played.sent[person]):
            context = context_of(cohort, person, int(day), float(played.sent[person, max(0, day - 7) : day].sum()))
            parts = (part[person] for part in cohort.outcome(int(day), np.maximum(played.chosen[:, day], 0)))
            activity = world.activities[int(played.chosen[person, day])]
            at = simulator.moment(int(day)).replace(tzinfo=UTC)
            history.append(Delivery(activity.id, at, simulator.outcome_of(*parts), context, 1 / len(world.activities)))
            seen.append(context)
        histories.append(history)
        contexts.append(seen)
    return histories, contexts


def context_of(cohort: simulator.Cohort, person: int, day: int, dose: float) -> Context:
    """What `Cohort.contexts` holds of one moment, as the recommender's own context."""
    seen, strength = int(cohort.seen[person, day]), cohort.world["shown_strength"]
    shown = {name: strength if i == seen else (1 - strength) / 6 for i, name in enumerate(EMOTIONS)}
    return Context(
        emotion=shown if seen >= 0 else None,
        modality_weights={"face": 0.5, "voice": 0.5} if seen >= 0 else {},
        dass=dict(zip(SCALES, map(float, cohort.dass[person, day]), strict=True)),
        dass_age_days=float(day % 14),
        local_time=simulator.moment(day),
        day_in_programme=float(day),
        dose_last_7_days=dose,
    )


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    by = {method: [line for line in lines if line["method"] == method] for method in ("reasons", "replay", "gates")}
    rows = []
    for line in by["reasons"]:
        share = line["larger"] / line["cases"]
        rows.append(
            [
                f"reasons, {line['data'].split(',')[0]}",
                f"{line['larger']} of {line['cases']} ({share:.1%})",
                "at least 90 %",
            ]
        )
        deep = "stays" if line["deep_stays"] else "was switched off"
        rows.append(
            [
                "",
                f"latent share {line['latent_share']:.1%} on average; the deep part {deep}",
                "above 50 % the sentence says so",
            ]
        )
    rows += [
        ["replay", f"{line['equal']} of {line['decisions']} decisions equal in every field", "100 %"]
        for line in by["replay"]
    ]
    if by["gates"]:
        checks, violations = (sum(line[name] for line in by["gates"]) for name in ("checks", "violations"))
        rows.append(["closed gates", f"{violations} violations in {checks:,} checks", "0 in 1,000,000"])
    return tables.done(len(lines), total) + tables.markdown(["what", "found", "asked"], rows)
