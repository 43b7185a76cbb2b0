import json
import uuid
from zoneinfo import available_timezones

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from emotion.estimate import EMOTIONS
from mhealth.checkins import intake, reasons
from mhealth.checkins.models import CheckIn, Correction, Estimate, Purpose
from mhealth.platform.moments import ToldMoment

TEXT_MAX_CHARACTERS = 5_000
PROMPT_QUESTION = "What did your face and voice express?"


BATCH_MOST = 50


def strict_json(text: str):
    """Parse what every database can keep: no NaN, no infinity, no NUL, no half characters. Raises ValidationError."""
    try:
        value = json.loads(text)
        kept = json.dumps(value, allow_nan=False, ensure_ascii=False)
        kept.encode()
    except (ValueError, RecursionError) as problem:
        raise serializers.ValidationError("This must be plain JSON.", code="invalid") from problem
    if "\\u0000" in kept:
        raise serializers.ValidationError("This must be plain JSON.", code="invalid")
    return value


class JsonField(serializers.CharField):
    """A JSON object in a form field, or as it is inside of a batch."""

    def to_internal_value(self, data):
        value = data if isinstance(data, dict) else strict_json(super().to_internal_value(data))
        if not isinstance(value, dict):
            raise serializers.ValidationError("This must be a JSON object.", code="invalid")
        return value


class PhoneId(serializers.UUIDField):
    """A UUID in text: the number 7 would be one too, and no phone means it."""

    def to_internal_value(self, data):
        if not isinstance(data, str | uuid.UUID):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class CheckInUpload(serializers.Serializer):
    """One check-in, whole: at least one of face, voice, video, text and self_report."""

    id = PhoneId(help_text="Made by the phone; repeat it to repeat the upload.")
    recorded_at = ToldMoment(help_text="When it was recorded, UTC.")
    zone = serializers.CharField(max_length=64, help_text="The phone's IANA time zone at that moment.")
    face = serializers.FileField(required=False, help_text="JPEG, PNG or WebP, up to 10 MB and 25 megapixels.")
    voice = serializers.FileField(required=False, help_text="WAV, FLAC or Ogg-Opus, up to 20 MB and 60 s.")
    video = serializers.FileField(
        required=False,
        help_text="MP4, QuickTime or WebM, up to 30 MB and 60 s, where the server reads videos. It brings face and "
        "voice and needs the consent for both: send neither of them beside it.",
    )
    text = serializers.CharField(required=False, max_length=TEXT_MAX_CHARACTERS)
    self_report = JsonField(required=False, help_text='A JSON object, for example {"mood": 3}.')
    context = JsonField(required=False, help_text="A JSON object without personal words: place kind, activity.")

    purpose = serializers.ChoiceField(
        choices=[Purpose.DAILY, Purpose.CALIBRATION],
        default=Purpose.DAILY,
        help_text="calibration: a neutral sentence read aloud, one recording and nothing else. It goes into the voice "
        "baseline alone: nothing is estimated from it, and no activity follows.",
    )

    def validate_zone(self, zone: str) -> str:
        if zone not in available_timezones():
            raise serializers.ValidationError("This is not an IANA time zone.", code="invalid")
        return zone

    def validate(self, values):
        if "video" in values and {"face", "voice"} & set(values):
            raise serializers.ValidationError(
                {"video": "A video brings the face and the voice: send neither of them beside it."}, code="invalid"
            )
        parts = [
            *([intake.photo(values["face"].read())] if "face" in values else []),
            *([intake.voice(values["voice"].read())] if "voice" in values else []),
            *([intake.video(values["video"].read())] if "video" in values else []),
            *([intake.words("text", values["text"])] if "text" in values else []),
            *([intake.words("self_report", json.dumps(values["self_report"]))] if "self_report" in values else []),
        ]
        if not parts:
            raise serializers.ValidationError(
                {"face": "Send at least one of face, voice, text and self_report."}, code="required"
            )
        if values["purpose"] == Purpose.CALIBRATION and [part.kind for part in parts] != ["voice"]:
            raise serializers.ValidationError({"voice": "A calibration is one recording of the voice."}, code="invalid")
        return values | {"parts": parts}


class BatchUpload(serializers.Serializer):
    """Offline check-ins. The photo of item `<id>` is the file `<id>.face`; likewise `.voice` and `.video`."""

    items = serializers.CharField(
        max_length=500_000, help_text="A JSON list of up to 50 objects with the fields of a check-in."
    )

    def validate_items(self, text: str) -> list[dict]:
        items = strict_json(text)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise serializers.ValidationError("This must be a JSON list of objects.")
        if len(items) > BATCH_MOST:
            raise serializers.ValidationError(f"Send at most {BATCH_MOST} check-ins at once.")
        return items


class FramesSerializer(serializers.Serializer):
    """One frame a second; the probabilities of the estimate are the mean over those that were read."""

    frames = serializers.IntegerField()
    frames_read = serializers.IntegerField(help_text="That showed one readable face.")
    dropped = serializers.DictField(
        child=serializers.IntegerField(), help_text="Why the others were not: reason codes."
    )
    votes = serializers.DictField(child=serializers.IntegerField(), help_text="Most probable emotion of each frame.")
    majority = serializers.ChoiceField(choices=EMOTIONS, help_text="The emotion with most votes.")


class EstimateSerializer(serializers.ModelSerializer):
    """What was read from one modality, or why nothing was."""

    probabilities = serializers.DictField(child=serializers.FloatField(), allow_null=True)
    without_baseline = serializers.DictField(
        child=serializers.FloatField(),
        allow_null=True,
        help_text="The probabilities without the person's voice baseline, for trends; null where none was used.",
    )
    frames = FramesSerializer(allow_null=True, read_only=True, help_text="Of the face in a video; else null.")
    advice = serializers.SerializerMethodField()

    class Meta:
        model = Estimate
        fields = [
            "modality",
            "probabilities",
            "without_baseline",
            "valence",
            "arousal",
            "confidence",
            "quality",
            "weight",
            "abstained",
            "model_version",
            "frames",
            "reason",
            "advice",
        ]

    def get_advice(self, estimate: Estimate) -> str:
        return reasons.advice(estimate.reason)


class WithoutBaseline(serializers.Serializer):
    """The fused estimate as it would be without the person's voice baseline."""

    probabilities = serializers.DictField(child=serializers.FloatField())
    valence = serializers.FloatField()
    arousal = serializers.FloatField()


class FusedSerializer(serializers.Serializer):
    probabilities = serializers.DictField(child=serializers.FloatField())
    valence = serializers.FloatField(help_text="[-1, 1], derived from the distribution")
    arousal = serializers.FloatField(help_text="[-1, 1], derived from the distribution")
    confidence = serializers.FloatField()
    abstained = serializers.BooleanField(help_text="Too unsure to show a label.")
    weights = serializers.DictField(child=serializers.FloatField())
    contributions = serializers.DictField(
        child=serializers.FloatField(),
        help_text="Shapley values: what each modality added to the log-odds of the winner, in nats.",
    )
    best_modality = serializers.CharField(allow_null=True)
    probability_best = serializers.FloatField(allow_null=True)
    disparity = serializers.FloatField(allow_null=True, help_text="Jensen–Shannon divergence of face and voice, bits.")
    without_baseline = WithoutBaseline(
        allow_null=True, required=False, help_text="For trends; null where no voice baseline was used."
    )


class CheckInSerializer(serializers.ModelSerializer):
    """A check-in and what was read from it. Estimates are of the expressed emotion, not of what a person feels."""

    estimates = EstimateSerializer(many=True, read_only=True)
    fused = serializers.SerializerMethodField()
    correction = serializers.SerializerMethodField()
    advice = serializers.SerializerMethodField()
    prompt_asked = serializers.BooleanField(
        read_only=True, help_text="Drawn at random: put prompt_question to the person before the estimate is shown."
    )
    prompt_probability = serializers.FloatField(read_only=True, help_text="With which that was drawn.")
    prompt_question = serializers.SerializerMethodField()

    class Meta:
        model = CheckIn
        fields = [
            "id",
            "purpose",
            "status",
            "reason",
            "advice",
            "recorded_at",
            "received_at",
            "zone",
            "clock_suspect",
            "late",
            "prompt_asked",
            "prompt_probability",
            "prompt_question",
            "fused",
            "estimates",
            "correction",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_prompt_question(self, check_in: CheckIn) -> str | None:
        """What to ask, as long as it was not answered; of what was expressed, not of what was felt."""
        return PROMPT_QUESTION if check_in.prompt_asked and not hasattr(check_in, "correction") else None

    @extend_schema_field(FusedSerializer(allow_null=True))
    def get_fused(self, check_in: CheckIn):
        return check_in.fused

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=EMOTIONS), allow_null=True))
    def get_correction(self, check_in: CheckIn):
        correction = getattr(check_in, "correction", None)
        return correction and correction.labels

    def get_advice(self, check_in: CheckIn) -> str:
        return reasons.advice(check_in.reason)


class VoiceBaselineSerializer(serializers.Serializer):
    """How far my voice baseline is. Complete, it is frozen until I start it anew."""

    clips = serializers.IntegerField(help_text="Calibration check-ins that could be used.")
    clips_needed = serializers.IntegerField()
    complete = serializers.BooleanField(help_text="My voice is read against it.")
    completed_at = serializers.DateTimeField(allow_null=True)


class CorrectionSerializer(serializers.ModelSerializer):
    """My own word for what my face and voice expressed."""

    labels = serializers.ListField(child=serializers.ChoiceField(choices=EMOTIONS), min_length=1, max_length=3)

    prompted = serializers.BooleanField(
        required=False,
        help_text="True: the answer to the random prompt, given before the estimate was shown. False: said unasked, "
        "or after it. Left out: as drawn.",
    )

    class Meta:
        model = Correction
        fields = ["labels", "prompted", "given_at"]
        read_only_fields = ["given_at"]


class BatchResult(serializers.Serializer):
    id = serializers.CharField(allow_null=True)
    status = serializers.IntegerField(help_text="As if the item had been sent alone: 201, 200, 409, 413, 415, 422 …")
    check_in = CheckInSerializer(allow_null=True)
    problem = serializers.DictField(allow_null=True)


class BatchAnswer(serializers.Serializer):
    results = BatchResult(many=True)
