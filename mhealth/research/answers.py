"""Answers that count and their scores as plain tuples: turning ids into objects costs more than all the rest."""

import json
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from django.db import connection
from django.db.models import CharField, ExpressionWrapper, F, Q, QuerySet

from mhealth.outcomes.models import Response, ScaleScore
from mhealth.people.models import Participant
from mhealth.research.chunk import Chunk
from mhealth.research.cohort import Cohort, Person
from mhealth.trials.models import Enrolment

Scores = list[tuple]  # scale, value, band, n_missing, prorated; in the order of the instrument


class Given(NamedTuple):
    answered_at: datetime
    occasion: str
    instrument: str
    version: str
    answers: list[int | None]


def answers_of(cohort: Cohort) -> Iterator[tuple[Person, Given, Scores]]:
    """Person after person, each one's in the order of their occasions. The same answers as `Chunk.responses`."""
    for near, people in groupby(cohort.people, lambda person: person.near):
        counted, scores = _counted(near), _scores(near)
        names = {version.pk: (version.instrument.slug, str(version)) for version in cohort.versions}
        for person in people:
            unseal = person.participant.data_key.unsealer()
            for pk, stored, version, occasion, answered_at, sealed in counted[_as_stored(person.participant.pk)]:
                answers = json.loads(unseal(sealed, Response.place_of_answers(pk)))
                yield person, Given(answered_at, occasion, *names[version], answers), scores[stored]


def _counted(near: Chunk) -> dict[object, list[tuple]]:
    """By person: id, id as stored, version, name of the occasion, time, sealed answers."""
    ordered = _of_trial(near).order_by("occasion__opens_at", "occasion__number", "occasion_id")
    about = ("pk", _stored("pk"), "occasion__version_id", "occasion__name", "answered_at", "answers_sealed")
    found = defaultdict(list)
    for person, *row in ordered.values_list(_stored("occasion__participant_id"), *about):
        found[person].append(row)
    return found


def _scores(near: Chunk) -> dict[object, Scores]:
    """By response."""
    rows = ScaleScore.objects.for_analysis().filter(response__occasion__participant__in=near.ids).order_by("id")
    found = defaultdict(list)
    for response, *score in rows.values_list(
        _stored("response_id"), "scale", "value", "band", "n_missing", _stored("prorated")
    ):
        found[response].append(score)
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


def _stored(field: str) -> ExpressionWrapper:
    """A column as the database gives it: good enough to be compared with itself."""
    return ExpressionWrapper(F(field), output_field=CharField())


def _as_stored(pk: uuid.UUID) -> object:
    return Participant._meta.pk.get_db_prep_value(pk, connection)
