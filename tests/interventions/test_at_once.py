"""Workers get the same hint twice: one decision all the same."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from interventions import services
from interventions.models import Decision
from mhealth.people.models import Participant
from mhealth.platform.leases import WorkStatus
from tests import factories as people
from tests.interventions import factories

pytestmark = pytest.mark.django_db(transaction=True)


def in_threads(task, times: int) -> None:
    def run(_n: int) -> None:
        try:
            task()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(times)))


def make_ada() -> None:
    study = people.study()
    team = people.care_team(study)
    reviewers = [people.member(name, "reviewer", study) for name in ("eve", "finn")]
    factories.shelf(people.clinician("carol", team), reviewers)
    people.participant(team, "ada")


def test_workers_that_take_the_same_moment_at_once_make_one_decision(shared_database):
    in_threads(make_ada, 1)

    def decide() -> None:
        services.decide(participant=Participant.objects.get(), moment="check_in:1")

    in_threads(decide, 8)
    made = []
    in_threads(lambda: made.extend(Decision.objects.values_list("status", "lease_no")), 1)
    assert made == [(WorkStatus.DONE, 1)]
