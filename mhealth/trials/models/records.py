"""What happened to people in a trial. Words about a person are sealed under that person's key."""

import uuid

from django.db import models
from django.utils import timezone

from mhealth.people.models import User
from mhealth.platform.crypto import KeyDestroyed
from mhealth.trials.models.enrolment import Enrolment
from mhealth.trials.models.trial import Trial
from mhealth.trials.querysets import EnrolmentNoteQuerySet, UnblindingRequestQuerySet


class EnrolmentNote(models.Model):
    """One dated entry about a person in a trial; erasing the person leaves the entry without its words."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    recorded_at = models.DateTimeField("recorded", default=timezone.now)
    recorded_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    sealed_words = models.BinaryField(null=True, editable=False)

    objects = EnrolmentNoteQuerySet.as_manager()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} of {self.enrolment}"

    @property
    def words(self) -> str:
        if self.sealed_words is None:
            return ""
        try:
            return self.enrolment.participant.data_key.unseal(self.sealed_words, self._context).decode()
        except KeyDestroyed:
            return ""

    @words.setter
    def words(self, text: str) -> None:
        key = self.enrolment.participant.data_key
        self.sealed_words = key.seal(text.encode(), self._context) if text else None

    @property
    def _context(self) -> str:
        return f"{self._meta.db_table}/{self.pk}/sealed_words"


class Withdrawal(EnrolmentNote):
    """Leaving a trial is not erasure: the kind says what else the person asked for."""

    class Kind(models.TextChoices):
        STOP = "stop"
        STOP_AND_DELETE_MEDIA = "stop_and_delete_media"
        ERASE_ALL = "erase_all"

    enrolment = models.OneToOneField(Enrolment, on_delete=models.PROTECT, related_name="withdrawal")
    kind = models.CharField(max_length=25, choices=Kind)


class AdverseEvent(EnrolmentNote):
    class Severity(models.TextChoices):
        MILD = "mild"
        MODERATE = "moderate"
        SEVERE = "severe"

    enrolment = models.ForeignKey(
        Enrolment, verbose_name="person and trial", on_delete=models.PROTECT, related_name="adverse_events"
    )
    happened_at = models.DateTimeField("happened")
    severity = models.CharField(max_length=10, choices=Severity)
    serious = models.BooleanField(help_text="Death, danger to life, hospital, lasting disability.")
    related = models.CharField(
        "related to what the trial offers",
        max_length=10,
        choices=[(r, r) for r in ("unlikely", "possible", "probable", "unknown")],
        default="unknown",
    )


class Deviation(EnrolmentNote):
    """Something was not done as the protocol says."""

    enrolment = models.ForeignKey(
        Enrolment, verbose_name="person and trial", on_delete=models.PROTECT, related_name="deviations"
    )
    happened_at = models.DateTimeField("happened")
    kind = models.CharField(max_length=40, help_text="For example: late questionnaire, ineligible, wrong content.")
    major = models.BooleanField(default=False)


class UnblindingRequest(models.Model):
    """Asked by one person with a reason, decided by another. Without an enrolment: the whole trial."""

    class Status(models.TextChoices):
        ASKED = "asked"
        APPROVED = "approved"
        REFUSED = "refused"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="unblinding_requests")
    enrolment = models.ForeignKey(
        Enrolment,
        verbose_name="person (none: the whole trial)",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="unblinding_requests",
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.ASKED)
    sealed_reason = models.BinaryField(null=True, editable=False)
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField("asked", default=timezone.now)
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField("decided", null=True)

    objects = UnblindingRequestQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(decided_by=None) | ~models.Q(decided_by=models.F("asked_by")),
                name="unblinding_takes_two_people",
            )
        ]

    def __str__(self) -> str:
        return f"unblinding of {self.enrolment or self.trial}"

    @property
    def reason(self) -> str:
        try:
            return self._key.unseal(self.sealed_reason, self._context).decode() if self.sealed_reason else ""
        except KeyDestroyed:
            return ""

    @reason.setter
    def reason(self, text: str) -> None:
        self.sealed_reason = self._key.seal(text.encode(), self._context)

    @property
    def _key(self):
        return self.enrolment.participant.data_key if self.enrolment else self.trial.key

    @property
    def _context(self) -> str:
        return f"trials_unblindingrequest/{self.pk}/sealed_reason"
