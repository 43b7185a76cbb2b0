from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.response import Response

from mhealth.checkins import services
from mhealth.checkins.filters import CheckInFilter
from mhealth.checkins.models import CheckIn
from mhealth.checkins.serializers import CheckInSerializer, CheckInUpload, CorrectionSerializer
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
        upload = CheckInUpload(data=request.data)
        upload.is_valid(raise_exception=True)
        sent = upload.validated_data
        check_in, new = services.submit(
            participant=request.user.participant,
            check_in_id=sent["id"],
            parts=sent["parts"],
            recorded_at=sent["recorded_at"],
            zone=sent["zone"],
            context=sent.get("context"),
        )
        return answer(check_in, status.HTTP_201_CREATED if new else status.HTTP_200_OK, replayed=not new)


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
        services.correct(check_in=check_in, labels=word.validated_data["labels"])
        return answer(CheckIn.objects.get(pk=check_in.pk))
