"""Phones repeat themselves while the first upload is still running: one row, one event, the same answer."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.db import connection

from mhealth.outcomes import services
from mhealth.outcomes.models import Occasion, Response
from mhealth.safety.models import RiskEvent
from tests import factories
from tests.outcomes.instruments import answers
from tests.outcomes.test_questionnaires_api import plan

pytestmark = pytest.mark.django_db(transaction=True)


def in_threads(tasks) -> list:
    def run(task):
        try:
            return task()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(run, tasks))


@pytest.fixture
def occasions(instruments_folder, shared_database):
    """Twelve open questionnaires of one person, written by a thread of their own: into the shared database."""

    def make() -> list:
        services.load_instruments(instruments_folder)
        person = factories.participant(factories.care_team(factories.study()), "ada")
        return [plan(person, 1, f"week {n}").pk for n in range(12)]

    return in_threads([make])[0]


def send(pk, at: datetime):
    return services.answer(occasion=Occasion.objects.get(pk=pk), answers=answers(q21=3), answered_at=at).pk


def test_the_same_answers_thirty_times_at_once_are_one_row_and_one_event(occasions):
    at = datetime.now(UTC)
    assert len(set(in_threads([lambda: send(occasions[0], at)] * 30))) == 1
    assert in_threads([Response.objects.count, RiskEvent.objects.count]) == [1, 1]


def test_different_questionnaires_at_once_join_one_event(occasions):
    in_threads([lambda pk=pk: send(pk, datetime.now(UTC)) for pk in occasions])
    (events,) = in_threads([lambda: list(RiskEvent.objects.filter(rule="dass21.item_21"))])
    assert [event.repeats for event in events] == [11]
