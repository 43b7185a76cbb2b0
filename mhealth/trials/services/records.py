"""Adverse events, deviations, and unblinding by two people."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from mhealth.people.models import User
from mhealth.platform import audit, moments
from mhealth.platform.problems import Problem
from mhealth.trials.models import AdverseEvent, Arm, Deviation, Enrolment, Trial, UnblindingRequest
from mhealth.trials.services.setup import WrongState, subject_of


class SamePerson(Problem):
    default_code = "second-person-needed"
    title = "Somebody else must decide"
    default_detail = "A second person must decide on an unblinding request."


class AlreadyDecided(Problem):
    default_code = "already-decided"
    title = "Already decided"
    default_detail = "This request has been decided."


@transaction.atomic
def record_adverse_event(*, enrolment: Enrolment, by: User, words: str, **fields: object) -> AdverseEvent:
    """fields: happened_at, severity, serious, related."""
    return _record(AdverseEvent(enrolment=enrolment, recorded_by=by, **fields), words, "trial.adverse_event")


@transaction.atomic
def record_deviation(
    *, enrolment: Enrolment, by: User, words: str, kind: str, happened_at: datetime, major: bool = False
) -> Deviation:
    deviation = Deviation(enrolment=enrolment, recorded_by=by, kind=kind, happened_at=happened_at, major=major)
    return _record(deviation, words, "trial.deviation")


def _record(note, words: str, action: str):
    note.happened_at, _ = moments.believed(note.happened_at, timezone.now())
    note.words = words
    note.save(force_insert=True)
    audit.record(actor=note.recorded_by, action=action, subject=subject_of(note.enrolment))
    return note


@transaction.atomic
def ask_to_unblind(*, trial: Trial, by: User, reason: str, enrolment: Enrolment | None = None) -> UnblindingRequest:
    """Ask for one person's arm (an emergency), or without an enrolment for the trial's. Raises WrongState."""
    if enrolment is None:
        _check_ready_to_unblind(trial)
    elif enrolment.allocated_at is None:
        raise WrongState("The person has not been allocated: there is no arm to tell.")
    request = UnblindingRequest(trial=trial, enrolment=enrolment, asked_by=by)
    request.reason = reason
    request.save(force_insert=True)
    audit.record(actor=by, action="trial.unblinding_asked", subject=subject_of(enrolment or trial))
    return request


@transaction.atomic
def decide_unblinding(*, request: UnblindingRequest, by: User, approve: bool) -> UnblindingRequest:
    """The second person's word. Raises SamePerson, AlreadyDecided or WrongState."""
    if request.asked_by_id == by.pk:
        raise SamePerson()
    if approve and request.enrolment is None:
        _check_ready_to_unblind(request.trial)
    now = timezone.now()
    Status = UnblindingRequest.Status
    decided = UnblindingRequest.objects.filter(pk=request.pk, status=Status.ASKED).update(
        status=Status.APPROVED if approve else Status.REFUSED, decided_by=by, decided_at=now
    )
    if not decided:
        raise AlreadyDecided()
    if approve and request.enrolment is None:
        Trial.objects.filter(pk=request.trial_id, unblinded_at=None).update(unblinded_at=now)
    audit.record(
        actor=by,
        action="trial.unblinding_approved" if approve else "trial.unblinding_refused",
        subject=subject_of(request.enrolment or request.trial),
    )
    request.refresh_from_db()
    return request


def unblinded_arm(*, request: UnblindingRequest, user: User) -> Arm | None:
    """The arm, for the one who asked, once approved; every reading is recorded."""
    approved = request.status == UnblindingRequest.Status.APPROVED
    if not approved or request.enrolment is None or request.asked_by_id != user.pk:
        return None
    audit.record(actor=user, action="trial.arm_read", subject=subject_of(request.enrolment))
    return request.enrolment.read_arm()


def _check_ready_to_unblind(trial: Trial) -> None:
    trial = Trial.objects.get(pk=trial.pk)
    if trial.status != Trial.Status.CLOSED or trial.plan_locked_at is None:
        raise WrongState("A trial is unblinded after it has been closed and its analysis plan has been locked.")
