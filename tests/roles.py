"""The role of the application in the test database, and its owner's, who migrates and empties it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from psycopg2.extensions import TRANSACTION_STATUS_INERROR

from mhealth.platform import row_security

SERVICE = "mhealth_test_service"
PASSWORD = "for tests on loopback"


def make() -> None:
    """Roles belong to the whole server: another test process may make it at the same moment."""
    try:
        with transaction.atomic():
            run(f"CREATE ROLE {SERVICE} LOGIN PASSWORD '{PASSWORD}'")
    except DatabaseError:
        pass
    call_command("grant_app_role", SERVICE, stdout=io.StringIO())


@contextmanager
def serving() -> Iterator[None]:
    """As the role of the application, until the end of the block."""
    _become(f"SET ROLE {SERVICE}")
    try:
        yield
    finally:
        owner_again()


@contextmanager
def owning() -> Iterator[None]:
    """As who owns the tables, for what the application cannot do."""
    as_service = row_security_in_force()
    owner_again()
    yield
    if as_service:
        _become(f"SET ROLE {SERVICE}")


def owner_again() -> None:
    """By the driver: a test may have taken Django's own cursors away. A rollback takes the role back by itself."""
    driver = connection.connection
    if connection.vendor == "postgresql" and driver is not None and not driver.closed:
        if driver.info.transaction_status != TRANSACTION_STATUS_INERROR:
            with driver.cursor() as cursor:
                cursor.execute("RESET ROLE")
        connection.under_row_security = False


def row_security_in_force() -> bool:
    return connection.vendor == "postgresql" and connection.under_row_security


def _become(statement: str) -> None:
    if connection.vendor == "postgresql":
        run(statement)
        row_security.look(connection)


def run(statement: str, *values: object) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []
