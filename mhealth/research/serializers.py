from datetime import datetime

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from mhealth.research.models import Export


class TrialExportSerializer(serializers.ModelSerializer):
    trial = serializers.CharField(source="trial.slug")
    asked_at = serializers.DateTimeField(source="queued_at")

    class Meta:
        model = Export
        fields = ["id", "trial", "reason", "status", "asked_at", "finished_at", "cut_off", "n_rows", "sha256", "size"]


class TrialExportDetailSerializer(TrialExportSerializer):
    """With a link to the file while there is one. The link needs no session and expires."""

    link = serializers.SerializerMethodField()
    link_expires_at = serializers.SerializerMethodField()

    class Meta(TrialExportSerializer.Meta):
        fields = [*TrialExportSerializer.Meta.fields, "link", "link_expires_at"]

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_link(self, export: Export) -> str | None:
        if not export.ready:
            return None
        request = self.context["request"]
        path = reverse("export-file", args=[export.pk])
        return request.build_absolute_uri(f"{path}?token={export.link_token(request.user)}")

    def get_link_expires_at(self, export: Export) -> datetime | None:
        return timezone.now() + Export.LINK_LASTS if export.ready else None


class NewTrialExportSerializer(serializers.Serializer):
    trial = serializers.SlugField()
    reason = serializers.CharField(max_length=300, help_text="Goes into the audit; no names of people in it.")
