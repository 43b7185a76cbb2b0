import uuid
from collections.abc import Mapping

from drf_spectacular.utils import OpenApiParameter, extend_schema
from drf_standardized_errors.handler import exception_handler
from rest_framework import generics, status
from rest_framework.exceptions import APIException
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.response import Response

from mhealth.checkins import calibration, services
from mhealth.checkins.filters import CheckInFilter
from mhealth.checkins.models import CheckIn
from mhealth.checkins.serializers import (
    BatchAnswer,
    BatchUpload,
    CheckInSerializer,
    CheckInUpload,
    CorrectionSerializer,
    VoiceBaselineSerializer,
)
from mhealth.people.models import Participant
from mhealth.platform.access import IsClinician, IsParticipant
from mhealth.platform.leases import WorkStatus

WORKING = {WorkStatus.RECEIVING, WorkStatus.QUEUED, WorkStatus.RUNNING}
POLL_AGAIN_S = 2


def answer(check_in: CheckIn, code: int = status.HTTP_200_OK, *, replayed: bool = False) -> Response:
    """The check-in as the phone sees it, with a hint when to ask again while work goes on."""
    response = Response(CheckInSerializer(check_in).data, status=code)
    if check_in.status in WORKING:
        response["Retry-After"] = str(POLL_AGAIN_S)
    if replayed:
        response["Idempotency-Replayed"] = "true"
    return response


def take_in(participant: Participant, body: Mapping) -> tuple[CheckIn, bool]:
    """Validate one upload and hand it in; return the check-in, and whether it was new."""
    upload = CheckInUpload(data=body)
    upload.is_valid(raise_exception=True)
    sent = upload.validated_data
    return services.submit(
        participant=participant,
        check_in_id=sent["id"],
        parts=sent["parts"],
        recorded_at=sent["recorded_at"],
        zone=sent["zone"],
        context=sent.get("context"),
        purpose=sent["purpose"],
    )


def echoed(item: Mapping) -> str | None:
    """The item's id as the phone wrote it; nothing that only stands in its place: that could be a name."""
    said = item.get("id")
    try:
        return said if isinstance(said, str) and uuid.UUID(said) else None
    except ValueError:
        return None


class CheckInList(generics.ListCreateAPIView):
    """My check-ins, newest first; or send one."""

    permission_classes = [IsParticipant]
    parser_classes = [MultiPartParser]
    serializer_class = CheckInSerializer
    filterset_class = CheckInFilter

    def get_queryset(self):
        mine = CheckIn.objects.visible_to(self.request.user)
        return mine.prefetch_related("estimates").select_related("correction").order_by("-recorded_at", "id")

    @extend_schema(request={"multipart/form-data": CheckInUpload}, responses={201: CheckInSerializer})
    def post(self, request, *args, **kwargs):
        """Send a check-in. 201 means stored: the phone may delete its copy; the analysis runs after."""
        check_in, new = take_in(request.user.participant, request.data)
        return answer(check_in, status.HTTP_201_CREATED if new else status.HTTP_200_OK, replayed=not new)


class CheckInBatch(generics.GenericAPIView):
    """What a phone recorded while it was offline: up to 50 check-ins, each with its own status."""

    permission_classes = [IsParticipant]
    parser_classes = [MultiPartParser]
    serializer_class = BatchUpload

    @extend_schema(request={"multipart/form-data": BatchUpload}, responses={200: BatchAnswer})
    def post(self, request, *args, **kwargs):
        """Each item is taken in by itself: one that is refused does not hold up the others."""
        batch = BatchUpload(data=request.data)
        batch.is_valid(raise_exception=True)
        return Response({"results": [self._one(item) for item in batch.validated_data["items"]]})

    def _one(self, item: dict) -> dict:
        files = {kind: self.request.FILES.get(f"{item.get('id')}.{kind}") for kind in ("face", "voice", "video")}
        try:
            check_in, new = take_in(self.request.user.participant, item | {k: f for k, f in files.items() if f})
        except APIException as refused:
            problem = exception_handler(refused, {"view": self, "request": self.request}).data
            return {"id": echoed(item), "status": problem["status"], "check_in": None, "problem": problem}
        code = status.HTTP_201_CREATED if new else status.HTTP_200_OK
        return {"id": echoed(item), "status": code, "check_in": CheckInSerializer(check_in).data, "problem": None}


class CheckInDetail(generics.RetrieveAPIView):
    """One check-in and what was read from it."""

    permission_classes = [IsParticipant | IsClinician]
    serializer_class = CheckInSerializer

    def get_queryset(self):
        return CheckIn.objects.visible_to(self.request.user).prefetch_related("estimates")

    @extend_schema(parameters=[OpenApiParameter("id", str, OpenApiParameter.PATH)])
    def get(self, request, *args, **kwargs):
        return answer(self.get_object())


class CheckInCorrection(generics.GenericAPIView):
    """My own word for what my face and voice expressed; it can be changed."""

    permission_classes = [IsParticipant]
    parser_classes = [JSONParser]
    serializer_class = CorrectionSerializer

    def get_queryset(self):
        return CheckIn.objects.visible_to(self.request.user)

    @extend_schema(responses={200: CheckInSerializer})
    def put(self, request, *args, **kwargs):
        check_in = self.get_object()
        word = self.get_serializer(data=request.data)
        word.is_valid(raise_exception=True)
        services.correct(check_in=check_in, **word.validated_data)
        return answer(CheckIn.objects.get(pk=check_in.pk))


class VoiceBaseline(generics.GenericAPIView):
    """How I usually sound: five neutral sentences, sent as check-ins with the purpose calibration."""

    permission_classes = [IsParticipant]
    serializer_class = VoiceBaselineSerializer

    def get(self, request, *args, **kwargs):
        return Response(self.get_serializer(calibration.state(request.user.participant)).data)

    @extend_schema(responses={204: None})
    def delete(self, request, *args, **kwargs):
        """Give it up and start anew. Until five new clips are here my voice is read against everybody's usual."""
        calibration.start_anew(request.user.participant)
        return Response(status=status.HTTP_204_NO_CONTENT)
