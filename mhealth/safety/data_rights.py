"""A person's own data: the risk events on record, and their end."""

from mhealth.people.models import Participant
from mhealth.safety.models import RiskEvent


def export_person(participant: Participant) -> dict:
    events = participant.risk_events.order_by("opened_at", "id").prefetch_related("moves")
    return {"risk_events": [_exported(event) for event in events]}


def _exported(event: RiskEvent) -> dict:
    return {
        "id": str(event.pk),
        "severity": event.severity,
        "rule": event.rule,
        "source": event.source,
        "evidence": event.evidence,
        "opened_at": event.opened_at.isoformat(),
        "state": event.state,
        "steps": [{"at": step.at.isoformat(), "state": step.to_state, "note": step.note} for step in event.moves.all()],
    }


def erase_person(participant: Participant) -> None:
    participant.risk_events.all().delete()
