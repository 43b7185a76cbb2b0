import pytest
from django.core.management import call_command

from mhealth.platform import audit, crypto
from mhealth.platform.models import AuditEvent, DataKey
from tests.platform.tampering import audit_unguarded

pytestmark = pytest.mark.django_db


def test_sealed_bytes_open_only_in_their_own_place():
    key = DataKey.make()
    sealed = key.seal(b"I slept badly", "checkins_part/1/text")
    assert b"slept" not in sealed
    assert key.unseal(sealed, "checkins_part/1/text") == b"I slept badly"
    with pytest.raises(crypto.CannotOpen):
        key.unseal(sealed, "checkins_part/2/text")


def test_a_destroyed_key_opens_nothing_any_more():
    key = DataKey.make()
    sealed = key.seal(b"private", "row")
    key.destroy()
    with pytest.raises(crypto.KeyDestroyed):
        DataKey.objects.get(pk=key.pk).unseal(sealed, "row")


def test_rotation_of_the_master_key_keeps_everything_readable(settings):
    key = DataKey.make()
    sealed = key.seal(b"private", "row")
    settings.MASTER_KEYS_OLD, settings.MASTER_KEY = [settings.MASTER_KEY], b"n" * 32
    key.rewrap()
    settings.MASTER_KEYS_OLD = []
    assert DataKey.objects.get(pk=key.pk).unseal(sealed, "row") == b"private"


def test_the_audit_chain_shows_a_changed_and_a_missing_row():
    events = [audit.record(actor="system", action="test", subject=f"row/{n}") for n in range(4)]
    assert audit.first_break() is None
    with audit_unguarded():
        AuditEvent.objects.filter(pk=events[1].pk).update(subject="row/x")
        assert audit.first_break() == events[1].pk
        AuditEvent.objects.filter(pk=events[1].pk).update(subject="row/1")
        events[3].delete()
    assert audit.first_break() == events[2].pk


def test_the_commands_wrap_keys_anew_and_find_a_broken_chain(settings, capsys):
    key = DataKey.make()
    sealed = key.seal(b"private", "row")
    settings.MASTER_KEYS_OLD, settings.MASTER_KEY = [settings.MASTER_KEY], b"n" * 32
    call_command("rewrap_keys")
    settings.MASTER_KEYS_OLD = []
    assert DataKey.objects.get(pk=key.pk).unseal(sealed, "row") == b"private"
    settings.MASTER_KEYS_OLD = []
    audit.record(actor="system", action="test", subject="row/0")
    settings.MASTER_KEYS_OLD, settings.MASTER_KEY = [settings.MASTER_KEY], b"m" * 32
    event = audit.record(actor="system", action="test", subject="row/1")
    call_command("verify_audit")
    assert "the chain is whole" in capsys.readouterr().out
    with audit_unguarded():
        AuditEvent.objects.filter(pk=event.pk).update(subject="row/2")
    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit")
    assert ended.value.code == 1
    assert str(event.pk) in capsys.readouterr().err
