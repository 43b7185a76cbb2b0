"""Ids and times as the database gives them: turning them into objects costs more than reading all the rest.

An id as stored is text and good for being compared with another one: 32 hex digits on SQLite; on PostgreSQL with
hyphens, for its driver would make an object of each.
"""

import uuid
from datetime import UTC, datetime

from django.db import connection
from django.db.models import CharField, Expression, ExpressionWrapper, F, UUIDField
from django.db.models.functions import Cast


def as_stored(field: str) -> Expression:
    return ExpressionWrapper(F(field), output_field=CharField())


def id_as_stored(field: str) -> Expression:
    return Cast(field, CharField())


def stored_id(pk: uuid.UUID) -> str:
    """What `id_as_stored` gives for this id."""
    return str(UUIDField().get_db_prep_value(pk, connection))


def text_of_id(stored: str) -> str:
    """As str(uuid.UUID) writes it."""
    if len(stored) != 32:
        return stored
    return f"{stored[:8]}-{stored[8:12]}-{stored[12:16]}-{stored[16:20]}-{stored[20:]}"


def moment(stored: datetime) -> datetime:
    """SQLite gives the time in UTC without saying so."""
    return stored if stored.tzinfo else stored.replace(tzinfo=UTC)
