"""Rows that are work: leased to one worker at a time by conditional UPDATE, alike on SQLite and PostgreSQL."""

import contextlib
import logging
import threading
import uuid
from collections.abc import Iterator
from contextvars import copy_context
from datetime import timedelta

from django.conf import settings
from django.db import close_old_connections, models, transaction
from django.db.models import F, Q
from django.utils import timezone

log = logging.getLogger(__name__)
MAX_ATTEMPTS = 3
MAX_DEATHS = 20  # a row over which so many workers died without a word is set aside; restarts alone never get there


class LeaseLost(Exception):
    """Another worker has taken the row, or it was withdrawn: what was computed must not be stored."""


class WorkStatus(models.TextChoices):
    RECEIVING = "receiving"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    UNUSABLE = "unusable"
    QUARANTINED = "quarantined"


class WorkQuerySet(models.QuerySet):
    def waiting(self):
        """Rows that nobody works on: queued, or running under a lease that ran out."""
        return self.filter(Q(status=WorkStatus.QUEUED) | Q(status=WorkStatus.RUNNING, leased_until__lt=timezone.now()))

    def to_hint(self):
        """Waiting rows whose last hint is too old to be trusted, oldest first."""
        stale = timezone.now() - timedelta(seconds=settings.SWEEP_AFTER_S)
        return self.waiting().filter(Q(hinted_at=None) | Q(hinted_at__lt=stale)).order_by("queued_at")

    def set_killers_aside(self) -> int:
        """Quarantine rows whose every lease ran out: whatever is in them kills the process that reads it."""
        killers = self.filter(status=WorkStatus.RUNNING, leased_until__lt=timezone.now(), attempts__gte=MAX_DEATHS)
        return killers.update(status=WorkStatus.QUARANTINED, leased_until=None, fault="its workers died")

    def mark_hinted(self, pk: uuid.UUID) -> None:
        self.filter(pk=pk).update(hinted_at=timezone.now())

    def take(self, pk: uuid.UUID):
        """Take the lease and return the row, or None if it is not to be had."""
        until = timezone.now() + timedelta(seconds=settings.LEASE_S)
        taken = (
            self.waiting()
            .filter(pk=pk)
            .update(
                status=WorkStatus.RUNNING, leased_until=until, lease_no=F("lease_no") + 1, attempts=F("attempts") + 1
            )
        )
        return self.get(pk=pk) if taken else None

    @contextlib.contextmanager
    def leased(self, pk: uuid.UUID) -> Iterator:
        """Yield the row under a lease that is renewed while the block runs, or None.

        An exception that leaves the block is our own fault: the row goes back to the queue,
        and after three attempts to quarantine, where the admin shows it and can run it again.
        """
        row = self.take(pk)
        if row is None:
            yield None
            return
        stop = threading.Event()
        # In a copy of our context: a thread of its own would act for nobody (platform.row_security).
        renewal = threading.Thread(target=copy_context().run, args=(row._renew_until, stop), daemon=True)
        renewal.start()
        try:
            yield row
        except LeaseLost:
            log.info("lease lost", extra={"row": str(pk)})
        except Exception as fault:
            row._give_up(fault)
            raise
        finally:
            stop.set()
            renewal.join()


class Work(models.Model):
    """A row that a worker must finish. The lease number grows with every lease: a late worker cannot write."""

    status = models.CharField(max_length=12, choices=WorkStatus, default=WorkStatus.QUEUED)
    queued_at = models.DateTimeField(default=timezone.now)
    hinted_at = models.DateTimeField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    lease_no = models.PositiveIntegerField(default=0, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    fault = models.CharField(max_length=300, default="", blank=True, editable=False)  # class and place, never content
    finished_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True
        indexes = [models.Index(fields=["status", "hinted_at"])]

    def finish(self, status: str, **fields: object) -> None:
        """End the work under this lease, in the caller's transaction. Raises LeaseLost."""
        ended = self._mine().update(status=status, finished_at=timezone.now(), leased_until=None, fault="", **fields)
        if not ended:
            raise LeaseLost(str(self.pk))
        self.refresh_from_db()

    def requeue(self) -> None:
        """Start over after quarantine: a person decided so."""
        type(self).objects.filter(pk=self.pk, status=WorkStatus.QUARANTINED).update(
            status=WorkStatus.QUEUED, attempts=0, hinted_at=None, leased_until=None
        )

    def describe(self, fault: Exception) -> str:
        """What is stored of a fault, in clear. A row whose code path tells something hides it here."""
        return describe(fault)

    def _mine(self) -> models.QuerySet:
        return type(self).objects.filter(pk=self.pk, status=WorkStatus.RUNNING, lease_no=self.lease_no)

    def _renew_until(self, stop: threading.Event) -> None:
        try:
            while not stop.wait(settings.LEASE_S / 3):
                self._mine().update(leased_until=timezone.now() + timedelta(seconds=settings.LEASE_S))
        finally:
            close_old_connections()
            from django.db import connection

            connection.close()

    def _give_up(self, fault: Exception) -> None:
        last = self.attempts >= MAX_ATTEMPTS
        with transaction.atomic():
            self._mine().update(
                status=WorkStatus.QUARANTINED if last else WorkStatus.QUEUED,
                leased_until=None,
                hinted_at=None,
                fault=self.describe(fault),
            )


def describe(fault: Exception) -> str:
    """Class and place of a fault; its message may hold what a person said, so it is left out."""
    place = fault.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    where = f"{place.tb_frame.f_globals.get('__name__')}:{place.tb_lineno}" if place else "?"
    return f"{type(fault).__name__} at {where}"[:300]
