"""What trials know of one person: given to them without a masked arm, and erased down to a count."""

from datetime import datetime

from mhealth.people.models import Participant, Scope
from mhealth.trials import services
from mhealth.trials.models import AdverseEvent, Deviation, Enrolment, Screening, UnblindingRequest, Withdrawal

COVERS = (
    "trials.Screening",
    "trials.Enrolment",
    "trials.Slot",
    "trials.Withdrawal",
    "trials.AdverseEvent",
    "trials.Deviation",
    "trials.UnblindingRequest",
)
KEEPS = COVERS  # rows that a flow of participants counts; nothing in them says who


def export_person(participant: Participant) -> dict:
    enrolments = participant.enrolments.select_related("trial").order_by("enrolled_at")
    looks = participant.screenings.select_related("trial").order_by("assessed_at")
    return {
        "trials": [_one_trial(enrolment) for enrolment in enrolments],
        "turned_away": [_one_look(look) for look in looks],
    }


def _one_look(look: Screening) -> dict:
    about = {"reason": look.get_reason_display(), "criteria_not_met": look.unmet}
    return {"trial": look.trial.title, "assessed_at": look.assessed_at.isoformat()} | about


def _one_trial(enrolment: Enrolment) -> dict:
    return {
        "trial": enrolment.trial.title,
        "status": enrolment.status,
        "enrolled_at": enrolment.enrolled_at.isoformat(),
        "allocated_at": enrolment.allocated_at and enrolment.allocated_at.isoformat(),
        "adverse_events": [
            {"happened_at": event.happened_at.isoformat(), "severity": event.severity, "words": event.words}
            for event in enrolment.adverse_events.order_by("happened_at")
        ],
    } | _arm(enrolment)


def _arm(enrolment: Enrolment) -> dict:
    """The same keys for every arm of a masked trial, and before allocation."""
    if enrolment.trial.masked or enrolment.allocated_at is None:
        planned = enrolment.trial.unblinding_planned_on
        return {"group": None, "group_will_be_told_on": planned and planned.isoformat()}
    return {"group": enrolment.read_arm().name, "group_will_be_told_on": None}


def erase_person(participant: Participant) -> None:
    """Leave who was turned away, entered, left and had an event as counts; words, criteria and the baseline go."""
    for enrolment in participant.enrolments.present():
        services.withdraw(enrolment=enrolment, kind=Withdrawal.Kind.ERASE_ALL)
    participant.enrolments.update(baseline=None)
    participant.screenings.update(unmet=[])
    for model in (Withdrawal, AdverseEvent, Deviation):
        model.objects.filter(enrolment__participant=participant).update(sealed_words=None)
    UnblindingRequest.objects.filter(enrolment__participant=participant).update(sealed_reason=None)


def delete_media(participant: Participant) -> None:
    """There is no media here; the withdrawal says that the person asked for more than to stop."""
    for enrolment in participant.enrolments.present():
        services.withdraw(enrolment=enrolment, kind=Withdrawal.Kind.STOP_AND_DELETE_MEDIA)
    stopped = Withdrawal.objects.filter(enrolment__participant=participant, kind=Withdrawal.Kind.STOP)
    stopped.update(kind=Withdrawal.Kind.STOP_AND_DELETE_MEDIA)


def withdraw_consent(participant: Participant, scope: str, said_at: datetime) -> None:
    """Leave the trials entered before the word; who agreed anew since may be in another."""
    if scope != Scope.TRIAL:
        return
    for enrolment in participant.enrolments.present().filter(enrolled_at__lte=said_at):
        services.withdraw(enrolment=enrolment, kind=Withdrawal.Kind.STOP)
