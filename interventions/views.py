import hashlib
import uuid
from functools import partial

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from interventions import serializers, services
from interventions.models import Decision, DecisionEvent, Version
from mhealth.platform import languages
from mhealth.platform.access import IsClinician, IsParticipant
from mhealth.platform.leases import WorkStatus
from mhealth.platform.problems import Problem
from mhealth.safety import services as safety
from mhealth.trials.services import is_masked_for

WORKING = {WorkStatus.QUEUED, WorkStatus.RUNNING}
POLL_AGAIN_S = 1


class NothingDecided(Problem):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "nothing-decided"
    title = "Nothing was decided"
    default_detail = "There is no recommendation at present. Ask for one, or check in."


class ActivityList(generics.GenericAPIView):
    """All published activities in my language. Send the ETag as If-None-Match: 304 as long as nothing changed."""

    permission_classes = [IsParticipant | IsClinician]
    serializer_class = serializers.ActivitySerializer
    pagination_class = None
    queryset = Version.objects.none()

    @extend_schema(
        responses={
            200: serializers.ActivitySerializer(many=True),
            304: OpenApiResponse(description="Nothing has changed."),
        }
    )
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        texts = Version.objects.offerable(timezone.now().date()).select_related("activity")
        spoken = set(texts.values_list("language", flat=True))
        language = languages.choose(_wanted(request), spoken)
        rows = list(texts.filter(language=language).order_by("activity__key"))
        data = self.get_serializer(rows, many=True).data
        etag = f'"{hashlib.sha256(repr(data).encode()).hexdigest()[:32]}"'
        headers = {"ETag": etag, "Content-Language": language or "en", "Cache-Control": "private, no-cache"}
        if etag in request.headers.get("If-None-Match", ""):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        return Response(data, headers=headers)


class Recommendation(APIView):
    """The present decision for me, with its reasons."""

    permission_classes = [IsParticipant]

    @extend_schema(
        responses={200: serializers.RecommendationSerializer, 202: serializers.RecommendationSerializer},
        operation_id="recommendations_retrieve",
    )
    def get(self, request: Request) -> Response:
        """200: decided; `activity` may be null (nothing now). 202: still in the making, ask again."""
        mine = Decision.objects.visible_to(request.user).filter(participant__user=request.user)
        decision = mine.select_related("version__activity", "participant__data_key").present(timezone.now())
        if decision is None:
            raise NothingDecided()
        return _answer(request, decision)

    @extend_schema(request=None, responses={202: serializers.RecommendationSerializer})
    def post(self, request: Request) -> Response:
        """Ask for an activity now. A worker decides: poll with GET."""
        participant = request.user.participant
        asked = participant.decisions.filter(moment__startswith="asked:", status__in=WORKING).first()
        decision = asked or services.ask(participant=participant, moment=f"asked:{uuid.uuid4()}")
        return _answer(request, decision)


class RecommendationEvents(generics.GenericAPIView):
    """What I did with a decision: shown, started, step, completed, skipped, rated, mood before and after, other chosen.

    All but the last are about the activity that was decided.
    """

    permission_classes = [IsParticipant]
    serializer_class = serializers.EventSerializer
    queryset = DecisionEvent.objects.none()

    @extend_schema(responses={200: serializers.EventSerializer, 201: serializers.EventSerializer})
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Safe to repeat, in any order, days later. 201: stored. 200: was stored before."""
        mine = Decision.objects.visible_to(request.user).filter(participant__user=request.user)
        decision = get_object_or_404(mine.offered(), pk=pk)
        context = self.get_serializer_context() | {"places_shown": partial(services.places_shown, decision)}
        sent = serializers.EventSerializer(data=request.data, context=context)
        sent.is_valid(raise_exception=True)
        said = sent.validated_data
        event, new = services.record_event(
            decision=decision,
            event_id=said["id"],
            kind=said["kind"],
            at=said["at"],
            value=said["value"],
            reason=said["reason"],
        )
        code = status.HTTP_201_CREATED if new else status.HTTP_200_OK
        headers = {} if new else {"Idempotency-Replayed": "true"}
        return Response(self.get_serializer(event).data, status=code, headers=headers)


class RecommendationOthers(APIView):
    """Show others: up to three activities that may be taken instead of the one decided, in a masked trial none."""

    permission_classes = [IsParticipant]

    @extend_schema(
        request=None,
        responses={200: serializers.OtherSerializer(many=True)},
        operation_id="recommendations_others_create",
    )
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Of the present decision. Safe to repeat; that they were asked for is stored once."""
        mine = Decision.objects.visible_to(request.user).filter(participant__user=request.user)
        present = mine.offered().filter(created_at__gt=timezone.now() - Decision.PRESENT_FOR)
        decision = get_object_or_404(present.select_related("participant__data_key", "participant__study"), pk=pk)
        shown = [{"place": place, "activity": text} for place, text in services.show_others(decision=decision)]
        headers = {"Cache-Control": "private, no-store"}
        return Response(serializers.OtherSerializer(shown, many=True).data, headers=headers)


def _wanted(request: Request) -> list[str]:
    participant = getattr(request.user, "participant", None)
    return languages.wanted(request, participant) if participant else languages.accepted(request)


def _answer(request: Request, decision: Decision) -> Response:
    participant = decision.participant
    wanted = _wanted(request)
    texts = serializers.texts_in(wanted)
    severe = safety.open_severe(participant) is not None
    context = {
        "texts": texts,
        "masked": is_masked_for(request.user, participant),
        "card": safety.crisis_card(participant.country, wanted[0]) if severe else None,
    }
    working = decision.status in WORKING
    headers = {"Cache-Control": "private, no-store", "Content-Language": texts.language if texts else "en"}
    return Response(
        serializers.RecommendationSerializer(decision, context=context).data,
        status=status.HTTP_202_ACCEPTED if working else status.HTTP_200_OK,
        headers=headers | ({"Retry-After": str(POLL_AGAIN_S)} if working else {}),
    )
