"""People at risk: raise an event, ask whether a severe one is unclosed, move it towards closed."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone
from rest_framework import status

from mhealth.people.models import Participant, User
from mhealth.platform import audit
from mhealth.platform.access import roles_of
from mhealth.platform.hints import hint
from mhealth.platform.problems import Problem
from mhealth.safety.crisis import crisis_card, load_crisis_resources  # noqa: F401 (part of this room's front)
from mhealth.safety.models import RiskEvent, RiskMove, Severity, State


class MoveNotAllowed(Problem):
    status_code = status.HTTP_409_CONFLICT
    default_code = "move-not-allowed"
    title = "This step is not possible now"
    default_detail = "The risk event is in another state. Load it again to see the steps it allows."


class NotTheirClinician(Problem):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "not-found"
    title = "Not found"
    default_detail = "There is no such person among yours."


@transaction.atomic
def raise_event(
    *,
    participant: Participant,
    source: str,
    severity: str,
    rule: str,
    evidence: dict,
    at: datetime | None = None,
    actor: object = "system",
) -> RiskEvent:
    """Open a risk event, or join the person's unclosed event of the same rule.

    evidence: item numbers, values and scores; never free text. A repeat that is as bad or worse opens an event
    again that somebody had acknowledged, with a new clock: what they looked at is no longer all there is.
    """
    at = at or timezone.now()
    # The person's row is the lock: two answers at once cannot open two events of one rule.
    people = Participant.objects.select_for_update(of=("self",), no_key=True).select_related("study")
    participant = people.get(pk=participant.pk)
    known = RiskEvent.objects.select_for_update(no_key=True).unclosed().filter(participant=participant, rule=rule)
    event = known.first()
    if event:
        event.join(severity, evidence, at)
    else:
        event = RiskEvent(participant=participant, source=source, rule=rule, severity=severity, evidence=evidence)
        event.open(at)
    action = "risk.repeat" if event.repeats else "risk.open"
    audit.record(actor=actor, action=action, subject=event.subject, severity=event.severity, rule=rule)
    transaction.on_commit(_hint_alerts)
    return event


def _hint_alerts() -> None:
    from mhealth.safety import tasks

    hint(tasks.send_alerts)


def open_severe(participant: Participant) -> RiskEvent | None:
    """The gate: while this is an event, a human comes before any automatic offer."""
    return participant.risk_events.unclosed().filter(severity=Severity.SEVERE).order_by("opened_at").first()


def raise_by_clinician(*, user: User, participant_id: object, severity: str, note: str) -> RiskEvent:
    """A clinician says so. Raises NotTheirClinician."""
    participant = Participant.objects.visible_to(user).filter(pk=participant_id).first()
    if participant is None or "clinician" not in roles_of(user):
        raise NotTheirClinician()
    with transaction.atomic():
        event = raise_event(
            participant=participant,
            source="clinician",
            severity=severity,
            rule="clinician",
            evidence={"clinician": str(user.pk)},
            actor=user,
        )
        _write_move(event, user, State.OPEN, note)
    return event


@transaction.atomic
def move(*, event: RiskEvent, to_state: str, user: User, note: str = "") -> RiskEvent:
    """One step of a human towards closed. Raises MoveNotAllowed, also when somebody else was quicker."""
    if to_state not in event.allowed_moves():
        raise MoveNotAllowed()
    changes: dict = {"state": to_state}
    if to_state not in (State.OPEN, State.ACKNOWLEDGED):
        changes["next_alert_at"] = None
    if to_state == State.CLOSED:
        changes["closed_at"] = timezone.now()
    if not RiskEvent.objects.filter(pk=event.pk, state=event.state, severity=event.severity).update(**changes):
        raise MoveNotAllowed()
    _write_move(event, user, to_state, note)
    audit.record(actor=user, action=f"risk.{to_state}", subject=event.subject, was=event.state)
    event.refresh_from_db()
    return event


def _write_move(event: RiskEvent, user: User, to_state: str, note: str) -> None:
    step = RiskMove(event=event, by=user, to_state=to_state)
    step.seal_note(note)
    step.save(force_insert=True)
