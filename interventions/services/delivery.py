"""What people do with a decision, and what becomes of it."""

import uuid
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from interventions.models import Decision, DecisionEvent
from mhealth.checkins.services import ParticipationStopped
from mhealth.people.models import Participant
from mhealth.platform import moments
from mhealth.platform.problems import Problem
from mhealth.platform.row_security import acting_for_everybody


class EventIdReused(Problem):
    default_code = "id-reused"
    title = "Id reused"
    default_detail = "This id is taken by something else. Make a new id for a new event."


def record_event(
    *, decision: Decision, event_id: uuid.UUID, kind: str, at: datetime, value: int | None = None, reason: str = ""
) -> tuple[DecisionEvent, bool]:
    """Store an event once; return it, and whether it was new. Raises EventIdReused."""
    now = timezone.now()
    sent = {"decision_id": decision.pk, "kind": kind, "value": value, "reason": reason}
    try:
        with transaction.atomic():
            if Participant.objects.hold(decision.participant_id).status == Participant.Status.ERASED:
                raise ParticipationStopped()
            at, _ = moments.believed(at, now)
            return DecisionEvent.objects.create(id=event_id, at=at, received_at=now, **sent), True
    except IntegrityError:
        with acting_for_everybody(because="an id of another person's is refused as one's own would be"):
            known = DecisionEvent.objects.get(pk=event_id)
    if any(getattr(known, name) != said for name, said in sent.items()):
        raise EventIdReused()
    return known, False
