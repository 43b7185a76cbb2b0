"""What is known of a person at the moment of a decision, read once from the rooms below."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from interventions.models import Decision
from mhealth.checkins.models import CheckIn
from mhealth.outcomes import services as outcomes
from mhealth.outcomes.models import ScaleScore
from mhealth.people.models import Participant
from mhealth.trials.models import Enrolment
from recommender.catalogue import Delivery, Outcome
from recommender.context import EMOTIONS, SCALES, Context

FRESH_FOR = timedelta(hours=6)  # an older check-in says little about now
HISTORY_LENGTH = 64  # the recommender looks back so far
FEWEST_DAYS_BETWEEN = 1.0  # a slope over hours would be noise


@dataclass(frozen=True)
class Snapshot:
    """The inputs of one decision; `to_dict` is what the record keeps and a replay reads.

    source: of the emotion: "check_in", "correction" (the person's own word, which counts instead of the estimate),
    "unreadable" (a check-in that told nothing) or "none".
    done: activities completed or skipped so far, one entry per time, oldest first.
    """

    at: datetime
    context: Context
    source: str = "none"
    abstained: bool = False
    labels: tuple[str, ...] = ()
    bands: dict[str, str] = field(default_factory=dict)
    history: tuple[Delivery, ...] = ()
    done: tuple[str, ...] = ()

    def to_dict(self) -> dict:
        return {
            "at": self.at.isoformat(),
            "context": self.context.to_dict(),
            "source": self.source,
            "abstained": self.abstained,
            "labels": list(self.labels),
            "bands": self.bands,
            "history": [_delivery_to_dict(delivery) for delivery in self.history],
            "done": list(self.done),
        }

    @classmethod
    def from_dict(cls, values: dict) -> "Snapshot":
        return cls(
            at=datetime.fromisoformat(values["at"]),
            context=Context.from_dict(values["context"]),
            source=values["source"],
            abstained=values["abstained"],
            labels=tuple(values["labels"]),
            bands=values["bands"],
            history=tuple(_delivery_from_dict(line) for line in values["history"]),
            done=tuple(values["done"]),
        )


def read(participant: Participant, check_in: CheckIn | None, at: datetime) -> Snapshot:
    check_in = check_in or _fresh_check_in(participant, at)
    offered = list(_offered(participant, at))
    emotion, source, abstained, labels = _emotion(participant, check_in)
    scores = outcomes.latest_scores(participant)
    local = at.astimezone(ZoneInfo(participant.zone))
    week_ago = at - timedelta(days=7)
    context = Context(
        emotion=emotion,
        modality_weights=dict(check_in.fused["weights"]) if emotion and source == "check_in" else {},
        dass={scale: scores[scale].doubled for scale in SCALES if scale in scores},
        dass_slopes=_slopes(participant),
        dass_age_days=max(((at - max(s.at for s in scores.values())) / timedelta(days=1)), 0.0) if scores else None,
        local_time=local,
        day_in_programme=float(max((local.date() - _start(participant).astimezone(local.tzinfo).date()).days, 0)),
        dose_last_7_days=float(sum(decision.decided_at >= week_ago for decision in offered)),
    )
    return Snapshot(
        at=at,
        context=context,
        source=source,
        abstained=abstained,
        labels=labels,
        bands=_bands(scores),
        history=tuple(delivery_of(decision, at) for decision in offered[-HISTORY_LENGTH:]),
        done=tuple(key for decision in offered for key in _dealt_with(decision)),
    )


def bands(participant: Participant) -> dict[str, str]:
    """The band of each DASS-21 scale that could be scored; all of a snapshot that gates look at."""
    return _bands(outcomes.latest_scores(participant))


def _bands(scores: dict[str, ScaleScore]) -> dict[str, str]:
    return {scale: score.band for scale, score in scores.items() if score.band}


def delivery_of(decision: Decision, at: datetime) -> Delivery:
    """An earlier decision as the recommender sees it, with what was heard of it until `at`."""
    record = decision.record
    probabilities = dict(zip(_names(record), record["choice"]["probabilities"], strict=True))
    key = decision.version.activity.key
    context = Context.from_dict(record["snapshot"]["context"])
    return Delivery(key, decision.decided_at, decision.heard_until(at), context, probabilities.get(key) or None)


def _names(record: dict) -> list[str]:
    return [candidate["activity"] for candidate in record["choice"]["candidates"]]


def _offered(participant: Participant, at: datetime):
    earlier = Decision.objects.offered().filter(participant=participant, decided_at__lt=at)
    return (
        earlier.select_related("version__activity", "participant__data_key")
        .prefetch_related("events")
        .order_by("decided_at", "id")
    )


def _dealt_with(decision: Decision) -> list[str]:
    kinds = {event.kind for event in decision.events.all()}
    return [decision.version.activity.key] if kinds & {"completed", "skipped"} else []


def _fresh_check_in(participant: Participant, at: datetime) -> CheckIn | None:
    recent = CheckIn.objects.usable().filter(
        participant=participant, recorded_at__gt=at - FRESH_FOR, recorded_at__lte=at
    )
    return recent.order_by("-recorded_at").first()


def _emotion(participant: Participant, check_in: CheckIn | None):
    """Return distribution or None, source, abstained, labels.

    A modality whose consent was withdrawn since takes its estimate with it: the fused one cannot be taken apart.
    """
    if check_in is None:
        return None, "none", False, ()
    correction = getattr(check_in, "correction", None)
    if correction:
        labels = tuple(label for label in EMOTIONS if label in correction.labels)
        return {label: 1 / len(labels) for label in labels}, "correction", False, labels
    fused = check_in.fused
    if not fused or not all(participant.consents_to(modality) for modality in fused["weights"]):
        return None, "unreadable", True, ()
    total = sum(fused["probabilities"].values())
    emotion = {name: p / total for name, p in fused["probabilities"].items()}  # stored with six digits
    return emotion, "check_in", bool(fused["abstained"]), ()


def _slopes(participant: Participant) -> dict[str, float]:
    """Points per week between the last two scored questionnaires, by scale."""
    values: dict[str, list[tuple[datetime, float]]] = {}
    rows = ScaleScore.objects.for_analysis().filter(
        response__occasion__participant=participant,
        response__occasion__version__instrument__slug=outcomes.DASS21,
        scale__in=SCALES,
        value__isnull=False,
    )
    for scale, value, at in rows.order_by("response__answered_at").values_list(
        "scale", "value", "response__answered_at"
    ):
        values.setdefault(scale, []).append((at, value))
    slopes = {}
    for scale, pairs in values.items():
        (before_at, before), (last_at, last) = pairs[-2:] if len(pairs) > 1 else (pairs[0], pairs[0])
        days = (last_at - before_at) / timedelta(days=1)
        if days >= FEWEST_DAYS_BETWEEN:
            slopes[scale] = (last - before) / days * 7
    return slopes


def _start(participant: Participant) -> datetime:
    enrolment = Enrolment.objects.in_effect().filter(participant=participant, allocated_at__isnull=False).first()
    return enrolment.allocated_at if enrolment else participant.joined_at


def _delivery_to_dict(delivery: Delivery) -> dict:
    outcome = delivery.outcome
    return {
        "activity": delivery.activity,
        "at": delivery.at.isoformat(),
        "outcome": [outcome.completed, outcome.helpfulness, outcome.mood_change],
        "context": delivery.context and delivery.context.to_dict(),
        "probability": delivery.probability,
    }


def _delivery_from_dict(line: dict) -> Delivery:
    context = Context.from_dict(line["context"]) if line["context"] else None
    at = datetime.fromisoformat(line["at"])
    return Delivery(line["activity"], at, Outcome(*line["outcome"]), context, line["probability"])
