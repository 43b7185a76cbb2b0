"""Leases are tried on check-ins, the first rows that are work."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from mhealth.checkins.models import CheckIn
from mhealth.platform import embedded, hints
from mhealth.platform.leases import MAX_ATTEMPTS, MAX_DEATHS, LeaseLost, WorkStatus

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(ada):
    return CheckIn.objects.create(id=uuid.uuid4(), participant=ada, recorded_at=timezone.now(), zone="UTC", digest="d")


def test_one_worker_has_the_row_and_the_second_has_none(row):
    with CheckIn.objects.leased(row.pk) as first, CheckIn.objects.leased(row.pk) as second:
        assert first.pk == row.pk
        assert second is None
        first.finish(WorkStatus.DONE)
    with CheckIn.objects.leased(row.pk) as third:
        assert third is None


def test_a_late_worker_cannot_write_over_the_one_that_took_over(row):
    late = CheckIn.objects.take(row.pk)
    CheckIn.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    now = CheckIn.objects.take(row.pk)
    assert now.lease_no == late.lease_no + 1
    with pytest.raises(LeaseLost):
        late.finish(WorkStatus.UNUSABLE)
    now.finish(WorkStatus.DONE)
    assert CheckIn.objects.get().status == WorkStatus.DONE


def test_our_own_fault_is_tried_three_times_and_then_shown_in_quarantine(row):
    for attempt in range(MAX_ATTEMPTS):
        assert CheckIn.objects.get().status == WorkStatus.QUEUED, attempt
        with pytest.raises(ZeroDivisionError), CheckIn.objects.leased(row.pk):
            raise ZeroDivisionError("what a person said")
    quarantined = CheckIn.objects.get()
    assert quarantined.status == WorkStatus.QUARANTINED
    assert "ZeroDivisionError" in quarantined.fault
    assert "person said" not in quarantined.fault
    quarantined.requeue()
    assert CheckIn.objects.get().status == WorkStatus.QUEUED


def test_the_sweep_hints_what_waits_and_nothing_twice_within_its_time(row, settings):
    from mhealth.checkins.tasks import analyse

    while not embedded._hints.empty():
        embedded._hints.get_nowait()
    assert hints.sweep(CheckIn.objects.all(), analyse, "check_in_id") == 1
    assert hints.sweep(CheckIn.objects.all(), analyse, "check_in_id") == 0
    assert embedded._hints.get_nowait() == ("mhealth.checkins.tasks.analyse", {"check_in_id": str(row.pk)})
    CheckIn.objects.update(hinted_at=timezone.now() - timedelta(seconds=settings.SWEEP_AFTER_S + 1))
    assert hints.sweep(CheckIn.objects.all(), analyse, "check_in_id") == 1
    CheckIn.objects.update(
        status=WorkStatus.RUNNING, leased_until=timezone.now() - timedelta(seconds=1), hinted_at=None
    )
    assert hints.sweep(CheckIn.objects.all(), analyse, "check_in_id") == 1
    CheckIn.objects.update(status=WorkStatus.DONE, hinted_at=None)
    assert hints.sweep(CheckIn.objects.all(), analyse, "check_in_id") == 0


def test_a_broker_that_is_away_is_no_error(row, settings):
    from mhealth.celery import app
    from mhealth.checkins.tasks import analyse

    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    app.conf.broker_url = settings.CELERY_BROKER_URL
    try:
        assert hints.hint(analyse, check_in_id=str(row.pk)) is False
        assert hints.sweep(CheckIn.objects.all(), analyse, "check_in_id") == 0
    finally:
        app.conf.broker_url = None
    assert CheckIn.objects.get().hinted_at is None


def test_a_row_that_kills_its_workers_is_set_aside_in_the_end(row):
    from mhealth.checkins.tasks import analyse

    gone = timezone.now() - timedelta(seconds=1)
    CheckIn.objects.update(status=WorkStatus.RUNNING, leased_until=gone, attempts=MAX_DEATHS - 1)
    hints.sweep(CheckIn.objects.all(), analyse, "check_in_id")
    assert CheckIn.objects.get().status == WorkStatus.RUNNING
    CheckIn.objects.update(attempts=MAX_DEATHS)
    hints.sweep(CheckIn.objects.all(), analyse, "check_in_id")
    assert CheckIn.objects.get().status == WorkStatus.QUARANTINED
