from django.core import signing
from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from mhealth.people.models import User
from mhealth.platform.access import IsResearcher, IsTrialManager
from mhealth.platform.hints import hint
from mhealth.platform.leases import WorkStatus
from mhealth.platform.media import MediaGone
from mhealth.platform.problems import Problem
from mhealth.platform.renderers import ZipRenderer
from mhealth.research import serializers, tasks
from mhealth.research.models import Export
from mhealth.trials.models import Trial

POLL_AGAIN_S = 5


class LinkExpired(Problem):
    status_code = status.HTTP_410_GONE
    default_code = "link-expired"
    title = "This link has expired"
    default_detail = "Ask for the export again to get a new link."


class ExportGone(Problem):
    status_code = status.HTTP_410_GONE
    default_code = "export-gone"
    title = "The file is no longer kept"
    default_detail = "Files are kept for a week. Ask for a new export."


class ExportList(generics.ListAPIView):
    """Exports of my studies, newest first; or ask for one."""

    permission_classes = [IsResearcher]
    serializer_class = serializers.TrialExportSerializer
    filterset_fields = ["status"]
    queryset = Export.objects.none()

    def get_queryset(self):
        return Export.objects.visible_to(self.request.user).select_related("trial").order_by("-queued_at", "id")

    @extend_schema(request=serializers.NewTrialExportSerializer, responses={202: serializers.TrialExportSerializer})
    def post(self, request, *args, **kwargs):
        """Queue an export of a trial. It is built by a worker: ask again until its status is `done`."""
        from mhealth.research import services  # loads pyarrow, which reading needs not

        sent = serializers.NewTrialExportSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        trial = Trial.objects.visible_to(request.user).filter(slug=sent.validated_data["trial"]).first()
        if trial is None:
            raise services.NotAResearcherHere()
        export = services.ask(
            trial=trial, user=request.user, reason=sent.validated_data["reason"], order=_order(sent.validated_data)
        )
        if not export.identifiable:
            hint(tasks.build_export, export_id=str(export.pk))
        body = self.get_serializer(export).data
        return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Retry-After": str(POLL_AGAIN_S)})


def _order(wanted: dict):
    from mhealth.research.package import Order

    return Order.of(wanted.get("formats", ()), wanted.get("sites", ()), wanted["identifiable"])


class ExportApproval(generics.RetrieveAPIView):
    """An export with identifiable columns, and the word of a second person on it: a trial manager of the study."""

    permission_classes = [IsTrialManager]
    serializer_class = serializers.ExportToApproveSerializer
    queryset = Export.objects.none()

    def get_queryset(self):
        return Export.objects.to_approve(self.request.user).select_related("trial", "asked_by")

    @extend_schema(request=serializers.ApprovalSerializer, responses={200: serializers.ExportToApproveSerializer})
    def post(self, request, *args, **kwargs):
        """Agree, and the export is built; or refuse. Once."""
        from mhealth.research import services

        sent = serializers.ApprovalSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        export = services.decide(export=self.get_object(), by=request.user, approve=sent.validated_data["approve"])
        if export.approved:
            hint(tasks.build_export, export_id=str(export.pk))
        return Response(self.get_serializer(export).data)


class ExportDetail(generics.RetrieveDestroyAPIView):
    """One export and where it stands; or delete it with its file."""

    permission_classes = [IsResearcher]
    serializer_class = serializers.TrialExportDetailSerializer
    queryset = Export.objects.none()

    def get_queryset(self):
        return Export.objects.visible_to(self.request.user).select_related("trial")

    def retrieve(self, request, *args, **kwargs):
        export = self.get_object()
        working = export.status in (WorkStatus.QUEUED, WorkStatus.RUNNING)
        return Response(
            self.get_serializer(export).data, headers={"Retry-After": str(POLL_AGAIN_S)} if working else None
        )

    def perform_destroy(self, export: Export) -> None:
        from mhealth.research import services

        services.discard(export, self.request.user)


class ExportFile(APIView):
    """The package as a ZIP, for whoever holds a link that has not expired and still works on the study."""

    permission_classes = [AllowAny]
    authentication_classes = []
    renderer_classes = [JSONRenderer, ZipRenderer]

    @extend_schema(
        parameters=[OpenApiParameter("token", str, required=True)],
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    def get(self, request, pk):
        from mhealth.research import services

        user = self._user(request.query_params.get("token", ""), pk)
        export = get_object_or_404(Export.objects.visible_to(user).select_related("trial__key"), pk=pk)
        if not export.ready:
            raise ExportGone()
        try:
            pieces = services.download(export, user)
        except MediaGone as gone:
            raise ExportGone() from gone
        name = f'attachment; filename="{export.trial.slug}.zip"'
        headers = {"Content-Disposition": name, "Cache-Control": "no-store", "Content-Length": str(export.size)}
        return StreamingHttpResponse(pieces, content_type="application/zip", headers=headers)

    def _user(self, token: str, pk) -> User:
        try:
            user_id = Export.user_of_link(token, pk)
        except signing.SignatureExpired as late:
            raise LinkExpired() from late
        except signing.BadSignature:
            user_id = None
        return get_object_or_404(User, pk=user_id, is_active=True)
