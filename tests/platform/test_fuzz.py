"""Requests made up from the API's own schema, by every kind of caller: no 5xx, and no answer that the schema lacks.

`make test` asks each operation a few times, with a fixed seed; `make fuzz` longer (FUZZ_EXAMPLES, FUZZ_SEED).
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from functools import cache
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from rest_framework.response import Response
from schemathesis import Case, GenerationMode, checks
from schemathesis.core.failures import FailureGroup

from mhealth.people.views import MeView
from tests import factories
from tests.access import expectations, requests, world

pytestmark = pytest.mark.django_db
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
SEED = int(os.environ.get("FUZZ_SEED", "20261121"))
CALLERS = ["nobody", "owner", "clinician", "reviewer", "researcher", "manager", "operator"]
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
BOUNDED = settings(
    max_examples=EXAMPLES,
    phases=[Phase.generate],
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class RollBack(Exception):
    """Ends a request's transaction, so that the next one finds the same world."""


@pytest.fixture(autouse=True)
def one_connection():
    """A request ends inside of the test's transaction, whose connection stays open: as in Django's test client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@cache
def api() -> schemathesis.BaseSchema:
    found = schemathesis.openapi.from_wsgi("/api/schema/?format=json", get_wsgi_application())
    found.config.generation.update(with_security_parameters=False)  # who asks is ours to say
    return found


def operations() -> list:
    return [found.ok() for found in api().get_all_operations()]


def route_of(operation) -> str:
    """As the access matrix writes it: /api/v1/check-ins/{id}/ is check-ins/<uuid:pk>/."""
    shape = _shape(operation.path.removeprefix("/api/v1/"))
    return next(route for _, route in expectations.matrix() if _shape(route) == shape)


def _shape(route: str) -> list[str]:
    return ["*" if part.startswith(("{", "<")) else part for part in route.split("/")]


def places(operation, made: world.World) -> dict[str, str]:
    """Ada's things, for the path's parameters in their order."""
    address = requests.address(route_of(operation), made).removeprefix("/api/v1/")
    pairs = zip(operation.path.removeprefix("/api/v1/").split("/"), address.split("/"), strict=True)
    return {name.strip("{}"): value for name, value in pairs if name.startswith("{")}


@st.composite
def cases(draw, operation, made: world.World) -> Case:
    """Valid and broken requests, to Ada's things or nothing; bodies are made up, or good ones with a made-up part."""
    mode = draw(st.sampled_from(GenerationMode))
    case = draw(operation.as_strategy(generation_mode=mode))
    if operation.path_parameters and draw(st.booleans()):
        case.path_parameters = dict(places(operation, made))
    good = requests.BODIES.get((operation.method.upper(), route_of(operation)))
    if good and isinstance(case.body, dict) and draw(st.booleans()):
        kept = draw(st.sets(st.sampled_from(sorted(case.body)), max_size=2)) if case.body else set()
        case.body = good(made) | {name: case.body[name] for name in kept}
    return case


def headers_of(person) -> dict[str, str]:
    return {"Authorization": factories.phone(person)._credentials["HTTP_AUTHORIZATION"]} if person else {}


def ask(case: Case, headers: dict[str, str]) -> tuple[int, list[str]]:
    """The status, and what is wrong with the answer."""
    answer: Any = None
    try:
        with transaction.atomic():
            answer = case.call(headers=headers)
            raise RollBack
    except RollBack:
        pass
    try:
        case.validate_response(answer, checks=CHECKS)
    except FailureGroup as wrong:
        told = [f"{type(one).__name__}: {one.message[:300]}" for one in wrong.exceptions]
        return answer.status_code, [f"{one} ({answer.status_code}, {case.as_curl_command()[:600]})" for one in told]
    return answer.status_code, []


def test_no_made_up_request_gets_an_answer_that_the_schema_lacks(capsys):
    """Each is asked by every caller in turn, with the same world before it."""
    made = world.make()
    headers = {caller: headers_of(made.people[caller]) for caller in CALLERS}
    wrong: dict[tuple[str, str], list[str]] = {}
    statuses: dict[str, Counter[int]] = {caller: Counter() for caller in CALLERS}

    def asked(case: Case) -> None:
        for caller in CALLERS:
            status, faults = ask(case, headers[caller])
            statuses[caller][status] += 1
            if faults:
                wrong.setdefault((case.operation.label, caller), faults)

    for operation in operations():
        seed(SEED)(BOUNDED(given(case=cases(operation, made))(asked)))()
    with capsys.disabled():
        for caller, count in statuses.items():
            told = ", ".join(f"{number} × {status}" for status, number in sorted(count.items()))
            sys.stdout.write(f"\n{count.total()} made-up requests by {caller}: {told}")
        sys.stdout.write("\n")
    assert wrong == {}
    succeeded = {caller: sum(count[status] for status in (200, 201, 202, 204)) for caller, count in statuses.items()}
    assert min(succeeded.values()) >= EXAMPLES, succeeded
    assert succeeded["owner"] >= 5 * EXAMPLES, succeeded


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (RuntimeError("planted"), "ServerError"),
        (Response({"id": 7}), "JsonSchemaError"),
        (Response(status=207), "MissingContentType"),
    ],
)
def test_a_planted_fault_is_found(monkeypatch, ada, answer, fault):
    def planted(*_: Any, **__: Any) -> Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    case = api()["/api/v1/me/"]["GET"].Case()
    assert ask(case, headers_of(ada.user)) == (200, [])
    monkeypatch.setattr(MeView, "get", planted)
    _, found = ask(case, headers_of(ada.user))
    assert fault in str(found)
