"""The exported decision log: JSON lines, one delivered activity each.

    {"person": "p-7f3a", "at": "2026-05-03T18:20:00+00:00", "activity": "box-breathing", "technique": "breathing",
     "completed": true, "helpfulness": 4, "mood_change": 0.25,
     "context": {"emotion": {"sadness": 0.6, "neutral": 0.4}, "modality_weights": {"face": 0.4, "voice": 0.6},
                 "dass": {"depression": 18}, "dass_slopes": {"depression": -1.5}, "dass_age_days": 6,
                 "local_time": "2026-05-03T20:20:00+02:00", "day_in_programme": 12, "dose_last_7_days": 5},
     "probability": 0.14, "tags": ["body"], "attributes": {"effort": 0.2}}

person: a pseudonym.   at: when it was sent, with its UTC offset.   completed: null when never heard of.
helpfulness: 1–5 or null.   mood_change: −1 to 1, after minus before as a share of the scale's width, or null.
context: fields of `recommender.context.Context`, each may be left out.   probability (optional): of this activity
given that one was sent.   tags, attributes (optional): of the activity; the last line that names it counts.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from recommender.catalogue import Activity, Delivery, Outcome
from recommender.context import Context, InvalidContext


class BadLog(ValueError):
    """A line of the log cannot be used; the message says which and why."""


@dataclass(frozen=True)
class DecisionLog:
    """histories and contexts: one list per person, oldest delivery first."""

    people: list[str]
    histories: list[list[Delivery]]
    contexts: list[list[Context]]
    activities: list[Activity]


def read_log(path: str | Path) -> DecisionLog:
    """Read a log; raises BadLog for an unreadable, empty or wrong file."""
    histories: dict[str, list[Delivery]] = defaultdict(list)
    activities: dict[str, Activity] = {}
    try:
        with Path(path).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    person, delivery, activity = parsed(line, number)
                    histories[person].append(delivery)
                    activities[activity.id] = activity
    except (OSError, UnicodeDecodeError) as error:
        raise BadLog(f"{path}: {error}") from error
    if not histories:
        raise BadLog(f"{path}: no deliveries")
    people = sorted(histories)
    ordered = [sorted(histories[person], key=lambda delivery: delivery.at) for person in people]
    contexts = [[delivery.context or Context() for delivery in history] for history in ordered]
    return DecisionLog(people, ordered, contexts, [activities[name] for name in sorted(activities)])


def line_of(person: str, delivery: Delivery, activity: Activity) -> str:
    """The line of one delivery, as `read_log` takes it, without a line break."""
    outcome = delivery.outcome
    return json.dumps(
        {
            "person": person,
            "at": delivery.at.isoformat(),
            "activity": activity.id,
            "technique": activity.technique,
            "completed": outcome.completed,
            "helpfulness": outcome.helpfulness,
            "mood_change": outcome.mood_change,
            "context": (delivery.context or Context()).to_dict(),
            "probability": delivery.probability,
            "tags": list(activity.tags),
            "attributes": dict(activity.attributes),
        }
    )


def parsed(line: str, number: int) -> tuple[str, Delivery, Activity]:
    """Person, delivery and activity of one line; raises BadLog with its number."""
    try:
        row: dict[str, Any] = json.loads(line)
        at = datetime.fromisoformat(row["at"])
        if at.tzinfo is None:
            raise BadLog(f"line {number}: at needs a UTC offset")
        outcome = Outcome(_flag(row.get("completed")), row.get("helpfulness"), row.get("mood_change"))
        context = Context.from_dict(row.get("context") or {})
        delivery = Delivery(str(row["activity"]), at, outcome, context, _probability(row.get("probability")))
        activity = Activity(
            str(row["activity"]), str(row["technique"]), tuple(row.get("tags") or ()), row.get("attributes") or {}
        )
        return str(row["person"]), delivery, activity
    except KeyError as error:
        raise BadLog(f"line {number}: {error.args[0]} is missing") from error
    except (InvalidContext, TypeError, AttributeError, ValueError) as error:
        text = str(error)
        raise BadLog(text if text.startswith("line ") else f"line {number}: {text}") from error


def _flag(value: Any) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"completed must be true, false or null, got {value!r}")
    return value


def _probability(value: Any) -> float | None:
    if value is not None and not (isinstance(value, int | float) and 0 < value <= 1):
        raise ValueError(f"probability must be in (0, 1], got {value!r}")
    return value
