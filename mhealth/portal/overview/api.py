"""The counts of the overview for programs: no person in them, and arms apart only where the report may tell them."""

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mhealth.platform.access import IsResearcher, IsTrialManager
from mhealth.portal.overview import progress
from mhealth.portal.overview.people import Picture
from mhealth.research.report.masking import is_dry_run
from mhealth.trials.models import Trial


class FlowSerializer(serializers.Serializer):
    """Parts of `allocated`, at the last questionnaire after allocation."""

    arm = serializers.CharField()
    allocated = serializers.IntegerField()
    scored = serializers.IntegerField()
    unscorable = serializers.IntegerField()
    to_come = serializers.IntegerField()
    missed = serializers.IntegerField()
    left = serializers.IntegerField()


class WeekSerializer(serializers.Serializer):
    number = serializers.IntegerField(help_text="From the start of the trial, 0 the first.")
    entered = serializers.IntegerField(help_text="Up to the end of the week.")
    randomised = serializers.IntegerField(help_text="Up to the end of the week.")
    expected = serializers.FloatField(allow_null=True, help_text="Randomised by then if they came evenly.")
    closed = serializers.IntegerField(help_text="Questionnaires whose window closed in this week.")
    answered = serializers.IntegerField(help_text="Of these.")


class CompletionSerializer(serializers.Serializer):
    instrument = serializers.CharField()
    name = serializers.CharField()
    planned = serializers.IntegerField()
    answered = serializers.IntegerField()
    open = serializers.IntegerField()
    to_come = serializers.IntegerField()
    missed = serializers.IntegerField()
    left = serializers.IntegerField()


class TrialProgressSerializer(serializers.Serializer):
    trial = serializers.CharField()
    at = serializers.DateTimeField()
    endpoint = serializers.CharField(allow_blank=True, help_text="The questionnaire at which the outcome is judged.")
    assessed = serializers.IntegerField(source="before.assessed", help_text="For eligibility; everybody once.")
    turned_away = serializers.DictField(
        child=serializers.IntegerField(), source="before.turned_away", help_text="Reason: people."
    )
    criteria_not_met = serializers.DictField(child=serializers.IntegerField(), source="before.unmet")
    entered = serializers.IntegerField()
    waiting = serializers.IntegerField(source="before.waiting")
    left_before = serializers.IntegerField(source="before.left", help_text="Before they were randomised.")
    randomised = serializers.IntegerField()
    flows = FlowSerializer(many=True, help_text="One for all arms together while they may not be told apart.")
    weeks = WeekSerializer(many=True)
    completion = CompletionSerializer(many=True)


class TrialProgress(APIView):
    """How a trial of my studies is going: flow of participants, recruitment, completion of each questionnaire."""

    permission_classes = [IsResearcher | IsTrialManager]

    @extend_schema(responses=TrialProgressSerializer)
    def get(self, request: Request, slug: str) -> Response:
        mine = Trial.objects.visible_to(request.user).exclude(status=Trial.Status.DRAFT)
        trial = get_object_or_404(mine.select_related("study", "key").prefetch_related("arms"), slug=slug)
        picture = Picture(trial, timezone.now(), by_arm=not is_dry_run(trial))
        found = progress.entry(picture)
        about = {name: getattr(found, name) for name in ("before", "entered", "randomised", "flows")}
        about |= {"trial": trial.slug, "at": picture.now, "endpoint": picture.endpoint}
        about |= {"weeks": progress.weeks(picture), "completion": progress.completion(picture)}
        return Response(TrialProgressSerializer(about).data)
