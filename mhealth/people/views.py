"""A participant's own resources: profile, consent, devices, and the rights over their data."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from mhealth.people import rights, serializers, services, tasks
from mhealth.people.models import DataExport, Device, ErasureRequest, Participant
from mhealth.platform.access import IsParticipant
from mhealth.platform.hints import hint
from mhealth.platform.leases import WorkStatus
from mhealth.platform.problems import Problem
from mhealth.platform.renderers import ZipRenderer


class NoExport(Problem):
    status_code = 404
    default_code = "no-export"
    title = "No export"
    default_detail = "There is no export of your data. POST here to ask for one."


def me(request) -> Participant:
    return get_object_or_404(Participant.objects.visible_to(request.user), user=request.user)


class MeView(generics.RetrieveUpdateAPIView):
    """My profile. Each field says what it is for."""

    permission_classes = [IsParticipant]
    serializer_class = serializers.MeSerializer
    http_method_names = ["get", "patch", "head", "options"]

    def get_object(self) -> Participant:
        return me(self.request)

    def perform_update(self, serializer) -> None:
        services.change_profile(serializer.instance, **serializer.validated_data)


class ConsentsView(APIView):
    """What I agreed to. POST gives or withdraws one scope; nothing said is ever changed."""

    permission_classes = [IsParticipant]

    @extend_schema(responses=serializers.ConsentsSerializer)
    def get(self, request) -> Response:
        participant = me(request)
        answer = {
            "document": services.current_document(participant),
            "scopes": participant.scopes(),
            "history": participant.consents.all(),
        }
        return Response(serializers.ConsentsSerializer(answer).data)

    @extend_schema(request=serializers.ConsentSerializer, responses={201: serializers.ConsentSerializer})
    def post(self, request) -> Response:
        said = serializers.ConsentSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        data = said.validated_data
        if data["given"]:
            consent = services.give_consent(
                me(request),
                scope=data["scope"],
                version=data["document_version"],
                language=data["language"],
                digest=data["text_digest"],
            )
        else:
            consent = services.withdraw_consent(me(request), scope=data["scope"])
        return Response(serializers.ConsentSerializer(consent).data, status=status.HTTP_201_CREATED)


class DeviceListView(generics.ListAPIView):
    """The devices that are signed in to my account."""

    permission_classes = [IsAuthenticated]
    serializer_class = serializers.DeviceSerializer
    queryset = Device.objects.none()

    def get_queryset(self):
        return Device.objects.filter(user=self.request.user).order_by("-created", "id")


class DeviceView(generics.UpdateAPIView, generics.DestroyAPIView):
    """Name a device or set its push token; DELETE signs it out."""

    permission_classes = [IsAuthenticated]
    serializer_class = serializers.DeviceSerializer
    lookup_field = "id"
    http_method_names = ["patch", "delete", "head", "options"]
    queryset = Device.objects.none()

    def get_queryset(self):
        return Device.objects.filter(user=self.request.user)


class ParticipationView(APIView):
    """Whether I take part. Stopping ends all processing at once; what the study holds stays until I erase it."""

    permission_classes = [IsParticipant]

    @extend_schema(responses=serializers.ParticipationSerializer)
    def get(self, request) -> Response:
        return Response(serializers.ParticipationSerializer(me(request)).data)

    @extend_schema(request=serializers.StopSerializer, responses={200: serializers.ParticipationSerializer})
    def post(self, request) -> Response:
        asked = serializers.StopSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        participant = me(request)
        services.stop(participant, delete_media=asked.validated_data["action"] == "stop_and_delete_media")
        return Response(serializers.ParticipationSerializer(participant).data)


class ErasureView(APIView):
    """Erase everything about me. It happens after seven days; until then DELETE cancels it."""

    permission_classes = [IsParticipant]

    @extend_schema(responses=serializers.ErasureSerializer)
    def get(self, request) -> Response:
        return Response(self._state(me(request).erasure_requests.pending().first()))

    @extend_schema(request=None, responses={202: serializers.ErasureSerializer})
    def post(self, request) -> Response:
        return Response(self._state(rights.ask_for_erasure(me(request))), status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses={204: None})
    def delete(self, request) -> Response:
        rights.cancel_erasure(me(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _state(self, pending: ErasureRequest | None) -> dict:
        answer = {
            "state": "pending" if pending else "none",
            "asked_at": pending and pending.asked_at,
            "due_at": pending and pending.due_at,
        }
        return serializers.ErasureSerializer(answer).data


class ExportView(APIView):
    """Everything the study holds about me, as a ZIP. POST asks; GET is 202 until it is ready."""

    permission_classes = [IsParticipant]
    renderer_classes = [JSONRenderer, ZipRenderer]

    @extend_schema(request=None, responses={202: serializers.DataExportSerializer})
    def post(self, request) -> Response:
        export = rights.ask_for_export(me(request))
        hint(tasks.export_person, export_id=str(export.pk))
        return self._not_yet(export)

    @extend_schema(
        responses={
            (200, "application/zip"): OpenApiTypes.BINARY,
            (202, "application/json"): serializers.DataExportSerializer,
        }
    )
    def get(self, request) -> HttpResponse:
        export = me(request).exports.order_by("-queued_at").first()
        if export is None:
            raise NoExport()
        if export.status != WorkStatus.DONE:
            return self._not_yet(export)
        return HttpResponse(
            rights.read_export(export),
            content_type="application/zip",
            headers={"Content-Disposition": 'attachment; filename="my-data.zip"', "Cache-Control": "no-store"},
        )

    def _not_yet(self, export: DataExport) -> Response:
        body = serializers.DataExportSerializer(export).data
        return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Retry-After": "5"})
