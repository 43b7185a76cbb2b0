"""A person's own data: their questionnaires with answers and scores, and their end."""

from mhealth.outcomes.models import Occasion, Response
from mhealth.people.models import Participant


def export_person(participant: Participant) -> dict:
    occasions = participant.occasions.select_related("version__instrument").prefetch_related("responses__scores")
    return {"questionnaires": [_exported(occasion) for occasion in occasions]}


def _exported(occasion: Occasion) -> dict:
    return {
        "id": str(occasion.pk),
        "instrument": occasion.version.instrument.slug,
        "version": occasion.version.version,
        "name": occasion.name,
        "opens_at": occasion.opens_at.isoformat(),
        "due_at": occasion.due_at.isoformat(),
        "closes_at": occasion.closes_at.isoformat(),
        "responses": [_exported_response(response) for response in occasion.responses.all()],
    }


def _exported_response(response: Response) -> dict:
    return {
        "answered_at": response.answered_at.isoformat(),
        "received_at": response.received_at.isoformat(),
        "in_window": response.in_window,
        "conflicting": response.conflicting,
        "language": response.language,
        "answers": response.answers,
        "scores": {score.scale: {"value": score.value, "band": score.band} for score in response.scores.all()},
    }


def erase_person(participant: Participant) -> None:
    participant.occasions.all().delete()
