"""At start-up (`migrate`, `check --database default`): licence notes that no operator has acknowledged."""

from collections.abc import Sequence

from django.core import checks
from django.db import connections

from mhealth.outcomes.models import InstrumentVersion


@checks.register(checks.Tags.database)
def licences(databases: Sequence[str] | None = None, **_kwargs: object) -> list[checks.CheckMessage]:
    from mhealth.outcomes.instruments import operator_warnings

    if not databases or InstrumentVersion._meta.db_table not in connections["default"].introspection.table_names():
        return []
    return [checks.Warning(line, id="outcomes.W001") for line in operator_warnings()]
