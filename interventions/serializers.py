from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from interventions import reasons
from interventions.models import Decision, DecisionEvent, ReasonTexts, Version
from interventions.validation import State
from mhealth.platform import languages
from mhealth.platform.leases import WorkStatus
from mhealth.platform.moments import ToldMoment
from mhealth.safety.serializers import CrisisCardSerializer


class ActivitySerializer(serializers.ModelSerializer):
    """One published text of an activity."""

    key = serializers.CharField(source="activity.key", help_text="The same in every language and version.")
    version = serializers.IntegerField(source="number")
    technique = serializers.CharField(source="activity.technique")
    minutes = serializers.IntegerField(source="activity.minutes")
    effort = serializers.IntegerField(source="activity.effort", help_text="1 (light) to 5 (demanding)")
    arousal_direction = serializers.CharField(source="activity.arousal_direction")
    steps = serializers.ListField(child=serializers.CharField())
    evidence = serializers.CharField(source="activity.evidence.reference")
    licence = serializers.CharField(source="activity.licence")

    class Meta:
        model = Version
        fields = [
            "key",
            "version",
            "language",
            "title",
            "summary",
            "steps",
            "technique",
            "minutes",
            "effort",
            "arousal_direction",
            "for_whom",
            "not_for_whom",
            "when_it_does_not_help",
            "evidence",
            "licence",
        ]


class RecommendationSerializer(serializers.ModelSerializer):
    """The present decision. Its keys are the same whatever was decided and for whatever reason."""

    moment = serializers.CharField(source="kind", help_text="check_in, asked or scheduled")
    activity = serializers.SerializerMethodField(help_text="null: nothing now, or not decided yet.")
    reasons = serializers.SerializerMethodField()
    note = serializers.SerializerMethodField(help_text="What an estimate can and cannot say.")
    withdrawn = serializers.SerializerMethodField(help_text="The activity was taken out of use: drop it.")
    crisis_card = serializers.SerializerMethodField(help_text="Shown first, while it is there.")

    class Meta:
        model = Decision
        fields = [
            "id",
            "status",
            "moment",
            "check_in",
            "created_at",
            "decided_at",
            "activity",
            "reasons",
            "note",
            "withdrawn",
            "crisis_card",
        ]

    def _shown(self, decision: Decision) -> bool:
        """Of what was offered, only what may still be offered in the present state."""
        version = decision.version
        if version is None or version.state == State.SUSPENDED:
            return False
        return version.activity.grounding or self.context["card"] is None

    @extend_schema_field(ActivitySerializer(allow_null=True))
    def get_activity(self, decision: Decision) -> dict | None:
        return ActivitySerializer(decision.version).data if self._shown(decision) else None

    def get_reasons(self, decision: Decision) -> list[str]:
        texts = self.context["texts"]
        if decision.status != WorkStatus.DONE or texts is None or decision.sealed_record is None:
            return []
        if decision.version and not self._shown(decision):
            return []
        said = decision.record["reasons"]
        shown = said["shared"] if self.context["masked"] else [*said["shared"], *said["open"]]
        return reasons.render(shown, texts, decision.version)

    def get_note(self, decision: Decision) -> str:
        texts = self.context["texts"]
        return texts.sentences["shared"]["expressed_not_felt"] if texts else ""

    def get_withdrawn(self, decision: Decision) -> bool:
        return bool(decision.version and decision.version.state == State.SUSPENDED)

    @extend_schema_field(CrisisCardSerializer(allow_null=True))
    def get_crisis_card(self, decision: Decision) -> dict | None:
        return self.context["card"] and CrisisCardSerializer(self.context["card"]).data


class OtherSerializer(serializers.Serializer):
    """An activity that may be taken instead of the one decided."""

    place = serializers.IntegerField(help_text="Send it as the value of an event `other_chosen`.")
    activity = ActivitySerializer()


class EventSerializer(serializers.ModelSerializer):
    """What a person did with a decision. Repeat it with the same id as often as needed."""

    id = serializers.UUIDField(help_text="Made by the phone.")
    kind = serializers.ChoiceField([kind for kind in DecisionEvent.Kind.choices if kind[0] != "others_shown"])
    at = ToldMoment()
    value = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        help_text="step: its number; rated: 1–5; mood: 0–10; other_chosen: its place.",
    )
    reason = serializers.ChoiceField(
        DecisionEvent.SkipReason.choices, required=False, allow_blank=True, default="", help_text="Of skipped."
    )

    class Meta:
        model = DecisionEvent
        fields = ["id", "kind", "at", "value", "reason"]

    RANGES = {
        "step": (1, 50),
        "rated": (1, 5),
        "mood_before": (0, 10),
        "mood_after": (0, 10),
        "other_chosen": (1, Decision.OTHERS_MOST),
    }

    def validate(self, sent: dict) -> dict:
        low, high = self.RANGES.get(sent["kind"], (None, None))
        if low is None and sent["value"] is not None:
            raise serializers.ValidationError({"value": f"{sent['kind']} has no value."})
        if low is not None and (sent["value"] is None or not low <= sent["value"] <= high):
            raise serializers.ValidationError({"value": f"{sent['kind']} needs a value from {low} to {high}."})
        if sent["kind"] == DecisionEvent.Kind.OTHER_CHOSEN and sent["value"] not in self.context["places_shown"]():
            raise serializers.ValidationError({"value": "No other activity was shown at this place."})
        if bool(sent["reason"]) != (sent["kind"] == DecisionEvent.Kind.SKIPPED):
            raise serializers.ValidationError({"reason": "skipped needs a reason, and only skipped has one."})
        return sent


def texts_in(wanted: list[str]) -> ReasonTexts | None:
    """The reason sentences in the first wanted language there is."""
    rows = {row.language: row for row in ReasonTexts.objects.all()}
    return rows.get(languages.choose(wanted, rows))
