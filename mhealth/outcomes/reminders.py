"""Remind people of questionnaires the day before they are due, and when they are."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone

from mhealth.outcomes import notifier
from mhealth.outcomes.models import Occasion

BEFORE = timedelta(hours=24)
QUIET = (time(21), time(8))  # of the person's day; what comes due then is sent in the morning, if it is still open


def send_due_reminders(now: datetime | None = None) -> int:
    """Send each reminder once to those who agreed to be contacted; return how many went out."""
    now = now or timezone.now()
    due = Occasion.objects.to_remind(now, BEFORE).select_related("participant__user", "participant__study")
    return sum(_remind(occasion, now) for occasion in due)


def _remind(occasion: Occasion, now: datetime) -> bool:
    person = occasion.participant
    if _quiet(person.zone, now) or not person.consents_to("contact") or not notifier.reachable(person):
        return False
    stage = "due" if occasion.due_at <= now else "before"
    mark = f"reminded_{stage}_at"
    # Marked first: when two workers come here at once, or the second write fails, one mail is better than two.
    if not Occasion.objects.filter(pk=occasion.pk, **{mark: None}).update(**{mark: now}):
        return False
    try:
        notifier.remind(person, stage)
    except OSError:  # the mail server or the push service is away: the next run tries again
        Occasion.objects.filter(pk=occasion.pk, **{mark: now}).update(**{mark: None})
        return False
    return True


def _quiet(zone: str, now: datetime) -> bool:
    evening, morning = QUIET
    local = now.astimezone(ZoneInfo(zone)).time()
    return local >= evening or local < morning
