from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from mhealth.research.models import Export


@admin.register(Export)
class ExportAdmin(ModelAdmin):
    """Who asked for which data and why, and where it stands."""

    list_display = ["trial", "status", "asked_by", "queued_at", "finished_at", "n_rows", "fault"]
    list_filter = ["status", "trial"]
    fields = [*list_display, "reason", "cut_off", "sha256", "size", "attempts"]
    readonly_fields = fields
    ordering = ["-queued_at"]
    actions = ["run_again"]

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).filter(pk__in=Export.objects.visible_to(request.user).values("pk"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # exports are asked for through the API, which records the reason

    def has_change_permission(self, request: HttpRequest, obj: Export | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Export | None = None) -> bool:
        return False

    @admin.action(description="Run quarantined exports again", permissions=["view"])
    def run_again(self, request: HttpRequest, queryset) -> None:
        for export in queryset:
            export.requeue()
