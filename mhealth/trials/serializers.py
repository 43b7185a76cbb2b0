from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from mhealth.people.models import Participant
from mhealth.platform.moments import ToldMoment
from mhealth.trials import checks
from mhealth.trials.models import (
    AdverseEvent,
    Arm,
    Deviation,
    Enrolment,
    Screening,
    Trial,
    UnblindingRequest,
    Withdrawal,
)
from mhealth.trials.services.screening import MOST_PEOPLE

WORDS_LIMIT = 4000  # characters


class ArmSerializer(serializers.ModelSerializer):
    class Meta:
        model = Arm
        fields = ["name", "policy", "share"]


class FindingSerializer(serializers.Serializer):
    must = serializers.BooleanField(help_text="The list cannot be sealed before this is right.")
    text = serializers.CharField()


class TrialSerializer(serializers.ModelSerializer):
    """Block sizes are left out: who enrols and knows them could guess the end of a block."""

    arms = ArmSerializer(many=True, source="ordered_arms")
    people = serializers.SerializerMethodField(help_text="People by status of their enrolment.")
    setup = serializers.SerializerMethodField()

    class Meta:
        model = Trial
        fields = [
            "slug",
            "title",
            "status",
            "paused",
            "open_label",
            "unblinded_at",
            "unblinding_planned_on",
            "plan_locked_at",
            "stratify_by",
            "expected_people",
            "arms",
            "people",
            "setup",
        ]

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_people(self, trial: Trial) -> dict[str, int]:
        return trial.enrolments.counts()

    @extend_schema_field(FindingSerializer(many=True))
    def get_setup(self, trial: Trial) -> list[dict]:
        return FindingSerializer(checks.findings(trial), many=True).data


class EnrolmentSerializer(serializers.ModelSerializer):
    """The same for every arm, in keys and in size."""

    participant = serializers.UUIDField(source="participant_id")
    day = serializers.SerializerMethodField(help_text="Days since allocation; day 0 is the day of allocation.")

    class Meta:
        model = Enrolment
        fields = ["id", "participant", "status", "enrolled_at", "allocated_at", "day"]

    def get_day(self, enrolment: Enrolment) -> int | None:
        return enrolment.day()


class PersonOfMyStudies(serializers.UUIDField):
    """The id of a person, read as the person."""

    def to_internal_value(self, data: object) -> Participant:
        mine = Participant.objects.managed_by(self.context["request"].user)
        participant = mine.filter(pk=super().to_internal_value(data)).first()
        if participant is None:
            raise serializers.ValidationError("There is no such person in your studies.")
        return participant

    def to_representation(self, value: Participant) -> str:
        return super().to_representation(value.pk)


class CandidateSerializer(serializers.Serializer):
    participant = PersonOfMyStudies()


class ScreeningSerializer(serializers.ModelSerializer):
    """Somebody who was assessed and does not enter; without a participant, people whom the service does not know."""

    participant = PersonOfMyStudies(required=False, allow_null=True, default=None)
    people = serializers.IntegerField(min_value=1, max_value=MOST_PEOPLE, default=1)
    assessed_at = ToldMoment(required=False)
    unmet = serializers.ListField(child=serializers.CharField(), read_only=True, help_text="Criteria not met.")

    class Meta:
        model = Screening
        fields = ["id", "participant", "reason", "unmet", "people", "assessed_at"]

    def validate(self, sent: dict) -> dict:
        if sent["participant"] and sent["people"] != 1:
            raise serializers.ValidationError({"people": "A named person is one person."})
        return sent


class WithdrawalSerializer(serializers.ModelSerializer):
    kind = serializers.ChoiceField(choices=Withdrawal.Kind.choices)
    words = serializers.CharField(max_length=WORDS_LIMIT, required=False, allow_blank=True)

    class Meta:
        model = Withdrawal
        fields = ["kind", "words", "recorded_at"]
        read_only_fields = ["recorded_at"]


class EnrolmentChoice(serializers.PrimaryKeyRelatedField):
    """One of the enrolments that the view lets the caller see."""

    def __init__(self, **options) -> None:
        super().__init__(**({"queryset": Enrolment.objects.none()} | options))

    def get_queryset(self):
        return self.context.get("enrolments", super().get_queryset())


class NoteSerializer(serializers.ModelSerializer):
    enrolment = EnrolmentChoice()
    happened_at = ToldMoment()
    words = serializers.CharField(max_length=WORDS_LIMIT, allow_blank=True)


class AdverseEventSerializer(NoteSerializer):
    class Meta:
        model = AdverseEvent
        fields = ["id", "enrolment", "happened_at", "severity", "serious", "related", "words", "recorded_at"]
        read_only_fields = ["recorded_at"]


class DeviationSerializer(NoteSerializer):
    class Meta:
        model = Deviation
        fields = ["id", "enrolment", "happened_at", "kind", "major", "words", "recorded_at"]
        read_only_fields = ["recorded_at"]


class UnblindingRequestSerializer(serializers.ModelSerializer):
    """Without an enrolment it asks for the whole trial, after it was closed and its plan locked."""

    enrolment = EnrolmentChoice(required=False, allow_null=True, default=None)
    reason = serializers.CharField(max_length=WORDS_LIMIT)
    asked_by = serializers.UUIDField(source="asked_by_id", read_only=True)
    decided_by = serializers.UUIDField(source="decided_by_id", read_only=True, allow_null=True)

    class Meta:
        model = UnblindingRequest
        fields = ["id", "enrolment", "reason", "status", "asked_by", "asked_at", "decided_by", "decided_at"]
        read_only_fields = ["status", "asked_at", "decided_at"]


class UnblindedSerializer(UnblindingRequestSerializer):
    arm = serializers.CharField(read_only=True, allow_null=True, help_text="Told to the one who asked, once approved.")

    class Meta(UnblindingRequestSerializer.Meta):
        fields = [*UnblindingRequestSerializer.Meta.fields, "arm"]


class DecisionOnUnblindingSerializer(serializers.Serializer):
    approve = serializers.BooleanField()


class MyTrialSerializer(serializers.ModelSerializer):
    """What a participant may know of their own trial: never the group while it is masked."""

    trial = serializers.CharField(source="trial.slug")
    title = serializers.CharField(source="trial.title")
    day = serializers.SerializerMethodField()
    group_will_be_told_on = serializers.DateField(source="trial.unblinding_planned_on", allow_null=True)

    class Meta:
        model = Enrolment
        fields = ["id", "trial", "title", "status", "enrolled_at", "allocated_at", "day", "group_will_be_told_on"]

    def get_day(self, enrolment: Enrolment) -> int | None:
        return enrolment.day()
