"""Answers that count and their scores as plain tuples, for the table that holds all of them."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from django.db.models import F, Q, QuerySet

from mhealth.outcomes.models import Response, ScaleScore
from mhealth.research.chunk import Chunk
from mhealth.research.cohort import Cohort, Person
from mhealth.research.stored import as_stored, id_as_stored, moment, stored_id, text_of_id
from mhealth.trials.models import Enrolment


class Given(NamedTuple):
    answered_at: datetime
    occasion: str
    instrument: str
    version: str
    answers: list[int | None]


class Score(NamedTuple):
    """response, prorated: as the database gives them."""

    response: object
    scale: str
    value: float | None
    band: str
    n_missing: int
    prorated: bool | int


def answers_of(cohort: Cohort) -> Iterator[tuple[Person, Given, list[tuple]]]:
    """Person after person, each one's in the order of their occasions, with scores in the order of `Score`.

    The same answers as `Chunk.responses`.
    """
    names = {version.pk: (version.instrument.slug, str(version)) for version in cohort.versions}
    for near, people in groupby(cohort.people, lambda person: person.near):
        counted, scores = _counted(near), _scores(near)
        for person in people:
            rows = counted[stored_id(person.participant.pk)]
            for (response, version, occasion, at, _), answers in zip(rows, _opened(person, rows), strict=True):
                yield person, Given(moment(at), occasion, *names[version], answers), scores[response]


def _opened(person: Person, rows: list[tuple]) -> list[list[int | None]]:
    """The answers of each row, parsed in one go."""
    unseal = person.near.unsealer(person.participant.pk)
    plain = [unseal(sealed, Response.place_of_answers(text_of_id(response))) for response, *_, sealed in rows]
    return json.loads(b"[" + b",".join(plain) + b"]")


def _counted(near: Chunk) -> dict[object, list[tuple]]:
    """By person: response, version, name of the occasion, time, sealed answers."""
    ordered = _of_trial(near).order_by("occasion__opens_at", "occasion__number", "occasion_id")
    about = (id_as_stored("pk"), "occasion__version_id", "occasion__name", as_stored("answered_at"), "answers_sealed")
    found = defaultdict(list)
    for person, *row in ordered.values_list(id_as_stored("occasion__participant_id"), *about):
        found[person].append(row)
    return found


def _scores(near: Chunk) -> dict[object, list[tuple]]:
    """By response."""
    rows = ScaleScore.objects.for_analysis().filter(response__occasion__participant__in=near.ids).order_by("id")
    found = defaultdict(list)
    about = (id_as_stored("response_id"), "scale", "value", "band", "n_missing", as_stored("prorated"))
    for score in rows.values_list(*about):
        found[score[0]].append(score)
    return found


def _of_trial(near: Chunk) -> QuerySet:
    """Received before the cut-off; planned since the person entered the trial, or taken as the baseline."""
    cohort = near.cohort
    until = {"received_at__lte": cohort.cut_off, "occasion__created_at__lte": cohort.until}
    mine = Enrolment.objects.filter(trial=cohort.trial, participant__in=near.ids)
    baselines = Response.objects.filter(pk__in=mine.values("baseline")).values("occasion")
    entered = {f"{PATH}__trial": cohort.trial, f"{PATH}__participant__in": near.ids}
    planned = Q(occasion__created_at__gte=F(f"{PATH}__enrolled_at"))
    return Response.objects.for_analysis().filter(planned | Q(occasion__in=baselines), **entered, **until)


PATH = "occasion__participant__enrolments"
