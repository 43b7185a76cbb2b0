"""A hundred people and what is known of them, each kind of row read at once for all of them.

Rows that are read by the thousand point at no row that points back at them, as rows with `select_related` of a
one-to-one or with prefetched rows do: they are gone with their chunk, and need not wait for the garbage collector.
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Min, Prefetch

from interventions.models import Decision, DecisionEvent
from mhealth.checkins.models import CheckIn, Correction, Estimate, PersonalReliability, Purpose
from mhealth.outcomes.models import InstrumentVersion, Occasion, Response, ScaleScore
from mhealth.people.models import Consent, Participant, Scope, User
from mhealth.platform.leases import WorkStatus
from mhealth.platform.models import DataKey
from mhealth.research.person import Entry, entries
from mhealth.research.stored import as_stored, id_as_stored, moment, stored_id, text_of_id

if TYPE_CHECKING:
    from mhealth.research.cohort import Cohort

FINISHED = (WorkStatus.DONE, WorkStatus.UNUSABLE)


@dataclass(slots=True, frozen=True)
class Planned:
    """An occasion. pk: as stored."""

    pk: object
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
    """Answers that count. pk: as stored; scored: by scale, in the order of the instrument."""

    pk: object
    occasion: Planned
    answered_at: datetime
    language: str
    scored: dict[str, Scored]
    sealed: bytes
    unseal: Callable[[bytes, str], bytes]

    @property
    def answers(self) -> list[int | None]:
        return json.loads(self.unseal(self.sealed, Response.place_of_answers(text_of_id(self.pk))))


class Chunk:
    """Rows by participant id. order: (pseudonym, enrolment id) of each, as they are to come."""

    def __init__(self, cohort: "Cohort", order: list[tuple[str, uuid.UUID]]) -> None:
        self.cohort = cohort
        found = entries(cohort.enrolments.filter(pk__in=[pk for _, pk in order]))
        self.entries: list[tuple[str, Entry]] = [(code, found[pk]) for code, pk in order]
        self.entered = {entry.participant.pk: entry.enrolment for entry in found.values()}
        self.ids = list(self.entered)
        self._id_of = {stored_id(pk): pk for pk in self.ids}

    @cached_property
    def consented_at(self) -> dict[uuid.UUID, datetime]:
        """The first consent to the trial."""
        given = Consent.objects.filter(participant__in=self.ids, scope=Scope.TRIAL, given=True)
        return dict(given.order_by().values_list("participant_id").annotate(Min("given_at")))

    @cached_property
    def _keys(self) -> dict[uuid.UUID, DataKey]:
        keys = DataKey.objects.in_bulk([entry.participant.data_key_id for _, entry in self.entries])
        return {entry.participant.pk: keys[entry.participant.data_key_id] for _, entry in self.entries}

    def unsealer(self, person: uuid.UUID) -> Callable[[bytes, str], bytes]:
        return self._keys[person].unsealer()

    @cached_property
    def occasions(self) -> dict[uuid.UUID, list[Planned]]:
        """Planned since the person entered the trial, and the one whose answers were taken as the baseline."""
        found: dict[uuid.UUID, list[Planned]] = defaultdict(list)
        baselines = self._baselines()
        for person, planned in self._planned():
            entry = self.entered[person]
            if planned.created_at >= entry.enrolled_at or planned.pk == baselines.get(entry.baseline_id):
                found[person].append(planned)
        return found

    def _planned(self) -> Iterator[tuple[uuid.UUID, Planned]]:
        versions = {version.pk: version for version in self.cohort.versions}
        rows = Occasion.objects.filter(participant__in=self.ids, created_at__lte=self.cohort.until)
        times = (as_stored("opens_at"), as_stored("created_at"))
        columns = (id_as_stored("participant_id"), id_as_stored("pk"), "version_id", "name", *times)
        for person, pk, version, name, opens_at, created_at in rows.values_list(*columns).order_by(
            "opens_at", "number", "id"
        ):
            yield self._id_of[person], Planned(pk, versions[version], name, moment(opens_at), moment(created_at))

    def _baselines(self) -> dict[object, object]:
        """By response its occasion, of the answers that were taken as the baseline."""
        mine = self.cohort.enrolments.filter(participant__in=self.ids)
        taken = Response.objects.filter(pk__in=mine.values("baseline")).order_by()
        return dict(taken.values_list(id_as_stored("pk"), id_as_stored("occasion_id")))

    @cached_property
    def responses(self) -> dict[uuid.UUID, list[Answered]]:
        """In the order of their occasions."""
        given = {occasion: rest for occasion, *rest in self._answered()}
        scored = self._scored()
        found: dict[uuid.UUID, list[Answered]] = defaultdict(list)
        for person in self.ids:
            unseal = self.unsealer(person)
            for occasion in (o for o in self.occasions[person] if o.pk in given):
                pk, at, language, sealed = given[occasion.pk]
                found[person].append(Answered(pk, occasion, moment(at), language, scored[pk], sealed, unseal))
        return found

    def _answers(self):
        people, cut_off = self.ids, self.cohort.cut_off
        rows = Response.objects.for_analysis().filter(occasion__participant__in=people, received_at__lte=cut_off)
        return rows.order_by()

    def _answered(self):
        columns = (
            id_as_stored("occasion_id"),
            id_as_stored("pk"),
            as_stored("answered_at"),
            "language",
            "answers_sealed",
        )
        return self._answers().values_list(*columns)

    def _scored(self) -> dict[object, dict[str, Scored]]:
        rows = ScaleScore.objects.filter(response__in=self._answers().values("pk")).order_by("id")
        found: dict[object, dict[str, Scored]] = defaultdict(dict)
        for response, *score in rows.values_list(id_as_stored("response_id"), *Scored._fields):
            found[response][score[0]] = Scored(*score)
        return found

    @cached_property
    def check_ins(self) -> dict[uuid.UUID, list[CheckIn]]:
        until, cut_off = self.cohort.until, self.cohort.cut_off
        daily = CheckIn.objects.filter(purpose=Purpose.DAILY)  # a calibration says nothing of how somebody is
        rows = daily.filter(
            participant__in=self.ids, status__in=FINISHED, finished_at__lte=cut_off, recorded_at__lte=until
        )
        rows = rows.order_by("recorded_at", "id")
        return self._grouped(row for row in rows if row.recorded_at >= self.entered[row.participant_id].enrolled_at)

    @cached_property
    def estimates(self) -> dict[uuid.UUID, list[Estimate]]:
        """By check-in, in the order of their modality."""
        found: dict[uuid.UUID, list[Estimate]] = defaultdict(list)
        for row in Estimate.objects.filter(check_in__participant__in=self.ids).order_by("modality"):
            found[row.check_in_id].append(row)
        return found

    @cached_property
    def corrected_to(self) -> dict[uuid.UUID, list[str]]:
        """By check-in: the person's own words."""
        return dict(Correction.objects.filter(check_in__participant__in=self.ids).values_list("check_in_id", "labels"))

    @cached_property
    def decisions(self) -> dict[uuid.UUID, list[Decision]]:
        heard = Prefetch("events", DecisionEvent.objects.filter(received_at__lte=self.cohort.cut_off))
        rows = Decision.objects.filter(
            participant__in=self.ids, status=WorkStatus.DONE, decided_at__lte=self.cohort.until
        )
        rows = rows.select_related("version__activity").prefetch_related(heard).order_by("decided_at", "id")
        masked = self.cohort.trial.masked
        if masked:
            rows = rows.defer("sealed_record")  # a page of 64 kB each, which nobody may read
        found = self._grouped(row for row in rows if row.decided_at >= self.entered[row.participant_id].enrolled_at)
        people = {} if masked else Participant.objects.select_related("data_key").in_bulk(self.ids)
        for person, participant in people.items():
            for decision in found[person]:
                decision.participant = participant  # whose key opens its record
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
