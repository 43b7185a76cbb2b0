"""B11: how long one decision takes, and training, on one thread.

    decision   47 activities, people with 0 to 64 earlier deliveries: posterior of every activity from the whole
               history, and the draw; wall and processor time of each of 300
    training   people with ten deliveries each, the default configuration: fit from histories to reward head

The log is made here: completions by technique and emotion. Processor time is what a busy machine does not distort.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from recommender.bench import tables
from recommender.bench.cells import Cell
from recommender.catalogue import Activity, Delivery, Outcome
from recommender.context import EMOTIONS, Context

ACTIVITIES, DECISIONS = 47, 300
TECHNIQUES = ("breathing", "journaling", "grounding", "activation", "reframing")
START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def cells(quick: bool) -> list[Cell]:
    decision = [Cell("speed", "decision", f"{n} earlier deliveries", 0, 0.5) for n in (0, 20, 64)]
    people = (300,) if quick else (300, 1000, 10_000)
    return decision + [Cell("speed", "training", f"{n} people", 0, n / 300) for n in people]


def work(cell: Cell, data: Path) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    n = int(cell.data.split()[0])
    return decisions(n, cell.seed) if cell.method == "decision" else training(n, cell.seed)


def decisions(deliveries: int, seed: int) -> dict[str, Any]:
    """Milliseconds at the median and the 99th percentile."""
    from recommender.policy import Candidate, PolicyConfig, decide
    from recommender.vae import Recommender, VaeConfig

    model = Recommender(VaeConfig(epochs=1), seed).fit(*log(60, 10, seed))
    histories, contexts, activities = log(50, max(deliveries, 1), seed + 1)
    candidates = [Candidate(activity.id) for activity in activities]
    wall, cpu = [], []
    for i in range(DECISIONS):
        history = [replace(d, context=fresh(d.context)) for d in histories[i % 50][:deliveries]]
        context = fresh(contexts[i % 50][-1])
        began, used = time.perf_counter(), time.process_time()
        mean, sd = model.score(history, context)
        law = {"scores": mean.tolist(), "scores_sd": sd.tolist(), "config": PolicyConfig()}
        decide(candidates=candidates, seed=i, **law)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    return {
        f"{name}_{kind}_ms": round(1000 * float(np.quantile(values, q)), 3)
        for kind, values in (("wall", wall), ("cpu", cpu))
        for name, q in (("p50", 0.5), ("p99", 0.99))
    }


def training(people: int, seed: int) -> dict[str, Any]:
    from recommender.vae import Recommender

    made = log(people, 10, seed)
    began, used = time.perf_counter(), time.process_time()
    report = Recommender(seed=seed).fit(*made).report_
    return {
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - used, 1),
        "deep_stays": report["deep_stays"],
    }


def log(people: int, deliveries: int, seed: int) -> tuple[list[list[Delivery]], list[list[Context]], list[Activity]]:
    """Histories, contexts and activities as `Recommender.fit` takes them."""
    rng = np.random.default_rng(seed)
    activities = [Activity(f"a{i:02}", TECHNIQUES[i % len(TECHNIQUES)]) for i in range(ACTIVITIES)]
    histories, contexts = [], []
    for _ in range(people):
        history = [_delivery(activities, day, rng) for day in range(deliveries)]
        histories.append(history)
        contexts.append([delivery.context or Context() for delivery in history])
    return histories, contexts, activities


def fresh(context: Context | None) -> Context:
    """The same moment, its columns not computed yet, as a service reads it from its rows."""
    return replace(context or Context())


def _delivery(activities: list[Activity], day: int, rng: np.random.Generator) -> Delivery:
    shares = rng.dirichlet(np.full(len(EMOTIONS), 0.5))
    at = START + timedelta(days=day, hours=int(rng.integers(8)))
    weights = {"face": 0.5, "voice": 0.5}
    context = Context(dict(zip(EMOTIONS, shares.tolist(), strict=True)), weights, local_time=at, day_in_programme=day)
    activity = activities[int(rng.integers(len(activities)))]
    done = bool(rng.random() < 0.3 + 0.4 * shares[TECHNIQUES.index(activity.technique)])
    outcome = Outcome(done, float(rng.integers(2, 6)) if done else None, None)
    return Delivery(activity.id, at, outcome, context, 1 / len(activities))


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    rows = [
        [line["method"], line["data"], *(line.get(k, "") for k in ("p50_cpu_ms", "p99_cpu_ms", "p99_wall_ms", "cpu_s"))]
        for line in lines
    ]
    header = ["what", "size", "p50 CPU ms", "p99 CPU ms", "p99 wall ms", "CPU s"]
    return tables.done(len(lines), total) + tables.markdown(header, rows)
