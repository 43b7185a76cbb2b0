"""What every room must do after a person's word is a durable row, followed up until every room has done it."""

from functools import partial

import structlog
from django.db import transaction
from django.utils import timezone

from mhealth.people import registry
from mhealth.people.models import FollowUp, Participant
from mhealth.platform.health import Missing
from mhealth.platform.leases import describe
from mhealth.platform.row_security import acting_for_everybody

log = structlog.get_logger(__name__)


def ask(participant: Participant, scope: str, *, delete_media: bool = False) -> FollowUp:
    """Store it with the word, in the caller's transaction; rooms follow right after, or by the sweep."""
    row = FollowUp.objects.create(participant=participant, scope=scope, delete_media=delete_media)
    transaction.on_commit(partial(_follow_now, row))
    return row


def _follow_now(row: FollowUp) -> None:
    """The word is stored: whatever goes wrong from here on is ours to mend, not the person's to repeat."""
    try:
        follow(row)
    except Exception as fault:
        log.error("a withdrawal is followed later", row=row.pk, fault=describe(fault))


def follow(row: FollowUp) -> bool:
    """Let the rooms follow that have not yet, the highest first; return whether all have.

    A fault in one room keeps the others not waiting. Twice at once is harmless: rooms may repeat themselves.
    """
    followed, faults = list(row.followed), []
    for name, room in reversed(registry.rooms.items()):
        if name in followed:
            continue
        try:
            # Whoever passed the word on: a row that they do not see must be followed up all the same.
            with acting_for_everybody(because="a person's word holds for every row about them"):
                if row.delete_media:
                    room.delete_media(row.participant)
                room.withdraw(row.participant, row.scope, row.said_at)
            followed.append(name)
        except Exception as fault:
            faults.append(describe(fault))
            log.error("a room failed to follow a withdrawal", room=name, scope=row.scope, fault=faults[-1])
    done_at = None if faults else timezone.now()
    fault = faults[-1] if faults else ""
    FollowUp.objects.filter(pk=row.pk).update(followed=followed, done_at=done_at, fault=fault)
    return not faults


def follow_open() -> int:
    """Follow what is still to follow; return how much of it is done now."""
    return sum(follow(row) for row in FollowUp.objects.open().select_related("participant"))


def check_followed() -> str:
    """For the doctor. Raises Missing."""
    rows = list(FollowUp.objects.overdue())
    if not rows:
        return "every room has followed"
    waiting = sorted({name for row in rows for name in registry.rooms if name not in row.followed})
    raise Missing(
        f"{len(rows)} not followed for more than {FollowUp.PATIENCE.seconds // 60} minutes "
        f"by {', '.join(waiting)} ({rows[-1].fault or 'not tried yet: is beat running?'})"
    )
