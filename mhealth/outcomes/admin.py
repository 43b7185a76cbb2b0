from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from mhealth.outcomes import instruments
from mhealth.outcomes.models import InstrumentVersion, Occasion, Response
from mhealth.people.models import Participant
from mhealth.platform.admin import plain


class ReadOnly:
    """These rows come from files and phones; the admin shows them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(InstrumentVersion)
class InstrumentVersionAdmin(ReadOnly, ModelAdmin):
    list_display = ["instrument", "version", "languages", "not_validated", "loaded_at", "acknowledged"]
    fields = ["instrument", "version", "languages", "not_validated", "licence", "licence_acknowledged_at", "definition"]
    readonly_fields = fields
    actions_detail = ["acknowledge_licence"]

    @display(description="languages")
    def languages(self, version: InstrumentVersion) -> str:
        return ", ".join(sorted(version.texts))

    @display(description="not validated")
    def not_validated(self, version: InstrumentVersion) -> str:
        return ", ".join(sorted(code for code, text in version.texts.items() if text["status"] == "unvalidated")) or "–"

    @display(description="licence acknowledged", boolean=True)
    def acknowledged(self, version: InstrumentVersion) -> bool:
        return version.licence_acknowledged_at is not None

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        for line in instruments.operator_warnings():
            messages.warning(request, line)
        return super().changelist_view(request, extra_context)

    @action(
        description="Acknowledge the licence",
        permissions=["acknowledge_licence"],
        dialog={
            "title": "Acknowledge the licence",
            "description": "We use this instrument under the terms of its licence note.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Acknowledge",
        },
    )
    def acknowledge_licence(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        instruments.acknowledge_licence(version=self.get_object(request, object_id), user=request.user)
        return HttpResponse(
            headers={"HX-Redirect": reverse("admin:outcomes_instrumentversion_change", args=[object_id])}
        )

    def has_acknowledge_licence_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        version = self.get_object(request, str(object_id))
        granted = request.user.has_perm("outcomes.change_instrumentversion")
        return bool(version and granted and version.licence_acknowledged_at is None)


@admin.register(Occasion)
class OccasionAdmin(ReadOnly, ModelAdmin):
    """Who was asked what when, and whether they answered; no answers and no scores."""

    list_display = ["participant", "version", "name", "opens_at", "due_at", "closes_at", "answered"]
    list_filter = ["version", "name"]
    person, instrument = plain("participant"), plain("version")
    fields = ["person", "instrument", "number", "name", "opens_at", "due_at", "closes_at", "answered"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest):
        people = Participant.objects.managed_by(request.user)
        return super().get_queryset(request).filter(participant__in=people).select_related("version__instrument")

    @display(description="answered", boolean=True)
    def answered(self, occasion: Occasion) -> bool:
        return Response.objects.for_analysis().filter(occasion=occasion).exists()
