"""At start-up (`migrate`, `check --database default`): licence notes that no operator has acknowledged."""

from collections.abc import Sequence

from django.core import checks
from django.db import connections
from django.utils import timezone

from mhealth.outcomes import push
from mhealth.outcomes.models import InstrumentVersion, Occasion
from mhealth.people.models import Study
from mhealth.platform import languages
from mhealth.platform.health import Missing


@checks.register(checks.Tags.database)
def licences(databases: Sequence[str] | None = None, **_kwargs: object) -> list[checks.CheckMessage]:
    from mhealth.outcomes.instruments import operator_warnings

    if not databases or InstrumentVersion._meta.db_table not in connections["default"].introspection.table_names():
        return []
    return [checks.Warning(line, id="outcomes.W001") for line in operator_warnings()]


def check_push() -> str:
    """For the doctor: the account that pushes reminders can be read and signs. Raises Missing."""
    if not push.configured():
        return "off: reminders go by mail"
    try:
        return f"as {push.check_account()}"
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise Missing(f"FCM_SERVICE_ACCOUNT cannot be used: {type(problem).__name__}") from problem


def check_texts() -> str:
    """For the doctor: what people are asked to answer can be shown to them. Raises Missing."""
    lines = sorted(_left_out())
    if lines:
        raise Missing(f"{'; '.join(lines)}: load a text (fixtures/instruments); until then it is left out")
    return "there for everybody who is asked"


def _left_out() -> set[str]:
    """Planned questionnaires that nobody can be shown: no text in the person's language nor in their study's."""
    planned = Occasion.objects.filter(closes_at__gt=timezone.now(), participant__status="active")
    asked = planned.order_by().values_list("version", "participant__study", "participant__language").distinct()
    versions = InstrumentVersion.objects.select_related("instrument").in_bulk({version for version, _, _ in asked})
    studies = Study.objects.in_bulk({study for _, study, _ in asked})
    return {
        f"{versions[version]} has no text in {' or '.join(dict.fromkeys(wanted))}"
        for version, study, own in asked
        if not languages.first(wanted := [own, studies[study].language], versions[version].spoken)
    }
