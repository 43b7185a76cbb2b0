"""Ids and times as the database gives them: turning them into objects costs more than reading all the rest.

An id as stored is good for being compared with another one; SQLite gives 32 hex digits, PostgreSQL a UUID.
"""

import uuid
from datetime import UTC, datetime

from django.db import connection
from django.db.models import CharField, ExpressionWrapper, F, UUIDField


def as_stored(field: str) -> ExpressionWrapper:
    return ExpressionWrapper(F(field), output_field=CharField())


def stored_id(pk: uuid.UUID) -> object:
    """What `as_stored` gives for this id."""
    return UUIDField().get_db_prep_value(pk, connection)


def text_of_id(stored: object) -> str:
    """As str(uuid.UUID) writes it."""
    digits = str(stored)
    if len(digits) != 32:
        return digits
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def moment(stored: datetime) -> datetime:
    """SQLite gives the time in UTC without saying so."""
    return stored if stored.tzinfo else stored.replace(tzinfo=UTC)
