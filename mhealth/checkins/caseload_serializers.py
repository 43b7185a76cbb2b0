"""What clinicians are told of the check-ins of their people, beside what the people see themselves."""

from rest_framework import serializers

from emotion.disparity.report import CAUTION
from mhealth.checkins import disparity, reasons
from mhealth.checkins.models import DisparityReport, Explanation
from mhealth.platform.leases import WorkStatus


class PassageSerializer(serializers.Serializer):
    """One stretch of the voice against the face. Seconds from the start of the recording."""

    start_s = serializers.FloatField()
    end_s = serializers.FloatField()
    face = serializers.CharField(help_text="The emotion that the face most probably expressed.")
    face_probability = serializers.FloatField()
    voice = serializers.CharField()
    voice_probability = serializers.FloatField()
    divergence_bits = serializers.FloatField(help_text="Jensen–Shannon divergence, [0, 1].")
    p_value = serializers.FloatField(
        allow_null=True, help_text="Conformal: how often face and voice differ as much where both mean the same."
    )
    alert = serializers.BooleanField(allow_null=True, help_text="p < .05; null where there is no comparison.")


class DisparityReportSerializer(serializers.Serializer):
    """Where face and voice of a check-in express different things. Not a diagnosis; it changes no risk level."""

    check_in = serializers.UUIDField(source="check_in_id")
    overall = PassageSerializer(help_text="The whole face against the whole voice: this says whether they differ.")
    passages = PassageSerializer(many=True)
    telling = PassageSerializer(many=True, help_text="The three most telling passages that do not overlap.")
    sentences = serializers.ListField(child=serializers.CharField())
    rewritten = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="The same as a language model of the operator's says it; sentences with other figures are dropped.",
    )
    caution = serializers.CharField()
    models_used = serializers.CharField()

    def to_representation(self, row: DisparityReport) -> dict:
        report, rewritten = disparity.told(row)
        told = {
            "check_in_id": row.check_in_id,
            "overall": report.passages[0],
            "passages": report.passages[1:],
            "telling": report.telling,
            "sentences": report.sentences,
            "rewritten": rewritten,
            "caution": CAUTION,
            "models_used": row.models_used,
        }
        return super().to_representation(told)


class FaceExplanationSerializer(serializers.Serializer):
    """Places of the face crop, row by row from the top left."""

    emotion = serializers.CharField()
    drops = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()),
        help_text="7 × 7: fall of the log-odds of the emotion, in nats, where that place is covered.",
    )


class VoiceExplanationSerializer(serializers.Serializer):
    """Moments and pitches of the speech."""

    emotion = serializers.CharField()
    window_drops = serializers.ListField(child=serializers.FloatField(), help_text="Of each stretch of time, nats.")
    starts_s = serializers.ListField(child=serializers.FloatField(), help_text="Edges of the stretches.")
    band_drops = serializers.ListField(child=serializers.FloatField(), help_text="Of each group of pitches, nats.")
    edges_hz = serializers.ListField(child=serializers.FloatField(), help_text="Edges of the groups.")


class ExplanationSerializer(serializers.ModelSerializer):
    """What the estimates of a check-in rest on; face and voice are null until it is done, or where it was not read."""

    check_in = serializers.UUIDField(source="check_in_id", read_only=True)
    status = serializers.ChoiceField(choices=WorkStatus.choices, read_only=True)
    face = FaceExplanationSerializer(allow_null=True, read_only=True)
    voice = VoiceExplanationSerializer(allow_null=True, read_only=True)
    advice = serializers.SerializerMethodField()

    class Meta:
        model = Explanation
        fields = ["check_in", "status", "reason", "advice", "face", "voice"]
        read_only_fields = fields

    def get_advice(self, row: Explanation) -> str:
        return reasons.advice(row.reason)

    def to_representation(self, row: Explanation) -> dict:
        found = row.opened()
        row.face, row.voice = found.get("face"), found.get("voice")
        return super().to_representation(row)
