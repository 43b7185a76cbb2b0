import json
import uuid

from django.db import models
from django.utils import timezone

from mhealth.people.models import Participant
from mhealth.people.querysets import PersonalQuerySet
from mhealth.platform import media
from mhealth.platform.leases import Work, WorkQuerySet, WorkStatus


class Modality(models.TextChoices):
    FACE = "face"
    VOICE = "voice"
    TEXT = "text"


def modalities(kind: str) -> tuple[str, ...]:
    """What is read from a part of this kind; each is also a scope that the person must have agreed to."""
    if kind == Part.Kind.VIDEO:
        return Modality.FACE.value, Modality.VOICE.value
    return (kind,) if kind in Modality.values else ()


class Purpose(models.TextChoices):
    DAILY = "daily"
    CALIBRATION = "calibration"  # a neutral sentence read aloud: says how this voice usually sounds, and nothing else
    SUPERSEDED = "superseded"  # a calibration of a baseline that was given up since


class CheckInQuerySet(PersonalQuerySet, WorkQuerySet):
    def usable(self):
        """Finished check-ins that may teach weights and lead to decisions."""
        return self.filter(status=WorkStatus.DONE, late=False, purpose=Purpose.DAILY)


class CheckIn(Work):
    """What the phone sent once. The phone makes the id, so that it can repeat an upload safely."""

    id = models.UUIDField(primary_key=True, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="check_ins")
    recorded_at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)
    zone = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, editable=False)  # of everything the phone sent under this id
    clock_suspect = models.BooleanField(default=False)  # the phone's time lay in the future; recorded_at is ours
    late = models.BooleanField(default=False)  # older than 30 days: stored, but teaches and decides nothing
    context = models.JSONField(default=dict, blank=True)
    purpose = models.CharField(max_length=12, choices=Purpose, default=Purpose.DAILY)
    # Drawn when the check-in came in; the phone asks before it shows the estimate.
    prompt_asked = models.BooleanField(default=False)
    prompt_probability = models.FloatField(default=0)
    reason = models.CharField(max_length=40, blank=True)  # why nothing could be read
    fused = models.JSONField(null=True)

    objects = CheckInQuerySet.as_manager()

    class Meta(Work.Meta):
        verbose_name = "check-in"
        indexes = [*Work.Meta.indexes, models.Index(fields=["participant", "-recorded_at"])]

    def __str__(self) -> str:
        return f"check-in {str(self.pk)[:8]}"


class Part(models.Model):
    """One sealed piece of a check-in, until retention deletes it."""

    class Kind(models.TextChoices):
        FACE = "face"
        VOICE = "voice"
        VIDEO = "video"
        TEXT = "text"
        SELF_REPORT = "self_report"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    check_in = models.ForeignKey(CheckIn, on_delete=models.CASCADE, related_name="parts")
    kind = models.CharField(max_length=12, choices=Kind)
    media_type = models.CharField(max_length=40)
    name = models.CharField(max_length=32, editable=False)  # in the media store
    size = models.PositiveIntegerField()
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["check_in", "kind"], name="one_part_of_a_kind")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.check_in}"

    @property
    def place(self) -> str:
        """The associated data of the encryption."""
        return f"checkins_part/{self.pk}/content"

    def content(self) -> bytes:
        """Raises MediaGone, KeyDestroyed."""
        return self.check_in.participant.data_key.unseal(media.store().get(self.name), self.place)

    def delete_content(self) -> None:
        media.store().delete(self.name)
        self.deleted_at = timezone.now()
        Part.objects.filter(pk=self.pk).update(deleted_at=self.deleted_at)  # the row may be erased by now


class EstimateQuerySet(PersonalQuerySet):
    person = "check_in__participant"


class Estimate(models.Model):
    """What was read from one modality of a check-in, or why nothing could be read."""

    check_in = models.ForeignKey(CheckIn, on_delete=models.CASCADE, related_name="estimates")
    modality = models.CharField(max_length=8, choices=Modality)
    probabilities = models.JSONField(null=True)  # {emotion: probability}, against the person's baseline if there is one
    # As read without the person's baseline, where `probabilities` have one: trends are read from this, since a
    # baseline taken in a bad week would hide it.
    without_baseline = models.JSONField(null=True)
    valence = models.FloatField(null=True)
    arousal = models.FloatField(null=True)
    confidence = models.FloatField(null=True)
    quality = models.FloatField(null=True)
    abstained = models.BooleanField(default=False)
    weight = models.FloatField(null=True)
    model_version = models.CharField(max_length=80, blank=True)
    # Of a video: how many frames there were and were read, why the others were dropped, and each emotion's votes.
    frames = models.JSONField(null=True)
    reason = models.CharField(max_length=40, blank=True)  # a code: no_face, silent, no_model, consent_withdrawn …

    objects = EstimateQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["check_in", "modality"], name="one_estimate_per_modality")]

    def __str__(self) -> str:
        return f"{self.modality} of {self.check_in}"


class CorrectionQuerySet(PersonalQuerySet):
    person = "check_in__participant"


class Correction(models.Model):
    """The person's own word for what face and voice expressed. Changing it replaces it; weights are read anew."""

    check_in = models.OneToOneField(CheckIn, on_delete=models.CASCADE, related_name="correction")
    labels = models.JSONField()  # one or more of the seven emotions
    # The answer to the random prompt, given before the estimate was shown: a plain label. Otherwise it was
    # selected by what was shown, and weighs as that.
    prompted = models.BooleanField(default=False)
    given_at = models.DateTimeField(default=timezone.now)

    objects = CorrectionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"correction of {self.check_in}"


class ReliabilityQuerySet(PersonalQuerySet):
    pass


class PersonalReliability(models.Model):
    """How often each modality was right with this person, as a posterior (emotion.reliability)."""

    participant = models.OneToOneField(Participant, on_delete=models.CASCADE, related_name="reliability")
    state = models.JSONField()
    labels = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = ReliabilityQuerySet.as_manager()

    def __str__(self) -> str:
        return f"reliability of {self.participant}"


class CalibrationClipQuerySet(PersonalQuerySet):
    person = "check_in__participant"


class CalibrationClip(models.Model):
    """How one neutral sentence sounded: a few averages, sealed with the person's key. Five of them are a baseline."""

    check_in = models.OneToOneField(CheckIn, on_delete=models.CASCADE, related_name="calibration_clip")
    sealed = models.BinaryField()  # JSON, as emotion.voice.VoiceBaseline.to_json
    made_at = models.DateTimeField(default=timezone.now)

    objects = CalibrationClipQuerySet.as_manager()

    def __str__(self) -> str:
        return f"calibration clip of {self.check_in}"

    @property
    def place(self) -> str:
        """The associated data of the encryption."""
        return f"checkins_calibrationclip/{self.check_in_id}/sealed"


class DisparityReportQuerySet(PersonalQuerySet):
    person = "check_in__participant"


class DisparityReport(models.Model):
    """How far face and voice of a check-in lay apart, for clinicians. Not a diagnosis; it changes no risk level.

    Where and when is sealed with the person's key. The numbers beside it are what later reports are compared with.
    """

    check_in = models.OneToOneField(CheckIn, on_delete=models.CASCADE, related_name="disparity_report")
    score = models.FloatField()  # emotion.disparity.disagreement of the whole face and the whole voice, nats
    p_value = models.FloatField(null=True)  # conformal, moved to the person; None: no comparison for these models
    models_used = models.CharField(max_length=160)  # scores of other models are not comparable
    sealed = models.BinaryField()  # JSON: {"comparison": Comparison.to_json, "rewritten": sentences or null}
    made_at = models.DateTimeField(default=timezone.now)

    objects = DisparityReportQuerySet.as_manager()

    def __str__(self) -> str:
        return f"face and voice of {self.check_in}"

    @property
    def place(self) -> str:
        """The associated data of the encryption."""
        return f"checkins_disparityreport/{self.check_in_id}/sealed"

    def opened(self) -> dict:
        """Raises KeyDestroyed."""
        return json.loads(self.check_in.participant.data_key.unseal(self.sealed, self.place))

    def seal(self, content: dict) -> None:
        self.sealed = self.check_in.participant.data_key.seal(json.dumps(content).encode(), self.place)


class ExplanationQuerySet(PersonalQuerySet, WorkQuerySet):
    person = "check_in__participant"


class Explanation(Work):
    """Which places of a face and which moments of a voice the estimates rest on; asked for by a clinician.

    Numbers alone: no picture of the face and no sound outlives the media they were read from.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    check_in = models.OneToOneField(CheckIn, on_delete=models.CASCADE, related_name="explanation")
    reason = models.CharField(max_length=40, blank=True)
    sealed = models.BinaryField(null=True)  # JSON: {"face": …, "voice": …} as emotion.explain's to_json

    objects = ExplanationQuerySet.as_manager()

    class Meta(Work.Meta):
        pass

    def __str__(self) -> str:
        return f"explanation of {self.check_in}"

    @property
    def place(self) -> str:
        """The associated data of the encryption."""
        return f"checkins_explanation/{self.check_in_id}/sealed"

    def opened(self) -> dict:
        """Empty until it is done. Raises KeyDestroyed."""
        if self.sealed is None:
            return {}
        return json.loads(self.check_in.participant.data_key.unseal(self.sealed, self.place))
