"""Who was assessed for a trial and did not get into it: the top of a CONSORT flow (Schulz et al., BMJ 340:c332)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from mhealth.people.models import Participant
from mhealth.platform import audit
from mhealth.platform.problems import Problem
from mhealth.trials.models import Enrolment, Screening, Trial
from mhealth.trials.services.setup import WrongState, subject_of

Reason = Screening.Reason
MOST_PEOPLE = 10_000  # in one entry


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


class NotToBeCounted(Problem):
    default_code = "not-to-be-counted"
    title = "Not to be counted here"
    default_detail = "The person is not in the study of this trial, or has entered the trial already."


def record_screening(*, trial: Trial, by: object, participant: Participant | None = None, **about: object) -> Screening:
    """By hand: somebody declined, or could not take part.   about: reason, people, assessed_at.

    Raises NotToBeCounted, and WrongState for a trial that does not take people yet, or no longer.
    """
    if participant and not _may_be_turned_away(participant, trial):
        raise NotToBeCounted()
    return _store(trial=trial, by=by, participant=participant, **about)


def count_refusal(refused: TurnedAway, *, participant: Participant, trial: Trial, by: object) -> Screening:
    """What an enrolment or an allocation said to a person."""
    return _store(trial=trial, by=by, participant=participant, reason=refused.reason, unmet=refused.unmet)


def _may_be_turned_away(participant: Participant, trial: Trial) -> bool:
    here = participant.study_id == trial.study_id and participant.status != Participant.Status.ERASED
    return here and not trial.enrolments.filter(participant=participant).exists()


@transaction.atomic
def _store(
    *,
    trial: Trial,
    reason: str,
    by: object,
    participant: Participant | None,
    people: int = 1,
    unmet: Iterable[str] = (),
    assessed_at: datetime | None = None,
) -> Screening:
    if trial.status not in (Trial.Status.READY, Trial.Status.RUNNING):
        raise WrongState(f"The trial is {trial.get_status_display()}: nobody is assessed for it.")
    now = timezone.now()
    screening = Screening.objects.create(
        trial=trial,
        participant=participant,
        reason=reason,
        people=people,
        unmet=sorted(set(unmet)),
        assessed_at=min(assessed_at or now, now),
        recorded_by=by if by != "system" else None,
    )
    about = {"reason": reason} | ({} if participant else {"people": people})
    audit.record(actor=by, action="trial.screened", subject=subject_of(screening), trial=trial.slug, **about)
    return screening


@transaction.atomic
def strike_screening(*, screening: Screening, by: object) -> Screening:
    """A slip: the entry stays, with a line through it, and counts no longer. A second time changes nothing."""
    if Screening.objects.filter(pk=screening.pk, struck_at=None).update(struck_at=timezone.now()):
        audit.record(actor=by, action="trial.screening_struck", subject=subject_of(screening))
    screening.refresh_from_db()
    return screening


def assessment(trial: Trial, *, until: datetime | None = None, sites: tuple[str, ...] = ()) -> Assessment:
    """Everybody who was assessed up to a moment, as they are now.

    With sites, only the people of these, without the erased and those whom the service does not know.
    """
    there = {"participant__site__in": sites} if sites else {}
    entered = trial.enrolments.filter(**there, **({"enrolled_at__lte": until} if until else {}))
    looks = trial.screenings.filter(struck_at=None, **there, **({"assessed_at__lte": until} if until else {}))
    columns = ("participant_id", "status", "enrolled_at", "allocated_at")
    states = {pk: _Entered(*about) for pk, *about in entered.values_list(*columns)}
    refused = [look for look in looks.newest_of_each() if _is_out(look, states.get(look.participant_id))]
    turned_away, unmet = Counter(), Counter()
    for look in refused:
        turned_away[look.reason] += look.people
        unmet.update(dict.fromkeys(look.unmet, look.people))
    out = {look.participant_id for look in refused}
    others = Counter(state.place for pk, state in states.items() if pk not in out)
    return Assessment(
        turned_away={reason.value: turned_away[reason.value] for reason in Reason},
        waiting=others["waiting"],
        left=others["left"],
        randomised=others["randomised"],
        unmet=dict(sorted(unmet.items())),
    )


@dataclass(frozen=True)
class _Entered:
    status: str
    enrolled_at: datetime
    allocated_at: datetime | None

    @property
    def place(self) -> str:
        if self.allocated_at:
            return "randomised"
        return "waiting" if self.status == Enrolment.Status.CANDIDATE else "left"


def _is_out(look: Screening, entered: _Entered | None) -> bool:
    """Never entered; or entered, was turned away at the baseline and never randomised, whatever came then: leaving, the
    end of the trial, an erasure. Who was turned away before they entered is in."""
    return entered is None or (entered.allocated_at is None and look.assessed_at >= entered.enrolled_at)
