"""Decisions about a person, what they did with them, and what their clinician set."""

import json
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from interventions.models.content import Activity, ContraIndication, Version
from interventions.validation import State
from mhealth.checkins.models import CheckIn
from mhealth.people.models import Participant
from mhealth.people.querysets import PersonalQuerySet
from mhealth.platform.crypto import KeyDestroyed
from mhealth.platform.leases import Work, WorkQuerySet, WorkStatus
from mhealth.trials.models import UnblindingRequest
from recommender.catalogue import Outcome
from recommender.outcomes import RewardDefinition

RECORD_PAGE_BYTES = 64 * 1024  # well above the largest record of forty activities


class InputsErased(Exception):
    """The person was erased, and with them what the decision was made from."""


class DecisionQuerySet(PersonalQuerySet, WorkQuerySet):
    def traceable_by(self, user):
        """Decisions of one's people; and of those whose arm a second person let this manager know."""
        told = UnblindingRequest.objects.approved_for(user).filter(enrolment__isnull=False)
        return self.visible_to(user) | self.filter(participant__enrolments__in=told.values("enrolment")).distinct()

    def offered(self):
        return self.filter(status=WorkStatus.DONE, version__isnull=False)

    def withdrawn(self):
        """Offered earlier, suspended since: phones must drop them."""
        return self.offered().filter(version__state=State.SUSPENDED)

    def present(self, now: datetime) -> "Decision | None":
        """The newest one of the last day, made or still in the making."""
        return self.filter(created_at__gt=now - Decision.PRESENT_FOR).order_by("-created_at", "-id").first()


class Decision(Work):
    """One recorded choice of an activity, or of nothing, for one person at one moment.

    Policy, model, scores, probabilities and context lie in `sealed_record` alone: neither a column nor an index
    tells the arm of a masked trial to somebody who reads the table.
    """

    PRESENT_FOR = timedelta(days=1)
    OTHERS_MOST = 3  # activities shown beside the one decided, when the person asks for others
    OUTCOME_WINDOW = timedelta(hours=RewardDefinition().window_hours)

    class Outcome(models.TextChoices):
        OFFERED = "offered"
        NOTHING_NOW = "nothing_now"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="decisions")
    # "check_in:<id>", "asked:<id>" or "scheduled:<local time>": a moment is decided once
    moment = models.CharField(max_length=80)
    check_in = models.ForeignKey(CheckIn, on_delete=models.SET_NULL, null=True, related_name="decisions")
    created_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=12, choices=Outcome, blank=True)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, related_name="decisions")
    sealed_record = models.BinaryField(null=True, editable=False)

    objects = DecisionQuerySet.as_manager()

    class Meta(Work.Meta):
        ordering = ["-created_at", "id"]
        indexes = [*Work.Meta.indexes, models.Index(fields=["participant", "-created_at"])]
        constraints = [models.UniqueConstraint(fields=["participant", "moment"], name="one_decision_per_moment")]

    def __str__(self) -> str:
        return f"decision {str(self.pk)[:8]}"

    @property
    def kind(self) -> str:
        return self.moment.partition(":")[0]

    @property
    def _context(self) -> str:
        return f"interventions_decision/{self.pk}/record"

    def sealed(self, record: dict) -> bytes:
        """Padded to whole pages first: the length of a ciphertext would tell one policy's records from another's."""
        plain = json.dumps(record).encode()
        pages = -(-len(plain) // RECORD_PAGE_BYTES)
        return self.participant.data_key.seal(plain.ljust(pages * RECORD_PAGE_BYTES), self._context)

    @property
    def record(self) -> dict:
        """Everything the decision was made from. Callers ask `is_masked_for` before they show it.

        Raises InputsErased.
        """
        if self.sealed_record is None:
            raise InputsErased(str(self.pk))
        try:
            return json.loads(self.participant.data_key.unseal(self.sealed_record, self._context))
        except KeyDestroyed as erased:
            raise InputsErased(str(self.pk)) from erased

    def describe(self, fault: Exception) -> str:
        """The same words for every policy: class and place of a fault would tell the arm. They are in the logs."""
        return "could not be decided: see the worker's log"

    def heard_until(self, at: datetime) -> Outcome:
        """What is known at `at` of the offered activity, from events inside its window; their order does not matter.

        Not completed is known once the person skipped it, or saw it and let the window pass. What they asked to see
        beside it is their choice and not the policy's: it is in no outcome.
        """
        closes_at = self.decided_at + self.OUTCOME_WINDOW
        own = [event for event in self.events.all() if event.kind not in DecisionEvent.ABOUT_OTHERS]
        events = [event for event in own if event.at <= min(closes_at, at)]
        kinds = {event.kind for event in events}
        completed = True if "completed" in kinds else None
        if completed is None and ("skipped" in kinds or (at > closes_at and kinds)):
            completed = False
        before, after = _last(events, "mood_before"), _last(events, "mood_after")
        width = DecisionEvent.MOOD_MOST - DecisionEvent.MOOD_LEAST
        change = None if before is None or after is None else (after - before) / width
        return Outcome(completed, _last(events, "rated"), change)


def _last(events: "list[DecisionEvent]", kind: str) -> int | None:
    values = [event.value for event in sorted(events, key=lambda event: (event.at, event.pk)) if event.kind == kind]
    return values[-1] if values else None


class DecisionEventQuerySet(PersonalQuerySet):
    person = "decision__participant"


class DecisionEvent(models.Model):
    """What a person did with a decision. The phone makes the id; events come late, twice and in any order."""

    class Kind(models.TextChoices):
        SHOWN = "shown"
        STARTED = "started"
        STEP = "step"
        COMPLETED = "completed"
        SKIPPED = "skipped"
        RATED = "rated"
        MOOD_BEFORE = "mood_before"
        MOOD_AFTER = "mood_after"
        OTHERS_SHOWN = "others_shown"
        OTHER_CHOSEN = "other_chosen"

    ABOUT_OTHERS = (Kind.OTHERS_SHOWN, Kind.OTHER_CHOSEN)

    class SkipReason(models.TextChoices):
        NO_TIME = "no_time"
        NOT_FITTING = "not_fitting"
        TOO_HARD = "too_hard"
        DID_IT_BEFORE = "did_it_before"
        OTHER = "other"

    MOOD_LEAST, MOOD_MOST = 0, 10

    id = models.UUIDField(primary_key=True, editable=False)
    decision = models.ForeignKey(Decision, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=12, choices=Kind)
    at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)
    value = models.PositiveSmallIntegerField(
        null=True, help_text="Step number, helpfulness 1–5, mood 0–10, place among the others."
    )
    reason = models.CharField(max_length=20, choices=SkipReason, blank=True)

    objects = DecisionEventQuerySet.as_manager()

    class Meta:
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.kind} of {self.decision}"


class CareChoiceQuerySet(PersonalQuerySet):
    def in_force(self, at):
        return self.filter(made_at__lte=at).filter(Q(ended_at=None) | Q(ended_at__gt=at))


class CareChoice(models.Model):
    """What a clinician set for one person: it enters every decision as a gate."""

    class Kind(models.TextChoices):
        PIN = "pin", "offer this activity and no other"
        EXCLUDE = "exclude", "do not offer this activity"
        PAUSE = "pause", "offer no activity at all"
        CONTRA_INDICATION = "contra_indication", "this speaks against activities"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="care_choices")
    kind = models.CharField(max_length=20, choices=Kind)
    activity = models.ForeignKey(Activity, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    contra_indication = models.ForeignKey(
        ContraIndication, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = CareChoiceQuerySet.as_manager()

    class Meta:
        ordering = ["-made_at", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["pin", "exclude"], activity__isnull=False, contra_indication=None)
                | Q(kind="pause", activity=None, contra_indication=None)
                | Q(kind="contra_indication", activity=None, contra_indication__isnull=False),
                name="a_care_choice_names_what_it_is_about",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.activity or self.contra_indication or 'all'}"
