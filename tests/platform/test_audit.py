"""The audit can only grow. On SQLite the verifier finds what was changed, on PostgreSQL the database refuses it."""

import pytest
from django.db import ProgrammingError, connection, transaction

from mhealth.platform import audit
from mhealth.platform.models import AuditEvent, AuditHead
from tests import roles
from tests.platform.tampering import audit_unguarded

pytestmark = pytest.mark.django_db
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="triggers are PostgreSQL's")


@pytest.fixture
def events():
    return [audit.record(actor="system", action="test", subject=f"row/{n}", n=n) for n in range(3)]


def stored() -> list[tuple]:
    return list(AuditEvent.objects.values_list("id", "subject", "digest"))


REFUSED = {
    "changed": lambda event: AuditEvent.objects.filter(pk=event.pk).update(subject="row/x"),
    "saved anew": lambda event: AuditEvent(**{**vars_of(event), "actor": "somebody"}).save(),
    "deleted": lambda event: AuditEvent.objects.filter(pk=event.pk).delete(),
    "changed by hand": lambda event: run("UPDATE platform_auditevent SET details = '{}' WHERE id = %s", event.pk),
    "emptied": lambda event: run("TRUNCATE platform_auditevent"),
    "head turned back": lambda event: AuditHead.objects.update(digest=event.digest),
    "head deleted": lambda event: AuditHead.objects.all().delete(),
    "head emptied": lambda event: run("TRUNCATE platform_audithead"),
}


def vars_of(event: AuditEvent) -> dict:
    return {field.attname: getattr(event, field.attname) for field in AuditEvent._meta.concrete_fields}


def run(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)


@on_postgresql
@pytest.mark.parametrize("how", REFUSED)
def test_what_was_recorded_can_not_be(how, events):
    before = stored()
    with roles.owning():
        run("ALTER TABLE platform_auditevent ENABLE TRIGGER audit_is_not_emptied")  # off in tests: they flush
        run("ALTER TABLE platform_audithead ENABLE TRIGGER audit_is_not_emptied")
        with pytest.raises(ProgrammingError, match="the audit is append-only"), transaction.atomic():
            REFUSED[how](events[0])
    assert stored() == before
    assert audit.first_break() is None


@pytest.mark.parametrize("how", ["changed", "changed by hand", "deleted", "head turned back"])
def test_whoever_takes_the_triggers_away_is_found_by_the_verifier(how, events):
    with audit_unguarded():
        REFUSED[how](events[0])
    assert audit.first_break() is not None


def test_recording_goes_on_after_a_refusal(events):
    if connection.vendor == "postgresql":
        with pytest.raises(ProgrammingError), transaction.atomic():
            AuditEvent.objects.all().delete()
    last = audit.record(actor="system", action="test", subject="row/3")
    assert (last.previous, AuditEvent.objects.count()) == (events[-1].digest, 4)
    assert audit.first_break() is None
