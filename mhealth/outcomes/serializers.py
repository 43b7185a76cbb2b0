from rest_framework import serializers

from mhealth.outcomes import scoring
from mhealth.outcomes.models import Occasion, Response
from mhealth.platform.moments import ToldMoment

CHECKED = "False: these words could not be compared with the published form."


class OptionSerializer(serializers.Serializer):
    value = serializers.IntegerField()
    label = serializers.CharField()


class ItemSerializer(serializers.Serializer):
    number = serializers.IntegerField()
    text = serializers.CharField()
    checked = serializers.BooleanField(help_text=CHECKED)


class ShownInstrumentSerializer(serializers.Serializer):
    """An instrument as it is to be shown, unmodified, in one language."""

    slug = serializers.CharField()
    version = serializers.CharField()
    language = serializers.CharField()
    title = serializers.CharField()
    instructions = serializers.CharField()
    instructions_checked = serializers.BooleanField(help_text=CHECKED)
    items = ItemSerializer(many=True)
    options = OptionSerializer(many=True)
    minimum = serializers.IntegerField()
    maximum = serializers.IntegerField()
    validated = serializers.BooleanField(help_text="False: show that this translation is not validated.")
    source = serializers.CharField()
    licence = serializers.CharField()


class OccasionSerializer(serializers.ModelSerializer):
    instrument = serializers.CharField(source="version.instrument.slug")
    version = serializers.CharField(source="version.version")
    phase = serializers.ChoiceField(["due", "open", "coming"])
    answered = serializers.BooleanField()

    class Meta:
        model = Occasion
        fields = [
            "id",
            "name",
            "number",
            "instrument",
            "version",
            "phase",
            "answered",
            "opens_at",
            "due_at",
            "closes_at",
        ]


class QuestionnairesSerializer(serializers.Serializer):
    occasions = OccasionSerializer(many=True)
    instruments = ShownInstrumentSerializer(many=True)


class AnswersSerializer(serializers.Serializer):
    answers = serializers.ListField(
        child=serializers.IntegerField(allow_null=True),
        max_length=200,
        help_text="One per item, in item order; null where there is no answer.",
    )
    answered_at = ToldMoment()
    language = serializers.RegexField(r"^[a-z]{2}$", required=False, help_text="The language it was shown in.")

    def validate_answers(self, answers: list[int | None]) -> list[int | None]:
        try:
            scoring.check(self.context["occasion"].version.rules, answers)
        except scoring.InvalidAnswers as invalid:
            if invalid.item is None:
                raise serializers.ValidationError(str(invalid)) from invalid
            raise serializers.ValidationError({invalid.item - 1: [str(invalid)]}) from invalid
        return answers


class ScaleScoreSerializer(serializers.Serializer):
    scale = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    band = serializers.CharField(allow_blank=True)
    n_missing = serializers.IntegerField()
    prorated = serializers.BooleanField()


class ResponseSerializer(serializers.ModelSerializer):
    detail = serializers.CharField(source="sentence", help_text="For people: what became of the answers.")
    scores = ScaleScoreSerializer(many=True, required=False, help_text="Only if the study shows scores.")

    class Meta:
        model = Response
        fields = [
            "id",
            "occasion",
            "answered_at",
            "received_at",
            "in_window",
            "why_out",
            "language",
            "detail",
            "scores",
        ]

    def to_representation(self, response: Response) -> dict:
        shown = super().to_representation(response)
        if not response.participant.study.settings.get("show_scores", False):
            shown.pop("scores")
        return shown
