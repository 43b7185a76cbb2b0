"""For whom the database is asked: PostgreSQL's second wall behind `visible_to` (docs/decisions/0014).

Where the application's role is under row-level security, every statement travels with its actor, as the setting
`mhealth.actor` of its own transaction; nothing stays on the connection. The actor is the id of a user, `everybody` for
workers and commands, or empty: then no row of a person is there. Owners and superusers of the database meet no wall
(`manage.py doctor` says which it is); SQLite has none.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from celery import Task
from django.conf import settings
from django.db import connection
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse

NOBODY, EVERYBODY = "", "everybody"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# In a transaction that failed these alone are allowed, and none of them reads a row.
_WITHOUT_ACTOR = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")
_UNDER_IT = """
    SELECT coalesce(bool_or(row_security_active(oid)), false) FROM pg_class
    WHERE relrowsecurity AND relnamespace = current_schema()::regnamespace
"""

_actor: ContextVar[str] = ContextVar("actor", default=NOBODY)
_in_request: ContextVar[bool] = ContextVar("in_request", default=False)


class ActsForOneself(Exception):
    """A request acts for its user; what must reach further says why."""


def actor() -> str:
    return _actor.get()


@contextmanager
def acting_for_everybody(*, because: str = "") -> Iterator[None]:
    """For workers, commands and, with a reason, for a few steps of a request. Raises ActsForOneself."""
    if _in_request.get() and not because:
        raise ActsForOneself("a request reaches other people's rows only with a reason")
    with _acting(EVERYBODY):
        yield


@contextmanager
def _acting(whom: str) -> Iterator[None]:
    before = _actor.set(whom)
    try:
        yield
    finally:
        _actor.reset(before)


def act_for(user) -> None:
    """From here to the end of the request, whose user is known now; outside of requests nothing changes."""
    if _in_request.get():
        _actor.set(str(user.pk))


class OfTheRequest:
    """Middleware after authentication: nobody's until the user is known, and nobody's again at the end."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        before = _in_request.set(True)
        try:
            with _acting(NOBODY):
                # The API signs in by token alone (people.authentication), never by a cookie of the staff pages.
                by_cookie = settings.SESSION_COOKIE_NAME in request.COOKIES and not request.path.startswith("/api/")
                if by_cookie and request.user.is_authenticated:
                    act_for(request.user)
                return self.get_response(request)
        finally:
            _in_request.reset(before)


class WorkerTask(Task):
    """A worker acts for everybody: its tasks name rows, not users. A request hints at them and never calls them."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        with acting_for_everybody():
            return super().__call__(*args, **kwargs)


def describe() -> str:
    """For the doctor: which wall stands behind `visible_to` here."""
    if connection.vendor != "postgresql":
        return f"not in force: {connection.vendor} has none, visible_to is the only wall"
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        role = cursor.fetchone()[0]
    if connection.under_row_security:
        return f"in force: {role} sees the rows of whom it acts for"
    return f"not in force: {role} owns the tables or bypasses it, see manage.py grant_app_role"


def look(connection) -> None:
    """Find out whether the connection's present role is under row-level security."""
    connection.under_row_security = False
    with connection.cursor() as cursor:
        cursor.execute(_UNDER_IT)
        connection.under_row_security = cursor.fetchone()[0]
        if connection.under_row_security:
            # Policies are costed as if each row looked everything up; compiling them took seconds where running takes
            # a tenth of one.
            cursor.execute("SET jit = off")


def _on_connect(connection, **_kwargs: object) -> None:
    if connection.vendor == "postgresql":
        if _with_actor not in connection.execute_wrappers:
            connection.execute_wrappers.append(_with_actor)
        look(connection)


connection_created.connect(_on_connect, dispatch_uid="platform.row_security")


def _with_actor(execute: Callable, sql: str, params: object, many: bool, context: dict) -> object:
    connection, raw = context["connection"], context["cursor"].cursor
    if not connection.under_row_security or sql.startswith(_WITHOUT_ACTOR):
        return execute(sql, params, many, context)
    whom = _actor.get()
    if whom not in (NOBODY, EVERYBODY) and not _UUID.fullmatch(whom):
        raise ValueError("an actor is the id of a user")
    say = f"SELECT set_config('mhealth.actor', '{whom}', true)"
    if getattr(raw, "name", None) is None:  # one message to the server, one transaction
        return execute(f"{say}; {sql}", params, many, context)
    return _declare(lambda: execute(sql, params, many, context), say, connection)


def _declare(execute: Callable, say: str, connection) -> object:
    """A cursor on the server is declared alone; one that outlives its transaction is filled when that ends."""
    with connection.connection.cursor() as beside:
        if connection.in_atomic_block or not connection.get_autocommit():
            beside.execute(say)
            return execute()
        beside.execute(f"BEGIN; {say}")
        try:
            declared = execute()
        except BaseException:
            beside.execute("ROLLBACK")
            raise
        beside.execute("COMMIT")
        return declared
