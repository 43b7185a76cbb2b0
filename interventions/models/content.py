"""CBT activities, their immutable texts per language, and what reviewers said of them."""

import calendar
import hashlib
import json
from datetime import date

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from simple_history.models import HistoricalRecords

from interventions import validation
from interventions.validation import EDITABLE, MOVES, NOT_BY_THE_AUTHOR, State
from mhealth.platform.access import roles_of

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
SCALES = ("depression", "anxiety", "stress")
BANDS = ("normal", "mild", "moderate", "severe", "extremely severe")


class Technique(models.TextChoices):
    GUIDED_RELAXATION = "guided_relaxation", "guided relaxation"
    BREATHING = "breathing", "breathing"
    GROUNDING = "grounding", "grounding"
    JOURNALING = "journaling", "journaling prompt"
    THOUGHT_RECORD = "thought_record", "thought record"
    BEHAVIOURAL_ACTIVATION = "behavioural_activation", "behavioural activation"
    PROBLEM_SOLVING = "problem_solving", "problem solving"
    GRADED_EXPOSURE = "graded_exposure", "graded exposure step"
    WORRY_TIME = "worry_time", "worry time"
    SLEEP_HYGIENE = "sleep_hygiene", "sleep hygiene"
    SELF_COMPASSION = "self_compassion", "self-compassion"
    PSYCHOEDUCATION = "psychoeducation", "psychoeducation"


class ContraIndication(models.Model):
    """A reason not to offer some activities to somebody: set by their clinician, or met by their scores.

    rule: [{"scale": "anxiety", "at_least": "severe"}, …], any of which is enough. It knows scores only: an emotion
    estimate says nothing about safety.
    """

    tag = models.SlugField(unique=True)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    rule = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["tag"]
        verbose_name = "contra-indication"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        lines = self.rule if isinstance(self.rule, list) else [None]
        for line in lines:
            known = isinstance(line, dict) and set(line) == {"scale", "at_least"}
            if not known or line["scale"] not in SCALES or line["at_least"] not in BANDS:
                raise ValidationError({"rule": 'A list such as [{"scale": "anxiety", "at_least": "severe"}].'})

    def met_by(self, bands: dict[str, str]) -> bool:
        """bands: DASS-21 severity band by scale."""
        return any(
            line["scale"] in bands and BANDS.index(bands[line["scale"]]) >= BANDS.index(line["at_least"])
            for line in self.rule
        )


class ActivityQuerySet(models.QuerySet):
    def in_clinician_order(self):
        return self.order_by("clinician_order", "key")

    def submitted(self):
        """Activities with a text that has left the draft: the candidates of a decision."""
        return self.filter(versions__state__in=[s for s in State if s is not State.DRAFT]).distinct()


class Activity(models.Model):
    """A CBT exercise: what it is for and not for. Its texts are its versions."""

    key = models.SlugField(max_length=60, unique=True)
    technique = models.CharField(max_length=30, choices=Technique)
    targets = models.JSONField(
        default=dict, blank=True, help_text='{"emotions": ["fear"], "scales": {"anxiety": "mild"}}: lowest band.'
    )
    contra_indications = models.ManyToManyField(ContraIndication, blank=True, related_name="activities")
    grounding = models.BooleanField(default=False, help_text="May be offered while a severe risk event is open.")
    evidence = models.JSONField(default=dict, help_text='{"reference": "…", "level": "meta_analysis"}')
    licence = models.CharField(max_length=60)
    minutes = models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(60)])
    effort = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(5)], help_text="1 (light) to 5 (demanding)."
    )
    arousal_direction = models.CharField(
        max_length=5, choices=[("down", "calms"), ("level", "neither"), ("up", "activates")]
    )
    reading_age = models.PositiveSmallIntegerField(default=12)
    review_months = models.PositiveSmallIntegerField(default=24, help_text="A published text must be reviewed again.")
    clinician_order = models.PositiveIntegerField(default=1000, help_text="Lower first, while there is no model.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ActivityQuerySet.as_manager()
    history = HistoricalRecords(m2m_fields=[contra_indications])

    class Meta:
        ordering = ["clinician_order", "key"]
        verbose_name_plural = "activities"

    def __str__(self) -> str:
        return self.key

    def clean(self) -> None:
        targets = self.targets if isinstance(self.targets, dict) else {"": None}
        emotions, scales = targets.get("emotions", []), targets.get("scales", {})
        if set(targets) - {"emotions", "scales"} or set(emotions) - set(EMOTIONS):
            raise ValidationError({"targets": f"emotions are of {', '.join(EMOTIONS)}."})
        if set(scales) - set(SCALES) or set(scales.values()) - set(BANDS):
            raise ValidationError({"targets": f"scales name a band of {', '.join(BANDS)}."})
        if self.grounding and self._was_published_otherwise():
            raise ValidationError({"grounding": "Reviewers have not seen it as grounding: suspend its texts first."})

    def _was_published_otherwise(self) -> bool:
        before = Activity.objects.filter(pk=self.pk, grounding=False)
        return before.exists() and self.versions.filter(state=State.PUBLISHED).exists()


class VersionQuerySet(models.QuerySet):
    def offerable(self, today: date):
        """Published and not past its review date."""
        return self.filter(state=State.PUBLISHED, next_review_on__gte=today)


class VersionIsFixed(Exception):
    """An attempt to change a text that reviewers have seen."""


class Version(models.Model):
    """One text of an activity in one language. Fixed from review on; a change is a new version."""

    TEXT_FIELDS = (
        "activity_id",
        "language",
        "number",
        "title",
        "summary",
        "steps",
        "for_whom",
        "not_for_whom",
        "when_it_does_not_help",
    )

    activity = models.ForeignKey(Activity, on_delete=models.PROTECT, related_name="versions")
    language = models.CharField(max_length=10, choices=settings.LANGUAGES)
    number = models.PositiveSmallIntegerField(default=1)
    title = models.CharField(max_length=120)
    summary = models.TextField()
    steps = models.JSONField(default=list, help_text="Three to seven sentences or short paragraphs.")
    for_whom = models.TextField(blank=True)
    not_for_whom = models.TextField(blank=True)
    when_it_does_not_help = models.TextField()
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    state = models.CharField(max_length=15, choices=State, default=State.DRAFT, editable=False)
    review_round = models.PositiveSmallIntegerField(default=0, editable=False)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    next_review_on = models.DateField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = VersionQuerySet.as_manager()
    history = HistoricalRecords()

    class Meta:
        ordering = ["activity", "language", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["activity", "language", "number"], name="one_version_number"),
            models.UniqueConstraint(
                fields=["activity", "language"],
                condition=models.Q(state="published"),
                name="one_published_version_per_language",
            ),
            models.CheckConstraint(
                condition=models.Q(approved_by=None)
                | models.Q(author=None)
                | ~models.Q(approved_by=models.F("author")),
                name="an_author_does_not_approve",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.activity.key} {self.language} {self.number}"

    def save(self, **kwargs) -> None:
        before = Version.objects.filter(pk=self.pk).first() if self.pk else None
        if before and before.state not in EDITABLE and before.digest != self.digest:
            raise VersionIsFixed(str(self))
        super().save(**kwargs)

    def clean(self) -> None:
        texts = self.steps if isinstance(self.steps, list) else []
        if not 3 <= len(texts) <= 7 or not all(isinstance(step, str) and step.strip() for step in texts):
            raise ValidationError({"steps": 'A list of three to seven steps: ["Sit down …", "…", "…"].'})

    @property
    def digest(self) -> str:
        """Of everything a person reads, and of what it belongs to."""
        body = json.dumps([getattr(self, name) for name in self.TEXT_FIELDS], ensure_ascii=False)
        return hashlib.sha256(body.encode()).hexdigest()

    @property
    def is_editable(self) -> bool:
        return self.state in EDITABLE

    def present_reviews(self) -> list["Review"]:
        """Those of the present round: an earlier round read another text."""
        return [review for review in self.reviews.all() if review.review_round == self.review_round]

    def ratings(self) -> dict[str, list[int]]:
        reviews = self.present_reviews()
        return {criterion: [getattr(review, criterion) for review in reviews] for criterion in validation.CRITERIA}

    @property
    def scale_cvi(self) -> float | None:
        return validation.scale_cvi(self.ratings())

    def what_approval_lacks(self) -> list[str]:
        """Sentences for people; empty when it may be approved."""
        reviews, lacks = self.present_reviews(), []
        if (missing := validation.REVIEWERS_NEEDED - len(reviews)) > 0:
            lacks.append(f"{missing} more review{'s' if missing > 1 else ''} by somebody other than the author")
        if any(review.verdict != Review.Verdict.APPROVE for review in reviews):
            lacks.append("a reviewer asks for changes")
        if any(review.safety < validation.SAFETY_LEAST for review in reviews):
            lacks.append(f"safety was rated below {validation.SAFETY_LEAST}")
        if reviews and self.scale_cvi < validation.SCALE_CVI_LEAST:
            lacks.append(f"the content-validity index is {self.scale_cvi:.2f}, {validation.SCALE_CVI_LEAST} is needed")
        return lacks

    def allowed_moves(self, user) -> list[State]:
        """The moves this user may make now."""
        roles = roles_of(user)
        return [
            to_state
            for to_state, who in MOVES[State(self.state)].items()
            if roles & who
            and not (to_state in NOT_BY_THE_AUTHOR and self.author_id == user.pk)
            and not (to_state == State.APPROVED and self.what_approval_lacks())
        ]

    def may_be_reviewed_by(self, user) -> bool:
        return (
            self.state == State.IN_REVIEW
            and "reviewer" in roles_of(user)
            and user.pk != self.author_id
            and user.pk not in {review.reviewer_id for review in self.present_reviews()}
        )

    def due_for_review_on(self, published_on: date) -> date:
        months = published_on.month - 1 + self.activity.review_months
        year, month = published_on.year + months // 12, months % 12 + 1
        return date(year, month, min(published_on.day, calendar.monthrange(year, month)[1]))


class Review(models.Model):
    """One reviewer's word on one text. Written once."""

    class Verdict(models.TextChoices):
        APPROVE = "approve", "approve"
        CHANGE = "change", "ask for changes"

    RATING = [(1, "1 not at all"), (2, "2 somewhat"), (3, "3 quite"), (4, "4 very")]

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="reviews")
    review_round = models.PositiveSmallIntegerField()
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reviews")
    credentials = models.CharField(max_length=200, help_text="As they were at the time.")
    relevance = models.PositiveSmallIntegerField(choices=RATING)
    clarity = models.PositiveSmallIntegerField(choices=RATING)
    safety = models.PositiveSmallIntegerField(choices=RATING)
    verdict = models.CharField(max_length=10, choices=Verdict)
    comment = models.TextField(blank=True)
    reviewed_at = models.DateTimeField(default=timezone.now)

    history = HistoricalRecords()

    class Meta:
        ordering = ["reviewed_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "reviewer", "review_round"], name="one_review_per_round"),
            models.CheckConstraint(
                condition=models.Q(relevance__range=(1, 4), clarity__range=(1, 4), safety__range=(1, 4)),
                name="ratings_run_from_1_to_4",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()}: {self.version}"
