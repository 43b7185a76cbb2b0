"""A few hundred people and what is known of them, each kind of row read at once for all of them."""

import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Prefetch

from interventions.models import Decision, DecisionEvent
from mhealth.checkins.models import CheckIn, PersonalReliability, Purpose
from mhealth.outcomes.models import InstrumentVersion, Occasion, Response, ScaleScore
from mhealth.people.models import Consent, Scope, User
from mhealth.platform.leases import WorkStatus

if TYPE_CHECKING:
    from mhealth.research.cohort import Cohort, Person

OF_PERSON = (
    *("trial_id", "status", "baseline_id", "enrolled_at", "allocated_at"),
    *(f"participant__{name}" for name in ("study_id", "site", "language", "zone", "birth_year", "sex", "data_key")),
    "participant__data_key__wrapped",
    *(f"slot__{name}" for name in ("trial_id", "stratum", "position", "sealed_arm")),
    *("withdrawal__kind", "withdrawal__recorded_at"),
)
FINISHED = (WorkStatus.DONE, WorkStatus.UNUSABLE)


@dataclass(slots=True, frozen=True)
class Planned:
    """An occasion. Rows of these are read by the hundred thousand: no model instances."""

    pk: uuid.UUID
    participant_id: uuid.UUID
    version: InstrumentVersion
    name: str
    opens_at: datetime
    created_at: datetime


class Scored(NamedTuple):
    """A score, with the names of outcomes.ScaleScore."""

    scale: str
    value: float | None
    band: str
    n_missing: int
    prorated: bool


@dataclass(slots=True, frozen=True)
class Answered:
    """Answers that count. scored: by scale, in the order of the instrument."""

    pk: uuid.UUID
    occasion: Planned
    answered_at: datetime
    scored: dict[str, Scored]
    sealed: bytes
    unseal: Callable[[bytes, str], bytes]

    @property
    def answers(self) -> list[int | None]:
        return json.loads(self.unseal(self.sealed, Response.place_of_answers(self.pk)))


class Chunk:
    """Rows by participant id. order: (pseudonym, enrolment id) of each, as they are to come."""

    def __init__(self, cohort: "Cohort", order: list[tuple[str, uuid.UUID]]) -> None:
        self.cohort = cohort
        rows = cohort.enrolments.select_related("participant__data_key", "slot", "withdrawal").only(*OF_PERSON)
        agreed = Prefetch("participant__consents", Consent.objects.filter(scope=Scope.TRIAL, given=True))
        found = rows.prefetch_related(agreed).in_bulk([pk for _, pk in order])
        self.people: list[Person] = [cohort.person(code, found[pk], self) for code, pk in order]
        self._starts = {person.participant.pk: person.enrolment.enrolled_at for person in self.people}
        self.ids = list(self._starts)

    @cached_property
    def occasions(self) -> dict[uuid.UUID, list[Planned]]:
        found = self._grouped(self._planned())
        baselines = dict(self._baselines())
        for person in self.people:
            start, baseline = person.enrolment.enrolled_at, baselines.get(person.enrolment.baseline_id)
            mine = found[person.participant.pk]
            found[person.participant.pk] = [o for o in mine if o.created_at >= start or o.pk == baseline]
        return found

    def _planned(self) -> Iterable[Planned]:
        versions = {version.pk: version for version in self.cohort.versions}
        rows = Occasion.objects.filter(participant__in=self.ids, created_at__lte=self.cohort.until)
        names = ("pk", "participant_id", "version_id", "name", "opens_at", "created_at")
        for pk, person, version, *rest in rows.order_by("opens_at", "number", "id").values_list(*names):
            yield Planned(pk, person, versions[version], *rest)

    def _baselines(self):
        """(response, its occasion) of the answers that were taken as the baseline."""
        taken = [person.enrolment.baseline_id for person in self.people]
        return Response.objects.filter(pk__in=[pk for pk in taken if pk]).values_list("pk", "occasion_id")

    @cached_property
    def responses(self) -> dict[uuid.UUID, list[Answered]]:
        """In the order of their occasions."""
        given = {occasion: rest for occasion, *rest in self._answered()}
        scored = self._scored()
        found: dict[uuid.UUID, list[Answered]] = defaultdict(list)
        for person in self.people:
            mine = self.occasions[person.participant.pk]
            unseal = person.participant.data_key.unsealer()
            for occasion in (o for o in mine if o.pk in given):
                pk, answered_at, sealed = given[occasion.pk]
                answered = Answered(pk, occasion, answered_at, scored[pk], sealed, unseal)
                found[person.participant.pk].append(answered)
        return found

    def _answers(self):
        people, cut_off = self.ids, self.cohort.cut_off
        rows = Response.objects.for_analysis().filter(occasion__participant__in=people, received_at__lte=cut_off)
        return rows.order_by()

    def _answered(self):
        return self._answers().values_list("occasion_id", "pk", "answered_at", "answers_sealed")

    def _scored(self) -> dict[uuid.UUID, dict[str, Scored]]:
        rows = ScaleScore.objects.filter(response__in=self._answers().values("pk")).order_by("id")
        found: dict[uuid.UUID, dict[str, Scored]] = defaultdict(dict)
        for response, *score in rows.values_list("response_id", *Scored._fields):
            found[response][score[0]] = Scored(*score)
        return found

    @cached_property
    def check_ins(self) -> dict[uuid.UUID, list[CheckIn]]:
        until, cut_off = self.cohort.until, self.cohort.cut_off
        daily = CheckIn.objects.filter(purpose=Purpose.DAILY)  # a calibration says nothing of how somebody is
        rows = daily.filter(
            participant__in=self.ids, status__in=FINISHED, finished_at__lte=cut_off, recorded_at__lte=until
        )
        rows = rows.select_related("correction").prefetch_related("estimates").order_by("recorded_at", "id")
        return self._grouped(row for row in rows if row.recorded_at >= self._starts[row.participant_id])

    @cached_property
    def decisions(self) -> dict[uuid.UUID, list[Decision]]:
        people = {person.participant.pk: person.participant for person in self.people}
        heard = Prefetch("events", DecisionEvent.objects.filter(received_at__lte=self.cohort.cut_off))
        rows = Decision.objects.filter(
            participant__in=self.ids, status=WorkStatus.DONE, decided_at__lte=self.cohort.until
        )
        rows = rows.select_related("version__activity").prefetch_related(heard).order_by("decided_at", "id")
        if self.cohort.trial.masked:
            rows = rows.defer("sealed_record")  # a page of 64 kB each, which nobody may read
        found = self._grouped(row for row in rows if row.decided_at >= self._starts[row.participant_id])
        for person_id, decisions in found.items():
            for decision in decisions:
                decision.participant = people[person_id]
        return found

    @cached_property
    def users(self) -> dict[uuid.UUID, User]:
        return {
            user.participant.pk: user
            for user in User.objects.filter(participant__in=self.ids).select_related("participant")
        }

    @cached_property
    def reliability(self) -> dict[uuid.UUID, PersonalReliability]:
        return {row.participant_id: row for row in PersonalReliability.objects.filter(participant__in=self.ids)}

    def _grouped(self, rows: Iterable) -> dict[uuid.UUID, list]:
        found: dict[uuid.UUID, list] = defaultdict(list)
        for row in rows:
            found[row.participant_id].append(row)
        return found
