"""Who was assessed for a trial and did not get into it: the top of a CONSORT flow (Schulz et al., BMJ 340:c332)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from mhealth.people.models import Participant
from mhealth.platform import audit, moments
from mhealth.trials.models import Enrolment, Screening, Trial
from mhealth.trials.services.setup import WrongState, subject_of

Reason = Screening.Reason
MOST_PEOPLE = 10_000  # in one entry: a typing error must not become a flow


class TurnedAway(Exception):
    """Mixed into the refusals that say something of a person's assessment; the row outlives the refusal."""

    reason: Reason
    unmet: tuple[str, ...] = ()


@dataclass(frozen=True)
class Assessment:
    """Where everybody who was assessed is; nobody is counted twice.

    turned_away: reason -> people, at the door or at the baseline; waiting: may still be randomised;
    left: withdrew before randomisation; unmet: criterion -> people, some of whom failed several.
    """

    turned_away: dict[str, int]
    waiting: int
    left: int
    randomised: int
    unmet: dict[str, int]

    @property
    def not_randomised(self) -> dict[str, int]:
        """Why -> people, in the order of a flow."""
        waiting = {"waiting for allocation": self.waiting, "left before allocation": self.left}
        return {Reason(reason).label: people for reason, people in self.turned_away.items()} | waiting

    @property
    def assessed(self) -> int:
        return self.randomised + sum(self.not_randomised.values())


@transaction.atomic
def record_screening(
    *,
    trial: Trial,
    reason: str,
    by: object = "system",
    participant: Participant | None = None,
    people: int = 1,
    unmet: Iterable[str] = (),
    assessed_at: datetime | None = None,
) -> Screening:
    """Raises WrongState for a trial that does not take people yet, or no longer."""
    if trial.status not in (Trial.Status.READY, Trial.Status.RUNNING):
        raise WrongState(f"The trial is {trial.get_status_display()}: nobody is assessed for it.")
    now = timezone.now()
    screening = Screening.objects.create(
        trial=trial,
        participant=participant,
        reason=reason,
        people=people,
        unmet=sorted(set(unmet)),
        assessed_at=moments.believed(assessed_at or now, now)[0],
        recorded_by=by if by != "system" else None,
    )
    about = {"reason": reason} | ({} if participant else {"people": people})
    audit.record(actor=by, action="trial.screened", subject=subject_of(screening), trial=trial.slug, **about)
    return screening


def assessment(trial: Trial, *, until: datetime | None = None, sites: tuple[str, ...] = ()) -> Assessment:
    """Everybody up to a moment; with sites, only the people of these, and nobody whom the service does not know."""
    there = {"participant__site__in": sites} if sites else {}
    entered = trial.enrolments.filter(**there, **({"enrolled_at__lte": until} if until else {}))
    looks = trial.screenings.filter(**there, **({"assessed_at__lte": until} if until else {}))
    states = {pk: about for pk, *about in entered.values_list("participant_id", "status", "enrolled_at")}
    refused = [look for look in looks.newest_of_each() if _still_out(look, *states.get(look.participant_id, ()))]
    turned_away, unmet = Counter(), Counter()
    for look in refused:
        turned_away[look.reason] += look.people
        unmet.update(dict.fromkeys(look.unmet, look.people))
    for look in refused:
        states.pop(look.participant_id, None)
    in_state = Counter(status for status, _ in states.values())
    randomised = entered.exclude(allocated_at=None).count()
    waiting = in_state.pop(Enrolment.Status.CANDIDATE, 0)
    return Assessment(
        turned_away={reason.value: turned_away[reason.value] for reason in Reason},
        waiting=waiting,
        left=in_state.total() - randomised,
        randomised=randomised,
        unmet=dict(sorted(unmet.items())),
    )


def _still_out(look: Screening, status: str = "", enrolled_at: datetime | None = None) -> bool:
    """Never entered, or entered and was turned away at the baseline; who was turned away and came again is in."""
    return not status or (status == Enrolment.Status.CANDIDATE and look.assessed_at >= enrolled_at)
