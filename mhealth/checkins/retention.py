"""Raw media is deleted once it has been read, unless the study keeps it for some days."""

from datetime import timedelta

import structlog
from django.utils import timezone

from mhealth.checkins.models import CheckIn, Part
from mhealth.platform import media
from mhealth.platform.leases import WorkStatus

log = structlog.get_logger(__name__)
MEDIA_KINDS = (Part.Kind.FACE, Part.Kind.VOICE, Part.Kind.VIDEO)


def keeps_media(check_in: CheckIn) -> bool:
    return check_in.participant.study.settings.get("media_retention_days", 0) > 0


def expired_parts(now=None) -> list[Part]:
    """Photos, recordings and videos of finished check-ins that are older than their study keeps them."""
    now = now or timezone.now()
    held = Part.objects.filter(
        kind__in=MEDIA_KINDS,
        deleted_at=None,
        check_in__status__in=[WorkStatus.DONE, WorkStatus.UNUSABLE],
    ).select_related("check_in__participant__study")
    return [part for part in held.iterator() if part.check_in.finished_at + _kept_for(part) <= now]


def _kept_for(part: Part) -> timedelta:
    return timedelta(days=part.check_in.participant.study.settings.get("media_retention_days", 0))


def orphans() -> list[str]:
    """Names in the store that no part names any more: an upload whose transaction failed."""
    return [name for name in media.store().names() if not Part.objects.filter(name=name, deleted_at=None).exists()]


def purge(dry_run: bool = False) -> dict[str, int]:
    """Delete what is due; return the counts. A dry run only counts."""
    parts, lost = expired_parts(), []  # orphans are looked for by the command: an upload may be under way now
    if not dry_run:
        for part in parts:
            part.delete_content()
    counts = {"parts": len(parts), "orphans": len(lost)}
    log.info("media purge", dry_run=dry_run, **counts)
    return counts
