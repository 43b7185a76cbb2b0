import hashlib
import json
import secrets
from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from mhealth.people.models import Participant, Study
from mhealth.platform.models import DataKey
from mhealth.trials import eligibility, randomisation
from mhealth.trials.querysets import ArmQuerySet, TrialQuerySet

FACTORS = ("site", "severity", "sex")
SCALES = ("depression", "anxiety", "stress")


class Policy(models.TextChoices):
    PERSONALISED = "personalised", "personalised"
    FIXED_SEQUENCE = "fixed_sequence", "fixed sequence"
    WAITING_LIST = "waiting_list", "waiting list"
    USUAL_CARE = "usual_care", "usual care"


MASKABLE = {Policy.PERSONALISED, Policy.FIXED_SEQUENCE}  # the others show in what a person is offered


def sealed_sentence(fields: Iterable[str], *others: str) -> str:
    """fields: of a trial, by name; others: what else was meant to change, in words."""
    labels = [str(Trial._meta.get_field(name).verbose_name) for name in fields]
    what = ", ".join([*labels, *others])
    return f"The allocation list is sealed, and with it the design is frozen: {what} cannot change any more."


def four_and_six() -> list[int]:
    return [4, 6]


class Trial(models.Model):
    class Status(models.TextChoices):
        DRAFT = "draft"
        READY = "ready", "ready (list sealed)"
        RUNNING = "running"
        CLOSED = "closed"

    # Fixed once the list is sealed: what it was derived from, who may enter, and what is asked when.
    DESIGN_FIELDS = ("study", "slug", "stratify_by", "severity_scale", "severity_cuts", "block_sizes")
    DESIGN_FIELDS += ("slots_per_stratum", "eligibility", "baseline_instrument", "schedule", "instrument_versions")

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="trials")
    slug = models.SlugField("short name", unique=True, help_text="In addresses, commands and file names.")
    title = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT, editable=False)
    paused = models.BooleanField(
        "enrolment paused", default=False, editable=False, help_text="A stratum ran out of slots."
    )
    stratify_by = models.JSONField("strata by", default=list, blank=True, help_text='Any of "site", "severity", "sex".')
    severity_scale = models.CharField(
        "severity by the scale", max_length=10, choices=[(s, s) for s in SCALES], default="depression"
    )
    severity_cuts = models.JSONField(
        "cuts on that scale",
        default=list,
        blank=True,
        help_text="One or two doubled scores; each is the lowest of the group above it.",
    )
    block_sizes = models.JSONField(default=four_and_six, help_text="Multiples of the sum of the arms' shares.")
    slots_per_stratum = models.PositiveIntegerField("slots in each stratum", default=100)
    expected_people = models.PositiveIntegerField("people expected", null=True, blank=True)
    recruitment_weeks = models.PositiveSmallIntegerField(
        "weeks of recruitment",
        null=True,
        blank=True,
        help_text="Weeks from the start in which the expected people are to be randomised.",
    )
    eligibility = models.JSONField(
        "who may take part", default=list, blank=True, help_text='[{"fact": "age", "at_least": 18}, …]'
    )
    schedule = models.JSONField("questionnaires", default=list, blank=True, help_text="See docs/trials.md.")
    baseline_instrument = models.SlugField("baseline questionnaire", default="dass21")
    instrument_versions = models.JSONField(
        "versions of the questionnaires",
        default=dict,
        editable=False,
        help_text="Of each questionnaire the version of the day the list was sealed.",
    )
    analysis_plan = models.TextField(blank=True)
    plan_locked_at = models.DateTimeField("analysis plan locked", null=True, editable=False)
    unblinding_planned_on = models.DateField("people are told their arm on", null=True, blank=True)
    key = models.OneToOneField(DataKey, on_delete=models.PROTECT, null=True, editable=False)
    sealed_seed = models.BinaryField(null=True, editable=False)
    recipe = models.CharField(max_length=60, blank=True, editable=False)
    commitment = models.CharField(
        "commitment to the list",
        max_length=64,
        blank=True,
        editable=False,
        help_text="Its HMAC, which is in the audit too.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)
    unblinded_at = models.DateTimeField(null=True, editable=False)

    objects = TrialQuerySet.as_manager()

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        before = Trial.objects.filter(pk=self.pk).first()
        if before and before.plan_locked_at and before.analysis_plan != self.analysis_plan:
            raise ValidationError({"analysis_plan": "The analysis plan is locked."})
        if before and before.status != self.Status.DRAFT:
            changed = [name for name in self.DESIGN_FIELDS if getattr(before, name) != getattr(self, name)]
            if changed:
                raise ValidationError(sealed_sentence(changed))
        if unknown := set(self.stratify_by) - set(FACTORS):
            raise ValidationError({"stratify_by": f"Unknown: {', '.join(sorted(unknown))}."})
        if len(self.severity_cuts) > 2 or sorted(set(self.severity_cuts)) != self.severity_cuts:
            raise ValidationError({"severity_cuts": "One or two ascending scores."})
        if wrong := eligibility.faults(self.eligibility):
            raise ValidationError({"eligibility": wrong})

    @property
    def open_label(self) -> bool:
        """Whether people can tell their arm by what they get; masking needs the two policies that look alike."""
        return not {arm.policy for arm in self.arms.all()} <= MASKABLE

    @property
    def masked(self) -> bool:
        return not self.open_label and self.unblinded_at is None

    @property
    def sealed(self) -> bool:
        return self.status != self.Status.DRAFT

    def version_of(self, instrument: str) -> str:
        """Of a questionnaire, since the list was sealed; before that empty, for the newest."""
        return self.instrument_versions.get(instrument, "")

    @property
    def plan_digest(self) -> str:
        return hashlib.sha256(self.analysis_plan.encode()).hexdigest()

    @property
    def severity_groups(self) -> tuple[str, ...]:
        cuts = self.severity_cuts
        return tuple(dict.fromkeys(randomisation.severity_group(s, cuts) for s in [float("-inf"), *cuts]))

    @property
    def strata(self) -> tuple[str, ...]:
        levels = {"site": self.study.sites, "severity": self.severity_groups, "sex": Participant.Sex.values}
        return randomisation.strata_of([levels[factor] for factor in FACTORS if factor in self.stratify_by])

    @property
    def design(self) -> randomisation.Design:
        """Raises BadDesign."""
        return randomisation.Design(
            ratio=tuple(arm.share for arm in self.ordered_arms()),
            block_sizes=tuple(self.block_sizes),
            strata=self.strata,
            slots_per_stratum=self.slots_per_stratum,
        )

    def stratum_of(self, participant: Participant, scores: dict[str, float]) -> str:
        """scores: doubled DASS-21 scores by scale. Someone who named no sex is in the group "other"."""
        level = {
            "site": participant.site,
            "severity": randomisation.severity_group(scores[self.severity_scale], self.severity_cuts),
            "sex": participant.sex or Participant.Sex.OTHER,
        }
        return "|".join(level[factor] for factor in FACTORS if factor in self.stratify_by) or "all"

    def ordered_arms(self) -> list["Arm"]:
        return sorted(self.arms.all(), key=lambda arm: arm.position)

    def new_seed(self) -> int:
        """Draw the seed and keep it sealed under a key of this trial alone."""
        self.key = DataKey.make()
        seed = secrets.token_bytes(16)
        self.sealed_seed = self.key.seal(seed, self._seed_context)
        return int.from_bytes(seed, "big")

    def seed(self) -> int:
        return int.from_bytes(self.key.unseal(self.sealed_seed, self._seed_context), "big")

    def labels(self) -> dict[int, str]:
        """Masked letter by arm id: what analysts see before unblinding."""
        arms = self.ordered_arms()
        letters = randomisation.masked_labels(self.seed(), len(arms))
        return {arm.pk: letter for arm, letter in zip(arms, letters, strict=True)}

    def commitment_to(self, allocation_list: dict[str, tuple[int, ...]]) -> str:
        """Binds us to the list without telling it: an HMAC under the trial's key."""
        arms = [(arm.position, arm.name, arm.policy, arm.share) for arm in self.ordered_arms()]
        message = json.dumps([self.recipe, arms, sorted(allocation_list.items())], separators=(",", ":"))
        return self.key.mac(message.encode(), f"trials_trial/{self.pk}/commitment").hex()

    @property
    def _seed_context(self) -> str:
        return f"trials_trial/{self.slug}/sealed_seed"


class Arm(models.Model):
    """What a group gets, by the name of a policy. Its masked letter is derived from the sealed seed."""

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="arms")
    position = models.PositiveSmallIntegerField("order")
    name = models.CharField(max_length=100)
    policy = models.CharField(max_length=20, choices=Policy)
    share = models.PositiveSmallIntegerField(default=1, help_text="People in the smallest balanced block.")
    cross_over_day = models.PositiveSmallIntegerField(
        "cross-over day",
        null=True,
        blank=True,
        help_text="Waiting list: the day after allocation on which the person gets everything.",
    )

    objects = ArmQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["trial", "position"], name="one_arm_per_position")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.trial_id and self.trial.status != Trial.Status.DRAFT:
            raise ValidationError("The allocation list is sealed: arms cannot change any more.")
        if (self.policy == Policy.WAITING_LIST) != (self.cross_over_day is not None):
            raise ValidationError({"cross_over_day": "A waiting list needs a cross-over day; other arms have none."})

    def policy_on(self, day: int) -> str | None:
        """The decision policy on a day since allocation; none where people are offered nothing yet."""
        if self.policy in MASKABLE:
            return self.policy
        crossed = self.policy == Policy.WAITING_LIST and day >= self.cross_over_day
        return Policy.PERSONALISED.value if crossed else None
