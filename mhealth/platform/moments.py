"""One rule for every moment that a phone or a person tells us: when is it believed?

Up to ten minutes ahead of us it is; further ahead our time stands in for it, and the row says `clock_suspect` where it
has that column. Before the year 2000 it is refused: a phone whose battery was flat says 1970.
"""

from datetime import UTC, datetime, timedelta

from django.core.exceptions import ValidationError
from django_filters import IsoDateTimeFilter
from django_filters.fields import IsoDateTimeField
from rest_framework import serializers

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(minutes=10)


class ToldMoment(serializers.DateTimeField):
    """When something happened, as told to us; 422 where no clock can have said so."""

    default_error_messages = {"too_early": "The clock is wrong: this lies before the year 2000."}

    def to_internal_value(self, value: object) -> datetime:
        at = super().to_internal_value(value)
        if at < EARLIEST:
            self.fail("too_early")
        return at


class _UtcField(IsoDateTimeField):
    def to_python(self, value: str) -> datetime | None:
        at = super().to_python(value)
        try:
            return at and at.astimezone(UTC)
        except OverflowError as beyond:  # midnight of year 1, further east
            raise ValidationError(self.error_messages["invalid"], code="invalid") from beyond


class Since(IsoDateTimeFilter):
    """At or after a moment with any offset that ISO 8601 can write; PostgreSQL itself knows none beyond 16 hours."""

    field_class = _UtcField


def believed(at: datetime, now: datetime) -> tuple[datetime, bool]:
    """The moment to store, and whether the clock that told it is suspect."""
    suspect = at > now + AHEAD
    return (now if suspect else at), suspect
