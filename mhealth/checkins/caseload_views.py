"""What clinicians see of the check-ins of their people. Every look is an audit event."""

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.response import Response

from mhealth.checkins import explanations
from mhealth.checkins.caseload_serializers import DisparityReportSerializer, ExplanationSerializer
from mhealth.checkins.models import CheckIn, DisparityReport, Explanation
from mhealth.platform import audit
from mhealth.platform.access import IsClinician
from mhealth.platform.leases import WorkStatus

POLL_AGAIN_S = 2


class CaseloadDisparity(generics.GenericAPIView):
    """Face against voice of a check-in of one of my people: an unusual difference is a hint to ask, not a diagnosis."""

    permission_classes = [IsClinician]
    serializer_class = DisparityReportSerializer

    def get_queryset(self):
        return DisparityReport.objects.visible_to(self.request.user).select_related("check_in__participant__data_key")

    @extend_schema(responses={200: DisparityReportSerializer})
    def get(self, request, pk, *args, **kwargs):
        row = get_object_or_404(self.get_queryset(), check_in_id=pk)
        audit.record(actor=request.user, action="disparity.read", subject=f"checkins.CheckIn/{pk}")
        return Response(self.get_serializer(row).data)


class CaseloadExplanation(generics.GenericAPIView):
    """Which places of the face and which moments of the voice the estimates of a check-in rest on."""

    permission_classes = [IsClinician]
    serializer_class = ExplanationSerializer

    def get_queryset(self):
        return Explanation.objects.visible_to(self.request.user).select_related("check_in__participant__data_key")

    @extend_schema(responses={200: ExplanationSerializer})
    def get(self, request, pk, *args, **kwargs):
        """As far as it is; 404 where nobody asked for one."""
        row = get_object_or_404(self.get_queryset(), check_in_id=pk)
        audit.record(actor=request.user, action="explanation.read", subject=f"checkins.CheckIn/{pk}")
        return self._answer(row, status.HTTP_200_OK)

    @extend_schema(request=None, responses={202: ExplanationSerializer, 200: ExplanationSerializer})
    def post(self, request, pk, *args, **kwargs):
        """Ask for one: 202, then poll. Possible as long as the photo or the recording is held."""
        check_in = get_object_or_404(CheckIn.objects.visible_to(request.user), pk=pk)
        row, new = explanations.ask(check_in)
        audit.record(actor=request.user, action="explanation.asked", subject=f"checkins.CheckIn/{pk}")
        return self._answer(row, status.HTTP_202_ACCEPTED if new else status.HTTP_200_OK)

    def _answer(self, row: Explanation, code: int) -> Response:
        response = Response(self.get_serializer(row).data, status=code)
        if row.status in (WorkStatus.QUEUED, WorkStatus.RUNNING):
            response["Retry-After"] = str(POLL_AGAIN_S)
        return response
