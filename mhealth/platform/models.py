import hmac
import uuid
from collections.abc import Callable
from functools import partial

from django.db import models
from django.utils import timezone

from mhealth.platform import crypto


class DataKey(models.Model):
    """The key of one person or one trial, wrapped by the master key. Destroying it erases what it sealed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    wrapped = models.BinaryField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    destroyed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"key {self.pk}"

    @classmethod
    def make(cls) -> "DataKey":
        key = cls(id=uuid.uuid4())
        key.wrapped = crypto.wrap(crypto.new_key(), key._context)
        key.save()
        return key

    @property
    def _context(self) -> str:
        return f"platform_datakey/{self.pk}/wrapped"

    def _open(self) -> bytes:
        if self.wrapped is None:
            raise crypto.KeyDestroyed(str(self.pk))
        return crypto.unwrap(self.wrapped, self._context)

    def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypt; context is "table/row/column" of where the bytes will lie."""
        return crypto.seal(self._open(), plain, context)

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """Raises CannotOpen or KeyDestroyed."""
        return crypto.unseal(self._open(), sealed, context)

    def unsealer(self) -> Callable[[bytes, str], bytes]:
        """`unseal` with the key unwrapped once, for many rows of one person. Raises KeyDestroyed."""
        return partial(crypto.unseal, self._open())

    def mac(self, message: bytes, context: str) -> bytes:
        """32 bytes that only this key makes of the message: HMAC-SHA256 under a subkey for the context."""
        subkey = hmac.digest(self._open(), b"mac/" + context.encode(), "sha256")
        return hmac.digest(subkey, message, "sha256")

    def rewrap(self) -> None:
        """Wrap again under the present master key."""
        if self.wrapped is not None:
            self.wrapped = crypto.wrap(self._open(), self._context)
            self.save(update_fields=["wrapped"])

    def destroy(self) -> None:
        self.wrapped = None
        self.destroyed_at = timezone.now()
        self.save(update_fields=["wrapped", "destroyed_at"])


class AuditEvent(models.Model):
    """Who did what, hash-chained. Written by `audit.record` only; never changed, never deleted."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=64)  # user id or "system"; never a name
    action = models.CharField(max_length=64)
    subject = models.CharField(max_length=128)  # "app.Model/id"
    details = models.JSONField(default=dict)
    previous = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.action} {self.subject}"


class AuditHead(models.Model):
    """One locked row: the digest the next event continues from."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    digest = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.digest[:12]


class IdempotencyRecord(models.Model):
    """The first answer to a POST that carried an Idempotency-Key, kept for a day, sealed."""

    id = models.BigAutoField(primary_key=True)
    owner = models.CharField(max_length=64)
    key = models.CharField(max_length=128)
    route = models.CharField(max_length=200)
    request_digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)  # none: the twin is still running
    headers = models.JSONField(default=dict)
    body = models.BinaryField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "route", "key"], name="one_answer_per_key")]

    def __str__(self) -> str:
        return f"{self.route} {self.key}"


class ScheduleMark(models.Model):
    """When a scheduled task last ran in the embedded deployment, so that a restart does not repeat or skip it."""

    name = models.CharField(max_length=100, primary_key=True)
    ran_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
