"""For operators and their probes: alive, ready, measured."""

import hmac
import ipaddress

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django_prometheus.exports import ExportToDjangoView
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from mhealth.platform import health, problems
from mhealth.platform.problems import Problem


class NotReady(Problem):
    status_code = 503
    default_code = "not-ready"
    title = "Not ready"
    headers = {"Retry-After": "10"}


class HealthSerializer(serializers.Serializer):
    status = serializers.CharField()


class ProbeView(APIView):
    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = []


class LiveView(ProbeView):
    """This process answers."""

    @extend_schema(responses=HealthSerializer)
    def get(self, request) -> Response:
        return Response({"status": "live"})


class ReadyView(ProbeView):
    """This process can serve; otherwise 503, and `detail` names what is missing."""

    @extend_schema(responses=HealthSerializer)
    def get(self, request) -> Response:
        if missing := health.missing():
            raise NotReady(f"Missing: {', '.join(missing)}.")
        return Response({"status": "ready"})


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics: for the holder of METRICS_TOKEN, or without one for this machine only."""
    if not _may_read_metrics(request):
        return problems.plain(404, "not-found")
    return ExportToDjangoView(request)


def _may_read_metrics(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {settings.METRICS_TOKEN}".encode())
    forwarded = "X-Forwarded-For" in request.headers  # a proxy on this machine speaks for somebody else
    return not forwarded and ipaddress.ip_address(request.META["REMOTE_ADDR"]).is_loopback
