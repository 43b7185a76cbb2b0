"""Show others: what a person may take instead of the activity that was decided. One activity is the decision.

The list is fixed with the decision and lies in its record; that it was shown, and what was taken, are events. Neither
is in the outcome of the decision, so that no reward, no training and no off-policy evaluation is made from them.
"""

import uuid
from dataclasses import replace
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from interventions import context, gates
from interventions.models import Activity, Decision, DecisionEvent, Version
from interventions.services.decisions import freeze_of, read_situation
from mhealth.checkins.services import ParticipationStopped
from mhealth.people.models import Participant


def show_others(*, decision: Decision) -> list[tuple[int, Version]]:
    """Places from 1 on and texts of the others whose gates are still open; the first time is stored as an event."""
    now = timezone.now()
    with transaction.atomic():
        if Participant.objects.hold(decision.participant_id).status == Participant.Status.ERASED:
            raise ParticipationStopped()
        if not decision.events.filter(kind=DecisionEvent.Kind.OTHERS_SHOWN).exists():
            decision.events.create(id=uuid.uuid4(), kind=DecisionEvent.Kind.OTHERS_SHOWN, at=now, received_at=now)
    return _open_now(decision, now)


def places_shown(decision: Decision) -> range:
    """The places that can have been chosen."""
    shown = decision.events.filter(kind=DecisionEvent.Kind.OTHERS_SHOWN).exists()
    return range(1, 1 + len(_listed(decision)) if shown else 1)


def _listed(decision: Decision) -> list[str]:
    """Keys in the order of their places. Records from before there were others have none."""
    return decision.record.get("others", []) if decision.sealed_record else []


def _open_now(decision: Decision, now: datetime) -> list[tuple[int, Version]]:
    """The gates as of a moment that was asked for: hours may have passed since the decision."""
    participant = decision.participant
    bands, freeze = context.bands(participant), freeze_of(participant)
    situation = replace(read_situation(participant, decision, bands, freeze, now), kind="asked")
    keys = _listed(decision)
    activities = Activity.objects.filter(key__in=keys).prefetch_related("contra_indications")
    known = {activity.key: activity for activity in activities}
    return [
        (place, situation.version_of(known[key]))
        for place, key in enumerate(keys, start=1)
        if key in known and not gates.reasons(known[key], situation)
    ]
