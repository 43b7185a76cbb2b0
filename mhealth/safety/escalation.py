"""Alert humans until they act: the person on duty, then the care team, then the study's contact as well.

The last step repeats each time the clock has run once more. A row's `next_alert_at` is the truth; a lost hint or a
mail server that is away delays an alert, never drops it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone

from mhealth.people.models import Study, User
from mhealth.platform import audit
from mhealth.safety.models import CrisisResource, Duty, RiskEvent

log = structlog.get_logger(__name__)
ALERT_RETRY = timedelta(minutes=2)  # a mail server that is away is tried again this soon
ROTA_AHEAD = timedelta(days=7)


def send_due_alerts(now: datetime | None = None) -> int:
    """Alert humans about events that nobody has acted on; return how many alerts went out."""
    now = now or timezone.now()
    sent = 0
    for event in RiskEvent.objects.alert_due(now).select_related("participant__study", "participant__care_team"):
        claimed = RiskEvent.objects.filter(pk=event.pk, next_alert_at=event.next_alert_at)
        if not claimed.update(next_alert_at=now + ALERT_RETRY):
            continue  # another worker has it
        try:
            _mail(alert_addresses(event, now), event)
        except OSError as away:  # SMTP errors are OSErrors too; the others must still get theirs
            log.error("alert not sent", risk_event=str(event.pk), fault=type(away).__name__)
            continue
        _after_alert(event, now)
        sent += 1
    return sent


def alert_addresses(event: RiskEvent, now: datetime) -> list[str]:
    """Who is told at this step of the escalation; a step without anybody falls through to the next."""
    participant = event.participant
    on_duty = User.objects.filter(duties__in=Duty.objects.at(participant.study, now))
    team = participant.care_team.clinicians.all() if participant.care_team else User.objects.none()
    chain = [_addresses(on_duty), _addresses(on_duty | team), [*_addresses(team), participant.study.contact_email]]
    reached = [step for step in chain[event.alerts :] if step]
    return sorted(set(reached[0] if reached else chain[-1]))


def _addresses(users: Iterable[User]) -> list[str]:
    return [user.email for user in users.filter(is_active=True).distinct()]


def _mail(addresses: list[str], event: RiskEvent) -> None:
    """Says that something waits and until when; nothing about whom or what."""
    state = event.get_state_display().lower()
    send_mail(
        subject=f"[{event.participant.study.slug}] A {event.severity} risk event waits for you",
        message=(
            f"A {event.severity} risk event is {state} since {event.last_at:%Y-%m-%d %H:%M} UTC.\n"
            f"Act by {event.act_by:%Y-%m-%d %H:%M} UTC: sign in and open the risk inbox, event {event.pk}.\n"
        ),
        from_email=settings.DEFAULT_FROM_EMAIL,
        recipient_list=addresses,
    )


def _after_alert(event: RiskEvent, now: datetime) -> None:
    window = event.act_within()
    half = event.act_by - window / 2
    then = half if event.alerts == 0 and half > now else event.act_by if event.act_by > now else now + window
    # Not if a repeat has started the clock again meanwhile.
    RiskEvent.objects.awaiting_action().filter(pk=event.pk, alerts=event.alerts, act_by=event.act_by).update(
        alerts=event.alerts + 1, next_alert_at=then
    )
    audit.record(actor="system", action="risk.alert", subject=event.subject, step=event.alerts)


def rota_warnings(study: Study, now: datetime | None = None) -> list[str]:
    now = now or timezone.now()
    return [
        f"{study.slug}: nobody is on call from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
        for start, end in Duty.objects.uncovered(study, now, now + ROTA_AHEAD)
    ]


def resource_warnings(now: datetime | None = None) -> list[str]:
    today = (now or timezone.now()).date()
    return [
        f"crisis resource {resource.slug} ({resource.language}) was to be reviewed by {resource.review_by}"
        for resource in CrisisResource.objects.filter(review_by__lt=today)
    ]


def operator_warnings(now: datetime | None = None) -> list[str]:
    """What an operator must put right: hours without anybody on call, crisis resources nobody reviewed."""
    return [line for study in Study.objects.order_by("slug") for line in rota_warnings(study, now)] + resource_warnings(
        now
    )


def mail_operator_warnings() -> None:
    """To the operators of each study: its own gaps, and the crisis resources of all."""
    for study in Study.objects.order_by("slug"):
        lines = rota_warnings(study) + resource_warnings()
        operators = _addresses(User.objects.filter(memberships__study=study, groups__name="operator"))
        if lines and operators:
            send_mail(
                subject=f"[{study.slug}] The safety set-up needs you",
                message="\n".join(lines) + "\n",
                from_email=settings.DEFAULT_FROM_EMAIL,
                recipient_list=operators,
            )
