from rest_framework import serializers

from mhealth.safety.models import RiskEvent, RiskMove, Severity, State


class RiskMoveSerializer(serializers.ModelSerializer):
    by = serializers.UUIDField(source="by_id")
    note = serializers.CharField()

    class Meta:
        model = RiskMove
        fields = ["to_state", "by", "at", "note"]


class RiskEventSerializer(serializers.ModelSerializer):
    is_red = serializers.BooleanField(help_text="True until a human has closed it.")
    is_overdue = serializers.BooleanField()
    allowed_moves = serializers.ListField(child=serializers.ChoiceField(State.choices))

    class Meta:
        model = RiskEvent
        fields = [
            "id",
            "participant",
            "severity",
            "rule",
            "source",
            "evidence",
            "state",
            "is_red",
            "is_overdue",
            "allowed_moves",
            "opened_at",
            "act_by",
            "repeats",
            "last_at",
            "closed_at",
        ]


class RiskEventDetailSerializer(RiskEventSerializer):
    moves = RiskMoveSerializer(many=True)

    class Meta(RiskEventSerializer.Meta):
        fields = [*RiskEventSerializer.Meta.fields, "moves"]


class NewRiskEventSerializer(serializers.Serializer):
    participant = serializers.UUIDField()
    severity = serializers.ChoiceField(Severity.choices)
    note = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)


class NoteSerializer(serializers.Serializer):
    note = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)


class CrisisResourceSerializer(serializers.Serializer):
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    phone = serializers.CharField(allow_blank=True)
    text = serializers.CharField(allow_blank=True)
    url = serializers.CharField(allow_blank=True)
    hours = serializers.CharField(allow_blank=True)
    emergency = serializers.BooleanField()
    country = serializers.CharField(allow_blank=True)
    language = serializers.CharField()


class CrisisCardSerializer(serializers.Serializer):
    country = serializers.CharField(allow_blank=True, help_text="Empty: none of the country, what applies anywhere.")
    language = serializers.CharField()
    notice = serializers.CharField(help_text="Show it with the card: nobody is watching live.")
    resources = CrisisResourceSerializer(many=True)


class CardOfSerializer(serializers.Serializer):
    country = serializers.RegexField(r"^[A-Za-z]{2}$", required=False, help_text="ISO 3166; else my profile's.")
    language = serializers.RegexField(r"^[A-Za-z]{2}(-.+)?$", required=False, help_text="Else Accept-Language.")
