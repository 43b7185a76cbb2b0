from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html_join
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from mhealth.outcomes import instruments
from mhealth.outcomes.models import InstrumentVersion, Occasion, Response
from mhealth.people.models import Participant
from mhealth.platform.admin import plain, step_dialog


def _items(numbers: list[int]) -> str:
    return f"item{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _origin(version: InstrumentVersion, language: str) -> str:
    text = version.texts[language]
    author = f"translated by {text['translator']}" if text.get("translator") else "original"
    return f"{author}. {text.get('source', '')} {text.get('validation_reference') or ''}".strip()


def _doubt(version: InstrumentVersion, language: str) -> str:
    unchecked = ["the instructions"] if not version.texts[language].get("instructions_checked", True) else []
    if numbers := version.unchecked_items(language):
        unchecked.append(_items(numbers))
    validated = "" if version.is_validated(language) else "This translation is not validated."
    compared = f"Not compared with the published form: {' and '.join(unchecked)}." if unchecked else ""
    return f"{validated} {compared}".strip()


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
    list_display = ["instrument", "version", "languages", "not_validated", "not_checked", "frozen", "acknowledged"]
    list_select_related = ["instrument"]
    fields = ["instrument", "version", "wording", "licence", "licence_acknowledged_at", "loaded_at", "frozen_at"]
    fields += ["definition"]
    readonly_fields = fields
    actions_detail = ["acknowledge_licence"]

    @display(description="languages")
    def languages(self, version: InstrumentVersion) -> str:
        return ", ".join(sorted(version.texts))

    @display(description="not validated")
    def not_validated(self, version: InstrumentVersion) -> str:
        return ", ".join(version.not_validated) or "–"

    @display(description="words not checked")
    def not_checked(self, version: InstrumentVersion) -> str:
        """Items by language."""
        found = {code: version.unchecked_items(code) for code in sorted(version.texts)}
        return "; ".join(f"{code}: {_items(numbers)}" for code, numbers in found.items() if numbers) or "–"

    @display(description="wording, by language")
    def wording(self, version: InstrumentVersion) -> str:
        """Where the words come from, who validated them, and which could not be compared with the published form."""
        lines = [(code, _origin(version, code), _doubt(version, code)) for code in sorted(version.texts)]
        return format_html_join("", "<p><b>{}</b>: {} <b>{}</b></p>", lines)

    @display(description="frozen by a trial", boolean=True)
    def frozen(self, version: InstrumentVersion) -> bool:
        return version.frozen_at is not None

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
        dialog=step_dialog("Acknowledge", "We use this instrument under the terms of its licence note."),
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

    list_display = ["participant", "instrument", "name", "opens_at", "due_at", "closes_at", "answered"]
    list_filter = ["version", "name"]
    person, instrument = plain("participant"), plain("version")
    instrument.short_description = "questionnaire"
    fields = ["person", "instrument", "number", "name", "opens_at", "due_at", "closes_at", "answered"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest):
        people = Participant.objects.managed_by(request.user)
        return super().get_queryset(request).filter(participant__in=people).select_related("version__instrument")

    @display(description="answered", boolean=True)
    def answered(self, occasion: Occasion) -> bool:
        return Response.objects.for_analysis().filter(occasion=occasion).exists()
