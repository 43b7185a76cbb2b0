import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from mhealth.people.models import Participant, Study
from mhealth.people.querysets import PersonalQuerySet


class Severity(models.TextChoices):
    SEVERE = "severe"
    PROMPT = "prompt"
    ROUTINE = "routine"


class State(models.TextChoices):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    ACTION = "action", "action taken"
    CONTACTED = "contacted", "contact confirmed"
    CLOSED = "closed"


# Worse first. How long a human may take until they have acted, unless the study says otherwise.
ACT_WITHIN = {
    Severity.SEVERE: timedelta(hours=1),
    Severity.PROMPT: timedelta(hours=24),
    Severity.ROUTINE: timedelta(days=7),
}
RANK = {severity: rank for rank, severity in enumerate(ACT_WITHIN)}

# A second action (the first call was not answered) is allowed; closing without contact only for routine events,
# which a band alone raises and which often need no more than a look.
MOVES = {
    State.OPEN: (State.ACKNOWLEDGED,),
    State.ACKNOWLEDGED: (State.ACTION,),
    State.ACTION: (State.ACTION, State.CONTACTED),
    State.CONTACTED: (State.CLOSED,),
    State.CLOSED: (),
}


class RiskEventQuerySet(PersonalQuerySet):
    def of_my_people(self, user):
        """A clinician's people's; somebody who also takes part does not handle their own."""
        return self.visible_to(user).exclude(participant__user=user)

    def unclosed(self):
        return self.exclude(state=State.CLOSED)

    def awaiting_action(self):
        return self.filter(state__in=[State.OPEN, State.ACKNOWLEDGED])

    def alert_due(self, now: datetime):
        return self.awaiting_action().filter(next_alert_at__lte=now)

    def worst_first(self):
        rank = models.Case(*(models.When(severity=s, then=models.Value(n)) for s, n in RANK.items()))
        return self.annotate(rank=rank).order_by("rank", "act_by", "id")


class RiskEvent(models.Model):
    """Something a human must look at. Red until a human closes it; repeats join the unclosed one of their rule."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="risk_events")
    severity = models.CharField(max_length=8, choices=Severity)
    rule = models.CharField(max_length=60)
    source = models.CharField(max_length=60, help_text="What raised it: a questionnaire, a clinician.")
    evidence = models.JSONField(default=dict, help_text="Item numbers, values, scores; never free text.")
    state = models.CharField(max_length=12, choices=State, default=State.OPEN)
    opened_at = models.DateTimeField(default=timezone.now)
    act_by = models.DateTimeField()
    repeats = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)
    alerts = models.PositiveSmallIntegerField(default=0, editable=False)  # how far the escalation has gone
    next_alert_at = models.DateTimeField(null=True, editable=False)

    objects = RiskEventQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at", "id"]
        indexes = [models.Index(fields=["state", "next_alert_at"])]
        constraints = [
            models.UniqueConstraint(
                fields=["participant", "rule"], condition=~Q(state="closed"), name="one_unclosed_event_per_rule"
            )
        ]

    def __str__(self) -> str:
        return f"{self.severity} {self.rule} {self.state}"

    @property
    def subject(self) -> str:
        return f"safety.RiskEvent/{self.pk}"

    @property
    def is_red(self) -> bool:
        return self.state != State.CLOSED

    @property
    def is_overdue(self) -> bool:
        return self.state in (State.OPEN, State.ACKNOWLEDGED) and self.act_by < timezone.now()

    def allowed_moves(self) -> tuple[str, ...]:
        moves = MOVES[State(self.state)]
        if self.severity == Severity.ROUTINE and self.state in (State.ACKNOWLEDGED, State.ACTION):
            moves = (*moves, State.CLOSED)
        return moves

    def act_within(self) -> timedelta:
        """The study may ask for faster action than ours, never for slower."""
        ours = ACT_WITHIN[Severity(self.severity)]
        try:
            minutes = float(self.participant.study.settings["risk"]["act_within_minutes"][self.severity])
        except (KeyError, TypeError, ValueError):  # a slip in the settings must not keep an event from being raised
            return ours
        return min(ours, timedelta(minutes=minutes)) if minutes > 0 else ours

    def open(self, at: datetime) -> None:
        self.opened_at = self.last_at = at
        # The clock runs from when we learned of it: answers may arrive days after they were given.
        self.start_clock(timezone.now())
        self.save(force_insert=True)

    def join(self, severity: str, evidence: dict, at: datetime) -> None:
        """Take a repeat in. One as bad or worse than what somebody has looked at asks for a human again."""
        worse = RANK[Severity(severity)] < RANK[Severity(self.severity)]
        equal = severity == self.severity
        self.repeats += 1
        self.last_at = max(self.last_at, at)
        if worse or equal:
            self.severity, self.evidence = severity, evidence
        if worse or (equal and severity != Severity.ROUTINE and self.state != State.OPEN):
            self.state = State.OPEN
            self.start_clock(timezone.now())
        self.save()

    def start_clock(self, at: datetime) -> None:
        self.act_by = at + self.act_within()
        self.alerts = 0
        # A band alone wakes nobody: it waits in the inbox until its time is up.
        self.next_alert_at = self.act_by if self.severity == Severity.ROUTINE else at


class RiskMove(models.Model):
    """One step of a human on a risk event: who, when, and a note sealed with the person's key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    event = models.ForeignKey(RiskEvent, on_delete=models.CASCADE, related_name="moves")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)
    to_state = models.CharField(max_length=12, choices=State)
    note_sealed = models.BinaryField(null=True, editable=False)

    class Meta:
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.to_state} {self.at:%Y-%m-%d %H:%M}"

    @property
    def _context(self) -> str:
        return f"safety_riskmove/{self.pk}/note"

    def seal_note(self, note: str) -> None:
        if note:
            self.note_sealed = self.event.participant.data_key.seal(note.encode(), self._context)

    @property
    def note(self) -> str:
        if self.note_sealed is None:
            return ""
        return self.event.participant.data_key.unseal(self.note_sealed, self._context).decode()


class DutyQuerySet(models.QuerySet):
    def at(self, study: Study, moment: datetime):
        return self.filter(study=study, starts_at__lte=moment, ends_at__gt=moment)

    def uncovered(self, study: Study, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """The stretches of [start, end) in which nobody is on duty, in order."""
        rows = self.filter(study=study, starts_at__lt=end, ends_at__gt=start).order_by("starts_at")
        covered_until, gaps = start, []
        for begins, ends in rows.values_list("starts_at", "ends_at"):
            if begins > covered_until:
                gaps.append((covered_until, begins))
            covered_until = max(covered_until, ends)
        return gaps if covered_until >= end else [*gaps, (covered_until, end)]


class Duty(models.Model):
    """One stretch of the on-call rota: this clinician is the one who is called."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="duties")
    clinician = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="duties")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    objects = DutyQuerySet.as_manager()

    class Meta:
        ordering = ["starts_at"]
        verbose_name_plural = "duties"
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=models.F("starts_at")), name="a_duty_ends_after_it_starts")
        ]

    def __str__(self) -> str:
        return f"{self.clinician} {self.starts_at:%Y-%m-%d %H:%M} to {self.ends_at:%Y-%m-%d %H:%M}"


class CrisisResource(models.Model):
    """Where a person in danger finds a human being: a phone line, a text line, a page. Country "" is everywhere."""

    slug = models.SlugField(max_length=80)
    country = models.CharField(max_length=2, blank=True, help_text="ISO 3166; empty: any country.")
    language = models.CharField(max_length=10)
    name = models.CharField(max_length=200)
    description = models.CharField(max_length=400, blank=True)
    phone = models.CharField(max_length=40, blank=True)
    text = models.CharField(max_length=60, blank=True, help_text="Number and keyword of a text line.")
    url = models.URLField(blank=True)
    hours = models.CharField(max_length=120, blank=True)
    emergency = models.BooleanField(default=False, help_text="The emergency number of the country.")
    order = models.PositiveSmallIntegerField(default=0)
    source = models.CharField(max_length=300, blank=True)
    review_by = models.DateField(help_text="Somebody must have called or opened it again by this day.")

    class Meta:
        ordering = ["country", "language", "order", "slug"]
        constraints = [
            models.UniqueConstraint(fields=["slug", "country", "language"], name="one_crisis_resource"),
        ]

    def __str__(self) -> str:
        return f"{self.country or 'any country'}: {self.name}"
