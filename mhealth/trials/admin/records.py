from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from rest_framework.exceptions import APIException
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from mhealth.people.staff import with_password
from mhealth.platform.admin import ReadAuditedAdmin, step_dialog
from mhealth.trials import services
from mhealth.trials.admin.base import ReadOnly
from mhealth.trials.admin.people import ChoosesPerson
from mhealth.trials.models import AdverseEvent, Deviation, UnblindingRequest
from mhealth.trials.models.records import EnrolmentNote
from mhealth.trials.serializers import WORDS_LIMIT


class NoteForm(forms.ModelForm):
    words = forms.CharField(
        label="What happened",
        max_length=WORDS_LIMIT,
        widget=UnfoldAdminTextareaWidget,
        help_text="Sealed under the person's key. Neither names nor a guess at the arm.",
    )

    def clean_happened_at(self):
        at = self.cleaned_data["happened_at"]
        if at > timezone.now():
            raise forms.ValidationError("This lies in the future.")
        return at


class NoteAdmin(ChoosesPerson, ReadAuditedAdmin):
    """Recorded once and never changed: a correction is a further entry. Who sees the person may record."""

    form = NoteForm
    ordering = ["-recorded_at"]
    list_select_related = ["enrolment__trial", "enrolment__participant"]
    stamps = ["recorded_at", "recorded_by"]
    search_fields = ["^enrolment__participant__id"]
    search_help_text = "The first characters of a pseudonym"

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).filter(pk__in=self.model.objects.visible_to(request.user).values("pk"))

    def get_fields(self, request: HttpRequest, obj: EnrolmentNote | None = None) -> list[str]:
        return [*self.asked, *(["words", *self.stamps] if obj else ["words"])]

    def get_readonly_fields(self, request: HttpRequest, obj: EnrolmentNote | None = None) -> list[str]:
        return self.get_fields(request, obj) if obj else []

    def get_form(self, request: HttpRequest, obj: EnrolmentNote | None = None, **kwargs: object) -> type:
        return super().get_form(request, obj, **(kwargs | ({"form": forms.ModelForm} if obj else {})))

    def has_change_permission(self, request: HttpRequest, obj: EnrolmentNote | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: EnrolmentNote | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: EnrolmentNote, form: NoteForm, change: bool) -> None:
        """The service makes the row and writes the log."""
        made = type(self).record(by=request.user, **form.cleaned_data)
        obj.pk, obj._state.adding = made.pk, False


@admin.register(AdverseEvent)
class AdverseEventAdmin(NoteAdmin):
    asked = ["enrolment", "happened_at", "severity", "serious", "related"]
    list_display = ["enrolment", "happened_at", "severity", "how_serious", "related"]
    list_filter = ["serious", "severity"]
    record = staticmethod(services.record_adverse_event)

    def formfield_for_choice_field(self, db_field, request: HttpRequest, **kwargs: object):
        """No severity is chosen beforehand: the mildest would be recorded by haste."""
        field = super().formfield_for_choice_field(db_field, request, **kwargs)
        if db_field.name == "severity":
            field.choices = [("", "Select value"), *AdverseEvent.Severity.choices]
        return field

    @display(description="serious", ordering="serious", label={"serious": "danger"})
    def how_serious(self, event: AdverseEvent) -> str:
        return "serious" if event.serious else "not serious"


@admin.register(Deviation)
class DeviationAdmin(NoteAdmin):
    asked = ["enrolment", "happened_at", "kind", "major"]
    list_display = ["enrolment", "happened_at", "kind", "how_major"]
    list_filter = ["major"]
    record = staticmethod(services.record_deviation)

    @display(description="major", ordering="major", label={"major": "warning"})
    def how_major(self, deviation: Deviation) -> str:
        return "major" if deviation.major else "minor"


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
