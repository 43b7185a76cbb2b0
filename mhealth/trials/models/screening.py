import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from mhealth.people.models import Participant, User
from mhealth.trials.models.trial import Trial
from mhealth.trials.querysets import ScreeningQuerySet


class Screening(models.Model):
    """Somebody was assessed for a trial and turned away: the first box of a CONSORT flow needs them.

    With a participant it is one look at one person, who may come again and enter. Without one it counts people whom
    the service does not know, such as those who declined on the phone. What a person answered is not kept here, only
    which criteria were not met.
    """

    class Reason(models.TextChoices):
        NOT_ELIGIBLE = "not_eligible", "not meeting the criteria"
        DECLINED = "declined", "declined or gave no consent"
        ELSEWHERE = "elsewhere", "in another trial"
        OTHER = "other", "other reasons"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="screenings")
    participant = models.ForeignKey(
        Participant,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="screenings",
        help_text="Empty for people whom the service does not know.",
    )
    reason = models.CharField(max_length=12, choices=Reason)
    unmet = models.JSONField("criteria not met", default=list, blank=True, editable=False)
    people = models.PositiveSmallIntegerField("how many people", default=1)
    assessed_at = models.DateTimeField("assessed", default=timezone.now)
    struck_at = models.DateTimeField("struck out", null=True, editable=False)
    recorded_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, editable=False, related_name="+")

    objects = ScreeningQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = "entry", "people turned away"
        constraints = [
            models.CheckConstraint(
                condition=Q(people=1) | Q(participant=None, people__gt=1), name="a_named_person_is_one_person"
            )
        ]
        indexes = [models.Index(fields=["trial", "participant", "-assessed_at"], name="newest_screening")]

    def __str__(self) -> str:
        return f"{self.get_reason_display()} in {self.trial.slug}"
