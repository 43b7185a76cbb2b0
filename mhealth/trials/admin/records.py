from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from rest_framework.exceptions import APIException
from unfold.decorators import action
from unfold.forms import BaseDialogForm

from mhealth.people.staff import with_password
from mhealth.platform.admin import ReadAuditedAdmin, plain
from mhealth.trials import services
from mhealth.trials.admin.base import ReadOnly, step_dialog
from mhealth.trials.models import AdverseEvent, Deviation, Enrolment, UnblindingRequest


@admin.register(Enrolment)
class EnrolmentAdmin(ReadOnly, ReadAuditedAdmin):
    """Who is in a trial and since when; never in which arm."""

    list_display = ["participant", "trial", "status", "enrolled_at", "allocated_at"]
    list_filter = ["trial", "status"]
    person = plain("participant")
    readonly_fields = ["person"]
    fields = ["person", "trial", "status", "enrolled_at", "allocated_at"]
    ordering = ["-enrolled_at"]


class NoteAdmin(ReadOnly, ReadAuditedAdmin):
    ordering = ["-recorded_at"]


@admin.register(AdverseEvent)
class AdverseEventAdmin(NoteAdmin):
    list_display = ["enrolment", "happened_at", "severity", "serious", "related"]
    list_filter = ["serious", "severity"]
    fields = readonly_fields = [*list_display, "words", "recorded_at", "recorded_by"]


@admin.register(Deviation)
class DeviationAdmin(NoteAdmin):
    list_display = ["enrolment", "happened_at", "kind", "major"]
    list_filter = ["major"]
    fields = readonly_fields = [*list_display, "words", "recorded_at", "recorded_by"]


@admin.register(UnblindingRequest)
class UnblindingRequestAdmin(ReadOnly, ReadAuditedAdmin):
    """Who asked and who decided. The arm itself is told through the API, to the one who asked, and recorded."""

    list_display = ["trial", "enrolment", "status", "asked_by", "asked_at", "decided_by", "decided_at"]
    list_filter = ["status"]
    fields = readonly_fields = [*list_display, "reason"]
    ordering = ["-asked_at"]
    actions_detail = ["approve", "refuse"]

    @action(
        description="Approve",
        permissions=["decide"],
        dialog=step_dialog("Approve", "The arm will be told. You must not be the one who asked."),
    )
    @with_password
    def approve(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, approve=True)

    @action(
        description="Refuse",
        permissions=["decide"],
        dialog=step_dialog("Refuse", "The arm stays masked."),
    )
    def refuse(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, approve=False)

    def has_decide_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        asked = self.get_object(request, str(object_id))
        return bool(asked and asked.status == UnblindingRequest.Status.ASKED and asked.asked_by_id != request.user.pk)

    def _decide(self, request: HttpRequest, object_id: str, *, approve: bool) -> HttpResponse:
        try:
            asked = self.get_object(request, object_id)
            services.decide_unblinding(request=asked, by=request.user, approve=approve)
        except APIException as refused:
            messages.error(request, str(refused.detail))
        return HttpResponse(headers={"HX-Redirect": reverse("admin:trials_unblindingrequest_change", args=[object_id])})
