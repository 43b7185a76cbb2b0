"""What somebody does who owns the database: the triggers go, then the rows change."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from tests import roles

AUDIT_TABLES = ("platform_auditevent", "platform_audithead")


@contextmanager
def audit_unguarded() -> Iterator[None]:
    with roles.owning():
        _triggers("DISABLE")
        yield
        _triggers("ENABLE")


def _triggers(verb: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for table in AUDIT_TABLES:
                cursor.execute(f"ALTER TABLE {table} {verb} TRIGGER USER")
