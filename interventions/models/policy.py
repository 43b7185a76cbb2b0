"""What a decision is made with: models, the texts of reasons, and what a trial holds still."""

import uuid
from pathlib import Path

from django.conf import settings
from django.db import models
from django.utils import timezone

from interventions.models.content import Version
from mhealth.trials.models import Trial


class ModelVersionQuerySet(models.QuerySet):
    def present(self) -> "ModelVersion | None":
        """The model promoted last and not rolled back since, or None: then clinicians' order decides."""
        promoted = self.filter(promoted_at__isnull=False, rolled_back_at=None)
        return promoted.order_by("-promoted_at", "-id").first()

    def held(self) -> bool:
        """Whether somebody rolled back and nobody promoted since: what is trained at night then waits for them."""
        last = self.aggregate(back=models.Max("rolled_back_at"), forth=models.Max("promoted_at"))
        return bool(last["back"] and last["forth"] and last["back"] > last["forth"])


class ModelVersion(models.Model):
    """A trained recommender in a folder of RECOMMENDER_MODELS. Kept as long as a decision may name it."""

    name = models.CharField(max_length=80, unique=True)
    folder = models.CharField(max_length=100)  # below RECOMMENDER_MODELS
    sha256 = models.CharField(max_length=64)  # of its card, which names the digest of the tensors
    card = models.JSONField(default=dict)
    trained_at = models.DateTimeField(default=timezone.now)
    promoted_at = models.DateTimeField(null=True)
    rolled_back_at = models.DateTimeField(null=True)  # None once it is promoted again

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        ordering = ["-trained_at"]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        return Path(settings.RECOMMENDER_MODELS) / self.folder


class ContentFreeze(models.Model):
    """What a trial holds still: these texts, and this model (none: clinicians' order). Suspension still counts."""

    trial = models.OneToOneField(Trial, on_delete=models.PROTECT, related_name="content_freeze")
    versions = models.ManyToManyField(Version, related_name="+")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    def __str__(self) -> str:
        return f"content of {self.trial.slug}"


class ReasonTexts(models.Model):
    """The approved sentences of reasons in one language, with the words that fill them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    language = models.CharField(max_length=10, unique=True)
    version = models.CharField(max_length=20)
    approved = models.JSONField(default=dict)
    sentences = models.JSONField(default=dict)  # "shared", "open", "why_not" -> key -> sentence with {slots}
    words = models.JSONField(default=dict)  # "emotions", "techniques", … -> key -> word

    class Meta:
        verbose_name_plural = "reason texts"

    def __str__(self) -> str:
        return f"reasons {self.language} {self.version}"
