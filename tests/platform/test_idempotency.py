"""A POST repeated with its Idempotency-Key is done once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from mhealth.people.models import Consent
from mhealth.platform.models import IdempotencyRecord
from tests import factories
from tests.factories import phone as sign_in_as

pytestmark = pytest.mark.django_db
CONSENTS = "/api/v1/me/consents/"
WITHDRAW = {"scope": "voice", "given": False}
KEY = {"Idempotency-Key": "2f6c-1"}


def kind(response) -> str:
    return response.json()["type"].removeprefix("urn:mhealth:problem:")


def test_a_repeated_post_is_done_once_and_answered_to_the_byte(ada):
    client, before = sign_in_as(ada), Consent.objects.count()
    first, second = client.post(CONSENTS, WITHDRAW, headers=KEY), client.post(CONSENTS, WITHDRAW, headers=KEY)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert first["Content-Type"] == second["Content-Type"]
    assert second["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first
    assert Consent.objects.count() == before + 1


def test_without_a_key_the_same_post_is_done_twice(ada):
    client, before = sign_in_as(ada), Consent.objects.count()
    client.post(CONSENTS, WITHDRAW), client.post(CONSENTS, WITHDRAW)
    assert Consent.objects.count() == before + 2


def test_another_body_under_the_same_key_is_refused(ada):
    client = sign_in_as(ada)
    client.post(CONSENTS, WITHDRAW, headers=KEY)
    other = client.post(CONSENTS, WITHDRAW | {"scope": "face"}, headers=KEY)
    assert (other.status_code, kind(other)) == (422, "idempotency-key-reused")
    assert ada.consents_to("face")


def test_a_refusal_is_repeated_too(ada):
    client = sign_in_as(ada)
    refused = [client.post(CONSENTS, {"scope": "moon"}, headers=KEY) for _ in range(2)]
    assert [r.status_code for r in refused] == [422, 422]
    assert refused[0].content == refused[1].content
    assert refused[1]["Content-Type"] == "application/problem+json"


def test_the_key_of_another_person_is_another_key(ada, ben):
    sign_in_as(ada).post(CONSENTS, WITHDRAW, headers=KEY)
    bens = sign_in_as(ben).post(CONSENTS, WITHDRAW, headers=KEY)
    assert "Idempotency-Replayed" not in bens
    assert not ben.consents_to("voice")


def test_a_twin_in_flight_is_told_to_wait_and_a_crashed_one_is_taken_over(ada):
    client = sign_in_as(ada)
    client.post(CONSENTS, WITHDRAW, headers=KEY)
    IdempotencyRecord.objects.update(status=None, body=None)
    waiting = client.post(CONSENTS, WITHDRAW, headers=KEY)
    assert (waiting.status_code, kind(waiting), waiting["Retry-After"]) == (409, "twin-in-flight", "1")
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(minutes=3))
    assert client.post(CONSENTS, WITHDRAW, headers=KEY).status_code == 201


def test_after_a_day_a_key_is_fresh_again(ada):
    client = sign_in_as(ada)
    client.post(CONSENTS, WITHDRAW, headers=KEY)
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert "Idempotency-Replayed" not in client.post(CONSENTS, WITHDRAW, headers=KEY)


def test_stored_answers_are_sealed(ada):
    sign_in_as(ada).post(CONSENTS, WITHDRAW, headers=KEY)
    record = IdempotencyRecord.objects.get()
    assert b"voice" not in bytes(record.body)


def test_sessions_and_passwords_are_never_stored(ada, phone):
    account = {"email": "ada@example.org", "password": "correct horse battery"}
    answers = [sign_in_as(ada).post("/api/v1/session/", account, headers=KEY) for _ in range(2)]
    assert [a.status_code for a in answers] == [201, 201]
    assert answers[0].json()["token"] != answers[1].json()["token"]
    phone().post("/api/v1/session/password-reset/", {"email": "ada@example.org"}, headers=KEY)
    assert not IdempotencyRecord.objects.exists()


def test_an_ended_session_replays_nothing(ada):
    client = sign_in_as(ada)
    client.post(CONSENTS, WITHDRAW, headers=KEY)
    client.delete("/api/v1/session/")
    assert client.post(CONSENTS, WITHDRAW, headers=KEY).status_code == 401


@pytest.mark.parametrize("key", ["", "k" * 129, "with space", "ümlaut"])
def test_a_malformed_key_is_refused(ada, key):
    refused = sign_in_as(ada).post(CONSENTS, WITHDRAW, headers={"Idempotency-Key": key})
    assert (refused.status_code, kind(refused)) == (422, "idempotency-key-malformed")
    assert ada.consents_to("voice")


@pytest.mark.django_db(transaction=True)
def test_twins_at_the_same_moment_are_done_once(shared_database):
    def then_close(function, *given):
        try:
            return function(*given)
        finally:
            connection.close()  # each thread has its own

    def set_up():
        ada = factories.participant(factories.care_team(factories.study()), "ada")
        return [sign_in_as(ada) for _ in range(8)], Consent.objects.count()

    def post(client):
        return client.post(CONSENTS, WITHDRAW, headers=KEY)

    with ThreadPoolExecutor(8) as pool:
        clients, before = pool.submit(then_close, set_up).result()
        answers = list(pool.map(partial(then_close, post), clients))
        assert pool.submit(then_close, Consent.objects.count).result() == before + 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1


class VanishingTwin:
    """A twin whose record is gone whenever we look for it, and there whenever we write: so many times, then no more."""

    def __init__(self, monkeypatch, times: int) -> None:
        self.left, self.create = times, IdempotencyRecord.objects.create
        monkeypatch.setattr(IdempotencyRecord.objects, "create", self)

    def __call__(self, **fields):
        if self.left:
            self.left -= 1
            raise IntegrityError("one_answer_per_key")
        return self.create(**fields)


def test_a_twin_that_fails_and_takes_its_record_away_leaves_the_work_to_us(ada, monkeypatch):
    VanishingTwin(monkeypatch, times=1)
    assert sign_in_as(ada).post(CONSENTS, WITHDRAW, headers=KEY).status_code == 201
    assert IdempotencyRecord.objects.get().status == 201


def test_twins_that_fail_one_after_the_other_are_said_to_be_in_flight(ada, monkeypatch):
    before = Consent.objects.count()
    VanishingTwin(monkeypatch, times=2)
    refused = sign_in_as(ada).post(CONSENTS, WITHDRAW, headers=KEY)
    assert (refused.status_code, kind(refused), refused["Retry-After"]) == (409, "twin-in-flight", "1")
    assert Consent.objects.count() == before
    assert sign_in_as(ada).post(CONSENTS, WITHDRAW, headers=KEY).status_code == 201
