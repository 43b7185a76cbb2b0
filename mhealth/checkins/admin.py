from django.contrib import admin
from unfold.admin import ModelAdmin

from mhealth.checkins.models import CheckIn


@admin.register(CheckIn)
class CheckInAdmin(ModelAdmin):
    """What came in and where it stands; quarantined check-ins can be run again."""

    list_display = ["id", "participant", "status", "recorded_at", "attempts", "fault"]
    list_filter = ["status", "clock_suspect", "late"]
    ordering = ["-recorded_at"]
    actions = ["run_again"]

    def get_queryset(self, request):
        rows = super().get_queryset(request)
        return rows if request.user.is_superuser else rows.filter(pk__in=CheckIn.objects.visible_to(request.user))

    def has_add_permission(self, request) -> bool:
        return False

    def has_change_permission(self, request, obj=None) -> bool:
        return False

    def has_delete_permission(self, request, obj=None) -> bool:
        return False

    @admin.action(description="Run quarantined check-ins again")
    def run_again(self, request, queryset):
        for check_in in queryset:
            check_in.requeue()
