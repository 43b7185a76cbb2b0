"""One person of an export: what their rows share. Plain rows, for they are read anew for every table."""

import uuid
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from mhealth.research.stored import id_as_stored

if TYPE_CHECKING:
    from mhealth.research.chunk import Chunk


class Enrolled(NamedTuple):
    """With the names of trials.Enrolment. baseline_id: as stored."""

    status: str
    enrolled_at: datetime
    allocated_at: datetime | None
    baseline_id: object


class Participant(NamedTuple):
    """With the names of people.Participant."""

    pk: uuid.UUID
    data_key_id: uuid.UUID
    site: str
    language: str
    zone: str
    birth_year: int | None
    sex: str


class Place(NamedTuple):
    """In the allocation list, with the names of trials.Slot; None for people never randomised."""

    stratum: str | None
    position: int | None
    sealed_arm: bytes | None


class Entry(NamedTuple):
    enrolment: Enrolled
    participant: Participant
    slot: Place
    withdrawn_at: datetime | None


ENROLLED = ("status", "enrolled_at", "allocated_at", id_as_stored("baseline_id"))
PARTICIPANT = ("participant_id", *(f"participant__{name}" for name in Participant._fields[1:]))
PLACE = tuple(f"slot__{name}" for name in Place._fields)


def entries(enrolments: QuerySet) -> dict[uuid.UUID, Entry]:
    """By id of the enrolment."""
    found = {}
    for pk, withdrawn_at, *row in enrolments.values_list(
        "pk", "withdrawal__recorded_at", *ENROLLED, *PARTICIPANT, *PLACE
    ):
        enrolled, participant, slot = row[:4], row[4:11], row[11:]
        found[pk] = Entry(Enrolled(*enrolled), Participant(*participant), Place(*slot), withdrawn_at)
    return found


@dataclass(frozen=True)
class Person:
    code: str
    arm: str
    consented_at: datetime
    entry: Entry = field(repr=False)
    near: "Chunk" = field(repr=False)

    @property
    def enrolment(self) -> Enrolled:
        return self.entry.enrolment

    @property
    def participant(self) -> Participant:
        return self.entry.participant

    @property
    def withdrawn_at(self) -> datetime | None:
        return self.entry.withdrawn_at

    @property
    def stratum(self) -> str:
        """Empty for people never randomised."""
        return self.entry.slot.stratum or ""

    @property
    def randomised(self) -> bool:
        return self.enrolment.allocated_at is not None

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.participant.zone)

    @cached_property
    def day_0(self) -> date:
        """Of allocation; for people never randomised of consent."""
        return (self.enrolment.allocated_at or self.consented_at).astimezone(self.zone).date()

    def day(self, at: datetime) -> int | None:
        """As trials.Enrolment.day; None for people never randomised."""
        return self._days_to(at) if self.randomised else None

    def days(self, at: datetime) -> dict[str, int | None]:
        """`day` for randomised people, `day_from_consent` for the others."""
        day = self._days_to(at)
        return {"day": day, "day_from_consent": None} if self.randomised else {"day": None, "day_from_consent": day}

    def _days_to(self, at: datetime) -> int:
        return (at.astimezone(self.zone).date() - self.day_0).days

    def days_between(self, start: datetime, end: datetime) -> int:
        return (end.astimezone(self.zone).date() - start.astimezone(self.zone).date()).days
