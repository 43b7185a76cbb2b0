"""Exact additive parts of a score: what of it comes from which past activity, which context column, which attribute.

Attention weights are no explanation and are not used for one. Parts add up to the score to the last digits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import torch

from recommender.catalogue import Activity, Delivery
from recommender.context import COLUMNS, Context
from recommender.histories import strength
from recommender.network import FED

if TYPE_CHECKING:
    from recommender.vae import Recommender


def score_parts(
    model: Recommender,
    history: Sequence[Delivery],
    context: Context,
    activity: str,
    activities: Sequence[Activity] | None,
    in_training: bool,
    update_rule: str,
    at: datetime | None,
) -> dict[str, float]:
    """Named parts of the posterior mean of the reward of one activity; see `Recommender.explain`.

    The posterior mean is linear in past rewards: what a person's own deliveries have taught is told by the delivery
    that taught it. The engagement logit is a column of the reward head: its slope there times each part of the logit,
    centred over the activities on offer as the head centres it.
    """
    offered = model.activities_ if activities is None else list(activities)
    index, now = [a.id for a in offered].index(activity), context.vector()
    person, extra, deliveries = model._asked(history, context, activities, in_training, update_rule, at)
    parts = defaultdict(float, person.alone().explain(now, index, activities, extra))
    for delivery, share in zip(deliveries, person.added(now, index, activities, extra).tolist(), strict=True):
        parts[f"past:{delivery.activity}"] += share
    shift = person.influence.sum(axis=0) @ person._baseline(now)  # what the person's past says of any activity
    parts["baseline"] += float(shift)
    slope = parts.pop("model:engagement", 0.0)
    centred = extra[index, 0] - extra[:, 0].mean()
    if slope and centred:
        coefficient = slope / centred / model.logit_scale_
        for name, values in logit_parts(model, history, context, activities, at).items():
            value = float(coefficient * (values[index] - values.mean()))
            if value:
                parts[name] = parts.get(name, 0.0) + value
    return dict(sorted(parts.items(), key=lambda pair: -abs(pair[1])))


def logit_parts(model: Recommender, history, context, activities, at) -> dict[str, np.ndarray]:
    """Parts of one moment's logits, (N,) each: the linear path by past activity, the context by column."""
    parts = {name: part[0] for name, part in model._parts([(history, context, at)], activities).items()}
    named = {name: part for name, part in parts.items() if name not in ("linear", "context")}
    named.update(_past_parts(model, history, activities, at))
    with torch.no_grad():
        fed = model.network_.fed(model.reader_.tensor(context.vector())[None])[0]
        tastes = model.network_.context_activity @ model.reader_.items(activities).attributes.T
        for column, value, row in zip(FED, fed, tastes, strict=False):
            named[f"context:{COLUMNS[column]}"] = (value * row).double().numpy()
    return named


def _past_parts(model: Recommender, history, activities, at) -> dict[str, np.ndarray]:
    """tau x standardised EASE score, split by the past activity it comes from."""
    ids, place = model.reader_.items(activities).ids.numpy(), model.reader_.place
    x = np.zeros(len(model.activities_))
    for delivery in history:
        if delivery.activity in place and (at is None or delivery.at <= at):
            x[place[delivery.activity]] += strength(delivery)
    raw = x @ model.ease_
    spread = float(raw.std())
    scale = model.network_.tau.item() / spread if spread > 1e-9 else 0.0
    parts = {}
    for j in np.flatnonzero(x):
        share = scale * x[j] * (model.ease_[j] - model.ease_[j].mean())
        parts[f"past:{model.activities_[j].id}"] = np.append(share, 0.0)[ids]
    return parts
