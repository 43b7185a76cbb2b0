"""The audit chain: each event's digest covers the one before it, so a changed, missing or inserted row shows."""

import hashlib
import hmac
import json
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from mhealth.platform.models import AuditEvent, AuditHead

GENESIS = "0" * 64


def digest_of(event: AuditEvent, key: bytes | None = None) -> str:
    """The chained digest of an event, under the present master key unless another is given."""
    body = json.dumps(
        [_iso(event.at), event.actor, event.action, event.subject, event.details, event.previous],
        sort_keys=True,
        separators=(",", ":"),
    )
    # Keyed, so that someone who can write the table but not read the environment cannot re-chain it.
    return hmac.new(key or settings.MASTER_KEY, body.encode(), hashlib.sha256).hexdigest()


def _iso(at: datetime) -> str:
    return at.astimezone(timezone.get_default_timezone()).isoformat()


@transaction.atomic
def record(*, actor: object, action: str, subject: str, **details: object) -> AuditEvent:
    """Append one event. `actor` is a User (its id is stored) or "system"; details hold no names or free text."""
    AuditHead.objects.get_or_create(pk=1, defaults={"digest": GENESIS})
    head = AuditHead.objects.select_for_update().get(pk=1)
    event = AuditEvent(
        at=timezone.now(),
        actor=str(getattr(actor, "pk", actor)),
        action=action,
        subject=subject,
        details=details,
        previous=head.digest,
    )
    event.digest = digest_of(event)
    event.save(force_insert=True)
    AuditHead.objects.filter(pk=1).update(digest=event.digest)
    return event


def _is_ours(event: AuditEvent) -> bool:
    """Events from before a rotation were chained under a former key."""
    keys = [settings.MASTER_KEY, *settings.MASTER_KEYS_OLD]
    return any(hmac.compare_digest(event.digest, digest_of(event, key)) for key in keys)


def first_break() -> int | None:
    """The id of the first event that does not continue the chain, or None if the chain is whole."""
    previous = GENESIS
    last = None
    for event in AuditEvent.objects.order_by("id").iterator():
        if event.previous != previous or not _is_ours(event):
            return event.pk
        previous, last = event.digest, event.pk
    head = AuditHead.objects.filter(pk=1).first()
    return None if head is None or head.digest == previous else last
