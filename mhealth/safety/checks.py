"""At start-up (`migrate`, `check --database default`): what an operator must put right before people are safe."""

from collections.abc import Sequence

from django.core import checks
from django.db import connections

from mhealth.safety.models import CrisisResource


@checks.register(checks.Tags.database)
def safety_set_up(databases: Sequence[str] | None = None, **_kwargs: object) -> list[checks.CheckMessage]:
    from mhealth.safety.escalation import operator_warnings

    if not databases or CrisisResource._meta.db_table not in connections["default"].introspection.table_names():
        return []
    return [checks.Warning(line, id="safety.W001") for line in operator_warnings()]
