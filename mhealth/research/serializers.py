from datetime import datetime

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from mhealth.research.models import Export

STAGES = "awaiting_approval, refused, queued, running, done, unusable (nothing to report yet) or quarantined"
FORMATS = ("csv", "parquet", "spss", "stata", "redcap", "fhir")  # as in `package`, which loads pyarrow
REPORT = "report"
SMALL_CELL = 5


class TrialExportSerializer(serializers.ModelSerializer):
    trial = serializers.CharField(source="trial.slug")
    asked_at = serializers.DateTimeField(source="queued_at")
    status = serializers.CharField(source="stage", read_only=True, help_text=STAGES)
    progress = serializers.IntegerField(help_text="Percent, while it is running.")
    warning = serializers.SerializerMethodField(help_text="People who could be recognised, or null.")

    class Meta:
        model = Export
        fields = [
            "id",
            "trial",
            "reason",
            "formats",
            "sites",
            "identifiable",
            "status",
            "progress",
            "asked_at",
            "finished_at",
            "cut_off",
            "n_rows",
            "sha256",
            "size",
            "warning",
        ]

    def get_warning(self, export: Export) -> str | None:
        people = export.people_in_small_cells
        if not people:
            return None
        return f"{people} people are in cells (site, sex, age band, language) of fewer than {SMALL_CELL}."


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
    formats = serializers.MultipleChoiceField(
        choices=[*FORMATS, REPORT],
        required=False,
        help_text="All of the data if none is named. `report`, alone: the report in place of the data.",
    )
    sites = serializers.ListField(
        child=serializers.CharField(max_length=50), required=False, max_length=200, help_text="All if none is named."
    )
    identifiable = serializers.BooleanField(
        default=False, help_text="With a table of who the people are: needs a permission and a second person."
    )


class ExportToApproveSerializer(serializers.ModelSerializer):
    """What a second person decides about."""

    trial = serializers.CharField(source="trial.slug")
    asked_by = serializers.CharField(source="asked_by.email")
    asked_at = serializers.DateTimeField(source="queued_at")
    status = serializers.CharField(source="stage", read_only=True, help_text=STAGES)

    class Meta:
        model = Export
        fields = ["id", "trial", "asked_by", "asked_at", "reason", "formats", "sites", "status"]


class ApprovalSerializer(serializers.Serializer):
    approve = serializers.BooleanField()
