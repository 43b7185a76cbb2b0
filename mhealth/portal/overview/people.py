"""Who is where in a trial, and the questionnaires planned for them: three queries, however many people there are."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef

from mhealth.outcomes.models import Occasion, Response, ScaleScore
from mhealth.people.models import Participant
from mhealth.trials import schedule
from mhealth.trials.models import Enrolment, Slot, Trial
from mhealth.trials.services.setup import subject_of


@dataclass(frozen=True)
class Person:
    """arm: of an allocated person where it may be known, else ""."""

    pk: uuid.UUID
    site: str
    status: str
    enrolled_at: datetime
    allocated_at: datetime | None
    erased: bool
    arm: str = ""

    @property
    def left(self) -> bool:
        return self.status == Enrolment.Status.WITHDRAWN


@dataclass(frozen=True)
class Planned:
    """One questionnaire of one person. answered: inside its window; scored: with at least one scale."""

    person: uuid.UUID
    instrument: str
    name: str
    opens_at: datetime
    closes_at: datetime
    answered: bool
    scored: bool


class Picture:
    """A trial at one moment.

    by_arm: whether the arms are told apart; while the report of the trial would be a dry run they are not.
    """

    def __init__(self, trial: Trial, now: datetime, *, by_arm: bool) -> None:
        self.trial, self.now, self.by_arm = trial, now, by_arm
        self.people = list(_people(trial, _arms(trial) if by_arm else {}))
        self.planned = list(_planned(trial))
        follow_ups = schedule.lines_from(trial.schedule, schedule.ALLOCATION).get(trial.baseline_instrument, [])
        self.follow_ups = [line["name"] for line in sorted(follow_ups, key=lambda line: line["day"])]

    @property
    def endpoint(self) -> str:
        """The last questionnaire planned after allocation, at which the outcome is judged."""
        return self.follow_ups[-1] if self.follow_ups else ""

    def of(self, instrument: str, names: Iterable[str]) -> list[Planned]:
        return [each for each in self.planned if each.instrument == instrument and each.name in names]


def _people(trial: Trial, arms: dict[uuid.UUID, str]):
    names = ("pk", "participant_id", "participant__site", "status", "enrolled_at", "allocated_at")
    rows = trial.enrolments.order_by("enrolled_at", "pk").values_list(*names, "participant__status")
    for pk, person, *about, state in rows:
        yield Person(person, *about, state == Participant.Status.ERASED, arms.get(pk, ""))


def _arms(trial: Trial) -> dict[uuid.UUID, str]:
    """Enrolment -> name of the arm."""
    ordered, unseal = trial.ordered_arms(), trial.key.unsealer()
    taken = Slot.objects.filter(trial=trial, taken_by__isnull=False)
    return {slot.taken_by_id: ordered[unseal(slot.sealed_arm, slot.context)[0]].name for slot in taken}


def occasions_of(trial: Trial):
    """The questionnaires that this trial planned."""
    return Occasion.objects.filter(plan=subject_of(trial), participant__enrolments__trial=trial)


def _planned(trial: Trial):
    counted = Response.objects.for_analysis().filter(occasion=OuterRef("pk"))
    scored = ScaleScore.objects.for_analysis().filter(response__occasion=OuterRef("pk"), value__isnull=False)
    rows = occasions_of(trial).order_by("opens_at", "number")
    names = ("participant_id", "version__instrument__slug", "name", "opens_at", "closes_at")
    for row in rows.values_list(*names, Exists(counted), Exists(scored)):
        yield Planned(*row)
