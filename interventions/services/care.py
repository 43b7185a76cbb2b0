"""What a clinician sets for one of their people."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from interventions.models import Activity, CareChoice, ContraIndication
from mhealth.people.models import Participant, User
from mhealth.platform import audit
from mhealth.platform.access import roles_of
from mhealth.platform.problems import Problem
from mhealth.trials.models import Enrolment
from mhealth.trials.services import record_deviation


class NotTheirClinician(Problem):
    status_code = 404
    default_code = "not-found"
    title = "Not found"
    default_detail = "There is no such person among your people."


@transaction.atomic
def choose_for(
    *,
    participant: Participant,
    by: User,
    kind: str,
    activity: Activity | None = None,
    contra_indication: ContraIndication | None = None,
    until: datetime | None = None,
) -> CareChoice:
    """Pin, exclude, pause or name a contra-indication; in a running trial this is a recorded deviation.

    Raises NotTheirClinician.
    """
    mine = "clinician" in roles_of(by) and Participant.objects.visible_to(by).filter(pk=participant.pk).exists()
    if not mine or participant.user_id == by.pk:
        raise NotTheirClinician()
    choice = CareChoice(
        participant=participant,
        kind=kind,
        activity=activity,
        contra_indication=contra_indication,
        made_by=by,
        ended_at=until,
    )
    choice.full_clean()
    choice.save()
    audit.record(actor=by, action=f"care.{kind}", subject=f"people.Participant/{participant.pk}", choice=str(choice.pk))
    if kind != CareChoice.Kind.CONTRA_INDICATION:
        _record_deviation(choice, by)
    return choice


def _record_deviation(choice: CareChoice, by: User) -> None:
    """A contra-indication is what the protocol itself asks to be respected; the other choices leave it."""
    for enrolment in Enrolment.objects.in_effect().filter(participant=choice.participant):
        record_deviation(
            enrolment=enrolment, by=by, words=str(choice), kind=f"clinician_{choice.kind}", happened_at=choice.made_at
        )


@transaction.atomic
def end_choice(*, choice: CareChoice, by: User) -> CareChoice:
    """End it now; ending it twice changes nothing."""
    now = timezone.now()
    if CareChoice.objects.in_force(now).filter(pk=choice.pk).update(ended_at=now):
        subject = f"people.Participant/{choice.participant_id}"
        audit.record(actor=by, action=f"care.end_{choice.kind}", subject=subject, choice=str(choice.pk))
    choice.refresh_from_db()
    return choice
