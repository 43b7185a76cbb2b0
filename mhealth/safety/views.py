from contextlib import suppress

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import APIException
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mhealth.platform import audit, languages
from mhealth.platform.access import IsClinician
from mhealth.safety import serializers, services
from mhealth.safety.filters import RiskEventFilter
from mhealth.safety.models import RiskEvent, State


class Support(APIView):
    """The crisis card: whom to call now. Needs no session, and no session that has ended stands in its way."""

    permission_classes = [AllowAny]
    throttle_classes = []  # nobody is kept from it for asking often

    def perform_authentication(self, request: Request) -> None:
        with suppress(APIException):
            request.user  # noqa: B018 (reads the token; whoever it does not let in is a stranger)

    @extend_schema(parameters=[serializers.CardOfSerializer], responses=serializers.CrisisCardSerializer)
    def get(self, request: Request) -> Response:
        asked = serializers.CardOfSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        person = getattr(request.user, "participant", None)
        country = asked.validated_data.get("country") or getattr(person, "country", "")
        wanted = [asked.validated_data.get("language"), *languages.accepted(request), getattr(person, "language", "")]
        card = services.crisis_card(country, next(filter(None, wanted), "en"))
        return Response(
            serializers.CrisisCardSerializer(card).data,
            headers={"Content-Language": card["language"], "Cache-Control": "private, max-age=86400"},
        )


class RiskEventList(generics.ListCreateAPIView):
    """Risk events of my people, newest first; or raise one myself."""

    permission_classes = [IsClinician]
    serializer_class = serializers.RiskEventSerializer
    filterset_class = RiskEventFilter
    queryset = RiskEvent.objects.none()

    def get_queryset(self):
        return RiskEvent.objects.of_my_people(self.request.user).order_by("-last_at", "id")

    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        response = super().list(request, *args, **kwargs)
        audit.record(
            actor=request.user, action="risk.list", subject="safety.RiskEvent", count=len(response.data["results"])
        )
        return response

    @extend_schema(request=serializers.NewRiskEventSerializer, responses={201: serializers.RiskEventDetailSerializer})
    def create(self, request: Request, *args: object, **kwargs: object) -> Response:
        sent = serializers.NewRiskEventSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        event = services.raise_by_clinician(
            user=request.user,
            participant_id=sent.validated_data["participant"],
            severity=sent.validated_data["severity"],
            note=sent.validated_data["note"],
        )
        return Response(serializers.RiskEventDetailSerializer(event).data, status=status.HTTP_201_CREATED)


class RiskEventDetail(generics.RetrieveAPIView):
    """One risk event of my people, with every step somebody took."""

    permission_classes = [IsClinician]
    serializer_class = serializers.RiskEventDetailSerializer
    queryset = RiskEvent.objects.none()

    def get_queryset(self):
        return RiskEvent.objects.of_my_people(self.request.user).prefetch_related("moves")

    def retrieve(self, request: Request, *args: object, **kwargs: object) -> Response:
        event = self.get_object()
        audit.record(actor=request.user, action="risk.read", subject=event.subject)
        return Response(self.get_serializer(event).data)


class Step(generics.GenericAPIView):
    """One step of a human on a risk event of their people."""

    permission_classes = [IsClinician]
    queryset = RiskEvent.objects.none()
    to_state: State = State.ACKNOWLEDGED

    def get_queryset(self):
        return RiskEvent.objects.of_my_people(self.request.user)

    @extend_schema(
        request=serializers.NoteSerializer,
        responses={
            200: serializers.RiskEventDetailSerializer,
            409: OpenApiResponse(description="`move-not-allowed`: the event is in another state."),
        },
    )
    def post(self, request: Request, pk: str) -> Response:
        event = self.get_object()
        sent = serializers.NoteSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        moved = services.move(event=event, to_state=self.to_state, user=request.user, note=sent.validated_data["note"])
        return Response(serializers.RiskEventDetailSerializer(moved).data)
