import uuid
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import models
from django.utils import timezone

from mhealth.outcomes.models import Response
from mhealth.people.models import Participant
from mhealth.trials.models.trial import Arm, Trial
from mhealth.trials.querysets import EnrolmentQuerySet, SlotQuerySet


class Enrolment(models.Model):
    """A person in a trial. The arm is nowhere in this row: it is sealed in the slot that was taken."""

    class Status(models.TextChoices):
        CANDIDATE = "candidate"
        ALLOCATED = "allocated"
        WITHDRAWN = "withdrawn"
        COMPLETED = "completed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="enrolments")
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="enrolments")
    status = models.CharField(max_length=10, choices=Status, default=Status.CANDIDATE)
    baseline = models.ForeignKey(Response, on_delete=models.SET_NULL, null=True, related_name="+")
    enrolled_at = models.DateTimeField("entered", default=timezone.now)
    allocated_at = models.DateTimeField("randomised", null=True)

    objects = EnrolmentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["trial", "participant"], name="one_enrolment_per_trial"),
            models.UniqueConstraint(
                fields=["participant"],
                condition=models.Q(status__in=["candidate", "allocated"]),
                name="one_running_trial_per_person",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.participant} in {self.trial.slug}"

    def read_arm(self) -> Arm | None:
        """Open the sealed slot. Callers must not let the answer reach somebody who is masked."""
        slot = Slot.objects.select_related("trial__key").filter(taken_by=self).first()
        return slot.read_arm() if slot else None

    def day(self, at: datetime | None = None) -> int | None:
        """Days since allocation in the person's zone; day 0 is the day of allocation, earlier days are negative."""
        if self.allocated_at is None:
            return None
        zone = ZoneInfo(self.participant.zone)
        return ((at or timezone.now()).astimezone(zone).date() - self.allocated_at.astimezone(zone).date()).days


class Slot(models.Model):
    """One place in the list. All sealed arms have the same length; block boundaries are stored nowhere."""

    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="slots")
    stratum = models.CharField(max_length=100)
    position = models.PositiveIntegerField()
    sealed_arm = models.BinaryField()
    taken_by = models.OneToOneField(Enrolment, on_delete=models.PROTECT, null=True, related_name="slot")

    objects = SlotQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["trial", "stratum", "position"], name="one_slot_per_position")]

    def __str__(self) -> str:
        return f"{self.stratum} {self.position}"

    @property
    def context(self) -> str:
        return f"trials_slot/{self.trial_id}/{self.stratum}/{self.position}/sealed_arm"

    def seal_arm(self, arm_index: int) -> None:
        self.sealed_arm = self.trial.key.seal(bytes([arm_index]), self.context)

    def arm_index(self) -> int:
        """Raises CannotOpen: a ciphertext moved from another slot does not open here."""
        return self.trial.key.unseal(self.sealed_arm, self.context)[0]

    def read_arm(self) -> Arm:
        return self.trial.ordered_arms()[self.arm_index()]
