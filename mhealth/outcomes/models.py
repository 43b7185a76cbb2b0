import json
import uuid
from datetime import datetime, timedelta
from functools import cached_property

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mhealth.outcomes import scoring
from mhealth.people.models import Participant
from mhealth.people.querysets import PersonalQuerySet

ACCEPT_AFTER_CLOSING = timedelta(days=7)  # for answers given inside by a phone that was offline
TEXT_PARTS = frozenset({"title", "instructions", "items", "options", "status", "source", "licence"})


class Instrument(models.Model):
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.name


class InstrumentVersion(models.Model):
    """One immutable version: how it is scored and, per language, what is shown."""

    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="versions")
    version = models.CharField(max_length=20)
    definition = models.JSONField(
        "items, scales and bands", help_text="instrument.json: items, scales, bands, rule version."
    )
    texts = models.JSONField(default=dict, help_text="Per language: title, instruction, items, options, source.")
    licence = models.TextField(blank=True)
    loaded_at = models.DateTimeField("loaded", default=timezone.now)
    frozen_at = models.DateTimeField(
        "frozen by a trial",
        null=True,
        editable=False,
        help_text="Since then a sealed trial counts on it: its rules and its words stay.",
    )
    licence_acknowledged_at = models.DateTimeField("licence acknowledged", null=True, blank=True, editable=False)
    licence_acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )

    class Meta:
        ordering = ["instrument", "-loaded_at"]
        constraints = [models.UniqueConstraint(fields=["instrument", "version"], name="one_instrument_version")]

    def __str__(self) -> str:
        return f"{self.instrument.slug} {self.version}"

    @cached_property
    def rules(self) -> scoring.Instrument:
        return scoring.parse(self.definition)

    @property
    def in_use(self) -> bool:
        """Whether somebody is asked by it, or will be."""
        return self.frozen_at is not None or self.occasions.exists()

    @property
    def spoken(self) -> set[str]:
        """Languages in which it can be shown whole."""
        return {language for language, text in self.texts.items() if text.keys() >= TEXT_PARTS}

    def is_validated(self, language: str) -> bool:
        """An original needs no validation; a translation is validated once it names its reference."""
        text = self.texts[language]
        return text.get("status") == "original" or bool(text.get("validation_reference"))

    @property
    def not_validated(self) -> list[str]:
        """Languages."""
        return [language for language in sorted(self.texts) if not self.is_validated(language)]

    def unchecked_items(self, language: str) -> list[int]:
        """Numbers of the items whose words could not be compared with the published form."""
        return [item["number"] for item in self.texts[language].get("items", []) if not item.get("checked", True)]

    @property
    def min_days_between(self) -> int:
        return self.definition.get("min_days_between", 0)


class OccasionQuerySet(PersonalQuerySet):
    def unanswered(self):
        return self.exclude(responses__in_window=True)

    def not_over(self, now: datetime):
        """Open or coming, with whether they are answered."""
        counted = Response.objects.for_analysis().filter(occasion=models.OuterRef("pk"))
        return self.filter(closes_at__gt=now).annotate(answered=models.Exists(counted))

    def to_remind(self, now: datetime, ahead: timedelta):
        """Open, not answered, due within `ahead` or past due, with a reminder still to send."""
        stage = Q(due_at__lte=now, reminded_due_at=None) | Q(
            due_at__gt=now, due_at__lte=now + ahead, reminded_before_at=None
        )
        return self.unanswered().filter(stage, opens_at__lte=now, closes_at__gt=now, participant__status="active")


class Occasion(models.Model):
    """A planned questionnaire of one person, with its window."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="occasions")
    version = models.ForeignKey(InstrumentVersion, on_delete=models.PROTECT, related_name="occasions")
    plan = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="What planned it, for example one trial.",
    )
    number = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=50)
    language = models.CharField(max_length=10, blank=True, help_text="Empty: the person's own.")
    opens_at = models.DateTimeField("opens")
    due_at = models.DateTimeField("due")
    closes_at = models.DateTimeField("closes")
    reminded_before_at = models.DateTimeField(null=True, editable=False)
    reminded_due_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)

    objects = OccasionQuerySet.as_manager()

    class Meta:
        ordering = ["opens_at", "number", "id"]
        constraints = [
            # A second trial of the same person has a baseline of its own.
            models.UniqueConstraint(
                fields=["participant", "version", "plan", "name"], name="one_occasion_per_plan_and_name"
            ),
            models.CheckConstraint(
                condition=Q(opens_at__lt=models.F("due_at")) & Q(due_at__lt=models.F("closes_at")),
                name="an_occasion_is_due_while_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.name}"

    def phase_at(self, now: datetime) -> str:
        if now < self.opens_at:
            return "coming"
        if now >= self.closes_at:
            return "closed"
        return "due" if now >= self.due_at else "open"

    def why_out(self, answered_at: datetime, received_at: datetime) -> str:
        """Why answers do not count for analysis, or "" when they do."""
        if answered_at < self.opens_at:
            return Response.WhyOut.TOO_EARLY
        if answered_at >= self.closes_at:
            return Response.WhyOut.TOO_LATE
        if received_at > self.closes_at + ACCEPT_AFTER_CLOSING:
            return Response.WhyOut.RECEIVED_TOO_LATE
        return ""


class ResponseQuerySet(PersonalQuerySet):
    person = "occasion__participant"

    def for_analysis(self):
        return self.filter(in_window=True, conflicting=False)


class Response(models.Model):
    """What a person answered once. Kept whatever happens; only what was given inside the window is analysed.

    The first answers inside stand, and the first outside are kept beside them. Other answers for the same
    occasion are `conflicting`: refused to the phone, yet stored and screened for risk.
    """

    class WhyOut(models.TextChoices):
        TOO_EARLY = "too_early", _("This questionnaire was not open yet when you answered it.")
        TOO_LATE = "too_late", _("This questionnaire was closed when you answered it.")
        RECEIVED_TOO_LATE = "received_too_late", _("Your answers reached us more than a week after it had closed.")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    occasion = models.ForeignKey(Occasion, on_delete=models.CASCADE, related_name="responses")
    answers_sealed = models.BinaryField(editable=False)
    answered_at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)
    in_window = models.BooleanField()
    why_out = models.CharField(max_length=20, choices=WhyOut, blank=True)
    clock_suspect = models.BooleanField(default=False, help_text="The phone's clock was ahead: our time counts.")
    conflicting = models.BooleanField(default=False)
    language = models.CharField(max_length=10)

    objects = ResponseQuerySet.as_manager()

    class Meta:
        ordering = ["answered_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["occasion", "in_window"], condition=Q(conflicting=False), name="first_answers_stand"
            )
        ]

    def __str__(self) -> str:
        return f"response {str(self.pk)[:8]}"

    @property
    def participant(self) -> Participant:
        return self.occasion.participant

    @property
    def sentence(self) -> str:
        if self.in_window:
            return gettext("Thank you, your answers are stored.")
        return f"{self.WhyOut(self.why_out).label} {gettext('They are stored, but not counted with the others.')}"

    @staticmethod
    def place_of_answers(pk: uuid.UUID) -> str:
        """The associated data of the encryption."""
        return f"outcomes_response/{pk}/answers"

    @property
    def _context(self) -> str:
        return self.place_of_answers(self.pk)

    def seal_answers(self, answers: list[int | None]) -> None:
        self.answers_sealed = self.participant.data_key.seal(json.dumps(answers).encode(), self._context)

    @property
    def answers(self) -> list[int | None]:
        """Raises KeyDestroyed for an erased person."""
        return json.loads(self.participant.data_key.unseal(self.answers_sealed, self._context))


class ScaleScoreQuerySet(PersonalQuerySet):
    person = "response__occasion__participant"

    def for_analysis(self):
        return self.filter(response__in_window=True, response__conflicting=False)


class ScaleScore(models.Model):
    """One scale of one response. `value` is None where the scale could not be scored."""

    id = models.BigAutoField(primary_key=True)
    response = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="scores")
    scale = models.CharField(max_length=40)
    raw = models.FloatField(null=True)
    value = models.FloatField(null=True, help_text="DASS-21: the doubled score, 0 to 42.")
    band = models.CharField(max_length=30, blank=True)
    n_missing = models.PositiveSmallIntegerField()
    prorated = models.BooleanField()
    rule_version = models.CharField(max_length=60)

    objects = ScaleScoreQuerySet.as_manager()

    class Meta:
        ordering = ["response", "id"]
        constraints = [models.UniqueConstraint(fields=["response", "scale"], name="one_score_per_scale")]

    def __str__(self) -> str:
        return f"{self.scale} {self.value}"

    @property
    def doubled(self) -> float | None:
        return self.value

    @property
    def at(self) -> datetime:
        return self.response.answered_at
