"""Limits per person and per address; without the cache nobody is kept out."""

import pytest
from django.core.cache import cache

from mhealth.platform import cache as our_cache
from mhealth.platform import throttles
from tests.factories import phone as sign_in_as

pytestmark = pytest.mark.django_db
ME, SESSION = "/api/v1/me/", "/api/v1/session/"


@pytest.fixture
def limits(monkeypatch):
    for throttle in (throttles.PerPerson, throttles.PerAddress, throttles.SignIn):
        monkeypatch.setattr(throttle, "rate", "3/min", raising=False)


def statuses(client, times: int = 5, **extra) -> list[int]:
    return [client.get(ME, **extra).status_code for _ in range(times)]


def test_a_person_is_limited_over_all_their_devices(limits, ada, ben):
    one, two = sign_in_as(ada), sign_in_as(ada)
    assert statuses(one, 2) + statuses(two, 2) == [200, 200, 200, 429]
    assert statuses(sign_in_as(ben), 1) == [200]


def test_a_stranger_cannot_invent_another_address(limits, phone):
    wrong = {"email": "nobody@example.org", "password": "nope"}
    tried = [phone().post(SESSION, wrong, headers={"X-Forwarded-For": f"198.51.100.{n}"}).status_code for n in range(4)]
    assert tried == [401, 401, 401, 429]


def test_signing_in_is_limited_by_address_whatever_the_account(limits, phone, ada):
    tried = [phone().post(SESSION, {"email": f"p{n}@example.org", "password": "nope"}).status_code for n in range(4)]
    assert tried == [401, 401, 401, 429]
    right = {"email": "ada@example.org", "password": "correct horse battery"}
    assert phone().post(SESSION, right, REMOTE_ADDR="198.51.100.8").status_code == 201


@pytest.fixture
def cache_away(settings):
    """A Redis that is not there."""
    settings.CACHES = {
        "default": {
            "BACKEND": "mhealth.platform.cache.FailOpenRedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"socket_connect_timeout": 0.3},
        }
    }
    yield
    cache.close()


def test_without_the_cache_everybody_gets_in_and_it_is_counted(limits, cache_away, ada, phone):
    before = our_cache.AWAY._value.get()
    assert statuses(sign_in_as(ada)) == [200] * 5
    right = {"email": "ada@example.org", "password": "correct horse battery"}
    assert phone().post(SESSION, right).status_code == 201
    assert our_cache.AWAY._value.get() > before
