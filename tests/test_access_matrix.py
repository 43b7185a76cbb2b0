"""Every route with every kind of caller, and with Ada's things in the address. A route without a line fails."""

from collections.abc import Iterator

import pytest
from django.db import transaction
from django.urls import URLResolver, get_resolver

from tests.access import expectations, world
from tests.access.requests import BODIES, MULTIPART, address
from tests.factories import phone

pytestmark = pytest.mark.django_db
STATUS = {"1": 401, "2": 422, "3": 403, "4": 404, "9": 409}
MATRIX = expectations.matrix()


def routes(patterns: list | None = None, before: str = "") -> Iterator[tuple[str, str]]:
    """(method, route) of everything below /api/v1/."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif route.startswith("api/v1/"):
            view = getattr(pattern.callback, "view_class", None) or pattern.callback.cls
            named = (name for name in view.http_method_names if hasattr(view, name))
            yield from ((name.upper(), route.removeprefix("api/v1/")) for name in named if name != "options")


def test_every_route_has_an_expectation_and_every_expectation_a_route():
    found = {(method, route) for method, route in routes() if method != "HEAD"}
    assert len(found) > 40
    assert sorted(found - set(MATRIX)) == []
    assert sorted(set(MATRIX) - found) == []


class RollBack(Exception):
    """Ends a request's transaction, so that the next caller finds the same world."""


def ask(method: str, route: str, caller: str, made: world.World):
    client = phone(made.people[caller])
    body = BODIES.get((method, route), lambda _world: None)(made)
    form = {"format": "multipart"} if (method, route) in MULTIPART else {}
    try:
        with transaction.atomic():
            answer = getattr(client, method.lower())(address(route, made), body, **form)
            raise RollBack
    except RollBack:
        return answer


def verdict(answer, made: world.World) -> str:
    """The code of the matrix that this answer deserves."""
    shows = any(mark in answer.content for mark in made.marks)
    if answer.status_code < 300:
        return "M" if shows else "E"
    codes = {status: code for code, status in STATUS.items()}
    return ("shows Ada's in " if shows else "") + codes.get(answer.status_code, str(answer.status_code))


@pytest.mark.parametrize(("method", "route"), sorted(MATRIX, key=lambda line: line[1]))
def test_each_caller_gets_what_is_theirs_and_no_more(method, route):
    made = world.make()
    given = {caller: verdict(ask(method, route, caller, made), made) for caller in expectations.COLUMNS}
    assert given == MATRIX[method, route]
