"""A few hundred people and what is known of them, each kind of row read at once for all of them."""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from django.db.models import Prefetch

from interventions.models import Decision, DecisionEvent
from mhealth.checkins.models import CheckIn, PersonalReliability
from mhealth.outcomes.models import Occasion, Response, ScaleScore
from mhealth.platform.leases import WorkStatus

if TYPE_CHECKING:
    from mhealth.research.cohort import Cohort, Person

FINISHED = (WorkStatus.DONE, WorkStatus.UNUSABLE)
OF_RESPONSE = ("id", "occasion_id", "answers_sealed", "answered_at", "in_window", "conflicting")
OF_OCCASION = ("id", "participant_id", "version_id", "number", "name", "opens_at", "created_at")


class Chunk:
    """Rows by participant id. order: (pseudonym, enrolment id) of each, as they are to come."""

    def __init__(self, cohort: "Cohort", order: list[tuple[str, uuid.UUID]]) -> None:
        self.cohort = cohort
        rows = cohort.enrolments.select_related("participant__data_key", "participant__user", "slot", "withdrawal")
        found = rows.prefetch_related("participant__consents").in_bulk([pk for _, pk in order])
        self.people: list[Person] = [cohort.person(code, found[pk], self) for code, pk in order]
        self._starts = {person.participant.pk: person.enrolment.enrolled_at for person in self.people}
        self._ids = list(self._starts)

    @cached_property
    def occasions(self) -> dict[uuid.UUID, list[Occasion]]:
        found = self._grouped(self._planned())
        baselines = dict(self._baselines())
        for person in self.people:
            start, baseline = person.enrolment.enrolled_at, baselines.get(person.enrolment.baseline_id)
            mine = found[person.participant.pk]
            found[person.participant.pk] = [o for o in mine if o.created_at >= start or o.pk == baseline]
        return found

    def _planned(self) -> Iterable[Occasion]:
        versions = {version.pk: version for version in self.cohort.versions}
        until = self.cohort.until
        rows = Occasion.objects.filter(participant__in=self._ids, created_at__lte=until).only(*OF_OCCASION)
        for occasion in rows.order_by("opens_at", "number", "id"):
            occasion.version = versions[occasion.version_id]
            yield occasion

    def _baselines(self):
        """(response, its occasion) of the answers that were taken as the baseline."""
        taken = [person.enrolment.baseline_id for person in self.people]
        return Response.objects.filter(pk__in=[pk for pk in taken if pk]).values_list("pk", "occasion_id")

    @cached_property
    def responses(self) -> dict[uuid.UUID, list[Response]]:
        """In the order of their occasions, each with `scored`: ScaleScore by scale, in the order of the instrument."""
        people = {person.participant.pk: person.participant for person in self.people}
        given = {response.occasion_id: response for response in self._answered()}
        found: dict[uuid.UUID, list[Response]] = defaultdict(list)
        for person_id, occasions in self.occasions.items():
            for occasion in (o for o in occasions if o.pk in given):
                response = given[occasion.pk]
                occasion.participant = people[person_id]  # its key is loaded already
                response.occasion = occasion
                found[person_id].append(response)
        return found

    def _answered(self) -> Iterable[Response]:
        mine = Response.objects.for_analysis().filter(
            occasion__participant__in=self._ids, received_at__lte=self.cohort.cut_off
        )
        scored: dict[uuid.UUID, dict[str, ScaleScore]] = defaultdict(dict)
        for score in ScaleScore.objects.filter(response__in=mine.order_by().values("pk")).order_by("id"):
            scored[score.response_id][score.scale] = score
        for response in mine.only(*OF_RESPONSE):
            response.scored = scored[response.pk]
            yield response

    @cached_property
    def check_ins(self) -> dict[uuid.UUID, list[CheckIn]]:
        until, cut_off = self.cohort.until, self.cohort.cut_off
        rows = CheckIn.objects.filter(
            participant__in=self._ids, status__in=FINISHED, finished_at__lte=cut_off, recorded_at__lte=until
        )
        rows = rows.select_related("correction").prefetch_related("estimates").order_by("recorded_at", "id")
        return self._grouped(row for row in rows if row.recorded_at >= self._starts[row.participant_id])

    @cached_property
    def decisions(self) -> dict[uuid.UUID, list[Decision]]:
        people = {person.participant.pk: person.participant for person in self.people}
        heard = Prefetch("events", DecisionEvent.objects.filter(received_at__lte=self.cohort.cut_off))
        rows = Decision.objects.filter(
            participant__in=self._ids, status=WorkStatus.DONE, decided_at__lte=self.cohort.until
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
    def reliability(self) -> dict[uuid.UUID, PersonalReliability]:
        return {row.participant_id: row for row in PersonalReliability.objects.filter(participant__in=self._ids)}

    def _grouped(self, rows: Iterable) -> dict[uuid.UUID, list]:
        found: dict[uuid.UUID, list] = defaultdict(list)
        for row in rows:
            found[row.participant_id].append(row)
        return found
