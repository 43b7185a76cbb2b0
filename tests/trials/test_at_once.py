import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from mhealth.trials import services
from mhealth.trials.models import Enrolment, Slot, Trial
from tests import factories as people
from tests.trials import factories

pytestmark = pytest.mark.django_db(transaction=True)
N_PEOPLE, N_THREADS = 200, 8


def in_a_thread(function):
    """Run and close the thread's own connection, so that nothing waits for it."""

    def run():
        try:
            return function()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def set_up() -> list:
    factories.load_dass21()
    study = people.study()
    team = people.care_team(study)
    trial = factories.running(study, stratify_by=["site", "sex"], slots_per_stratum=120)
    places = [("north", "female"), ("north", "male"), ("south", "female"), ("south", "male")]
    candidates = []
    for n in range(N_PEOPLE):
        site, sex = places[n % 2 or n % 4]  # strata of unequal size
        person = people.participant(team, f"p{n}", consents=("trial",), site=site, sex=sex)
        candidates.append(factories.candidate(person, trial).pk)
    return candidates


def allocate_all_at_once(candidates: list) -> list[str]:
    """Every candidate twice, through threads that start together; returns what went wrong."""
    start, wrong = threading.Barrier(N_THREADS), []

    def allocate(mine: list) -> None:
        try:
            start.wait()
            for pk in mine:
                services.allocate(enrolment=Enrolment.objects.get(pk=pk))
        except Exception as fault:
            wrong.append(repr(fault))
        finally:
            connection.close()

    work = [candidates[n :: N_THREADS // 2] for n in range(N_THREADS // 2)] * 2
    threads = [threading.Thread(target=allocate, args=(mine,)) for mine in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def look_back() -> dict:
    taken = list(Slot.objects.exclude(taken_by=None).order_by("stratum", "position"))
    verification = services.verify_list(trial=Trial.objects.get())
    arms = {}
    for slot in taken:
        arms.setdefault(slot.stratum, Counter())[slot.arm_index()] += 1
    return {
        "allocated": Enrolment.objects.filter(status="allocated").count(),
        "people_with_a_slot": len({slot.taken_by_id for slot in taken}),
        "slots": len(taken),
        "verified": verification.holds,
        "imbalance": max(abs(count[0] - count[1]) for count in arms.values()),
    }


def test_two_hundred_allocations_at_once_share_no_slot_and_keep_the_blocks(shared_database):
    candidates = in_a_thread(set_up)
    assert allocate_all_at_once(candidates) == []
    seen = in_a_thread(look_back)
    assert seen.pop("imbalance") <= 3  # half of the largest block
    assert seen == {"allocated": N_PEOPLE, "people_with_a_slot": N_PEOPLE, "slots": N_PEOPLE, "verified": True}
