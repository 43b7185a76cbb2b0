"""Every refusal and every fault in one shape."""

import json
import re

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import get_resolver
from django.utils import translation
from rest_framework.exceptions import APIException

from mhealth.people import views as people_views
from mhealth.platform import problems, throttles
from mhealth.platform.middleware import BodyLimit
from tests.factories import phone as sign_in_as

pytestmark = pytest.mark.django_db
ME = "/api/v1/me/"


def kind(response) -> str:
    return response.json()["type"].removeprefix("urn:mhealth:problem:")


def check_shape(response, status: int, code: str) -> dict:
    """RFC 9457 members, the media type, and one request id in header and body."""
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    members = response.json()
    assert members["type"] == f"urn:mhealth:problem:{code}"
    assert members["status"] == status
    assert members["title"]
    assert members["detail"]
    assert members["request_id"] == response["X-Request-Id"] != ""
    return members


def test_unknown_addresses_are_problems_inside_and_outside_the_api(phone):
    check_shape(phone().get("/api/v1/nothing/"), 404, "not-found")
    check_shape(phone().get("/nothing"), 404, "not-found")


def test_a_browser_gets_a_page_where_a_phone_gets_a_problem(client):
    page = client.get("/nothing", headers={"accept": "text/html"})
    assert (page.status_code, page["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert page["X-Request-Id"].encode() in page.content


def test_framework_refusals_have_their_own_types(ada):
    client = sign_in_as(ada)
    check_shape(sign_in_as().get(ME), 401, "not-authenticated")
    check_shape(client.delete(ME), 405, "method-not-allowed")
    check_shape(client.get(ME, headers={"accept": "text/csv"}), 406, "not-acceptable")
    check_shape(client.patch(ME, b"<x/>", content_type="text/xml"), 415, "unsupported-media-type")
    check_shape(client.patch(ME, b"{broken", content_type="application/json"), 400, "parse-error")


def test_an_invalid_value_points_to_its_field(ada):
    members = check_shape(sign_in_as(ada).patch(ME, {"birth_year": "soon"}), 422, "invalid")
    assert [(e["pointer"], e["code"]) for e in members["errors"]] == [("/birth_year", "invalid")]


def test_a_body_that_is_not_an_object_is_invalid_as_a_whole(ada):
    members = check_shape(sign_in_as(ada).patch(ME, [1, 2], format="json"), 422, "invalid")
    assert [e["pointer"] for e in members["errors"]] == [""]


def test_a_body_over_the_limit_is_refused_before_it_is_read(ada, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    client = sign_in_as(ada)
    check_shape(client.patch(ME, {"gender": "x" * 1000}), 413, "body-too-large")
    assert client.patch(ME, {"gender": "x"}).status_code == 200


def test_the_limit_does_not_need_the_body(rf):
    class Unread:
        def read(self, *_size):
            raise AssertionError("the body was read")

    request = rf.post(ME, b"{}", content_type="application/json")
    request.META |= {"CONTENT_LENGTH": str(10**9), "wsgi.input": Unread()}
    assert BodyLimit(lambda _request: None)(request).status_code == 413


def test_too_many_requests_say_when_to_come_back(ada, ben, monkeypatch):
    monkeypatch.setattr(throttles.PerPerson, "rate", "2/min", raising=False)
    client, other = sign_in_as(ada), sign_in_as(ben)
    answers = [client.get(ME) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    check_shape(answers[-1], 429, "throttled")
    assert 0 < int(answers[-1]["Retry-After"]) <= 60
    assert other.get(ME).status_code == 200


def test_our_own_fault_tells_nothing_but_its_request_id(ada, monkeypatch):
    def fail(_request):
        raise RuntimeError("ada@example.org slept badly")

    monkeypatch.setattr(people_views, "me", fail)
    response = sign_in_as(ada).get(ME)
    check_shape(response, 500, "error")
    assert b"slept" not in response.content


@pytest.mark.parametrize("where", ["view", "middleware"])
def test_a_database_that_is_away_is_503_with_retry_after(ada, monkeypatch, where):
    def away(*_args, **_kwargs):
        raise OperationalError("connection refused")

    client = sign_in_as(ada)
    if where == "view":
        monkeypatch.setattr(people_views, "me", away)
        response = client.get(ME)
    else:
        monkeypatch.setattr("mhealth.platform.idempotency._begin", away)
        response = client.post(f"{ME}erasure/", headers={"Idempotency-Key": "k"})
    check_shape(response, 503, "try-again-later")
    assert response["Retry-After"] == "10"


def test_a_given_request_id_is_kept_if_it_is_harmless(ada):
    client = sign_in_as(ada)
    assert client.get(ME, headers={"X-Request-Id": "phone-12345678"})["X-Request-Id"] == "phone-12345678"
    assert client.get(ME, headers={"X-Request-Id": 'x" onload='})["X-Request-Id"] != 'x" onload='


@pytest.mark.parametrize(("asked", "language"), [("de-AT,en;q=0.5", "de"), ("es", "es"), ("fr", "en"), ("", "en")])
def test_problem_texts_come_in_the_language_asked_for_where_there_is_one(phone, asked, language):
    texts = {
        "de": "Bitte melden Sie sich an.",
        "es": "Inicie sesión, por favor.",
        "en": "Please sign in.",
    }
    response = phone().get(ME, headers={"Accept-Language": asked})
    assert response.json()["detail"] == texts[language]
    assert response["Content-Language"] == language


def test_a_text_without_a_translation_says_that_it_is_english(ada, monkeypatch):
    from mhealth.platform.problems import Problem

    def refuse(_request):
        raise Problem("The moon is too bright.")

    monkeypatch.setattr(people_views, "me", refuse)
    response = sign_in_as(ada).get(ME, headers={"Accept-Language": "de"})
    assert response.json()["detail"] == "The moon is too bright."
    assert response["Content-Language"] == "en"


def test_a_page_that_fails_its_csrf_check_is_refused_in_our_shape(db):
    strict = Client(enforce_csrf_checks=True)
    refused = strict.post("/accounts/login/", {"login": "x", "password": "y"})
    check_shape(refused, 403, "permission-denied")
    assert json.loads(refused.content)["title"] == "Not allowed"


def participant_facing() -> list[type]:
    """The named problems of the rooms that a phone talks to."""
    get_resolver().url_patterns  # noqa: B018 (loads every room's views)
    rooms = ("mhealth.platform", "mhealth.people", "mhealth.checkins", "mhealth.outcomes", "interventions.views")
    found, waiting = [], [APIException]
    while waiting:
        children = waiting.pop().__subclasses__()
        waiting += children
        found += [problem for problem in children if problem.__module__.startswith(rooms)]
    return found


@pytest.mark.parametrize("language", ["de", "es"])
def test_every_title_and_fixed_text_a_participant_can_meet_is_translated(language):
    texts = {text for words in problems.WORDS.values() for text in words}
    for problem in participant_facing():
        own_detail = problem.default_detail != APIException.default_detail
        texts |= {problem.title} | ({problem.default_detail} if own_detail else set())
    assert len(texts) > 50
    staff_only = {"Not ready"}
    with translation.override(language):
        assert [text for text in sorted(texts - staff_only) if problems.translated(text)[1] != language] == []


@pytest.mark.parametrize("language", ["de", "es"])
def test_the_compiled_translations_are_those_of_the_source(language, settings):
    source = (settings.LOCALE_PATHS[0] / language / "LC_MESSAGES" / "django.po").read_text(encoding="utf-8")
    pairs = re.findall(r'^msgid ("(?:.+)")\nmsgstr ("(?:.+)")$', source, re.MULTILINE)
    assert len(pairs) > 50
    with translation.override(language):
        stale = [msgid for msgid, msgstr in pairs if translation.gettext(json.loads(msgid)) != json.loads(msgstr)]
    assert stale == []
