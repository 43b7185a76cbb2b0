"""Admin pages that leave a trace, and the trace itself."""

from collections.abc import Iterable

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import BaseDialogForm

from mhealth.platform import audit
from mhealth.platform.models import AuditEvent


def step_dialog(title: str, description: str, form: type[BaseDialogForm] = BaseDialogForm) -> dict:
    """A dialog also makes the step a POST: following a link changes nothing."""
    return {"title": title, "description": description, "form_class": form, "form_submit_text": title}


class AuditedAdmin(ModelAdmin):
    """Every change by staff, and every read of people's rows, is an audit event: ids and field names, never values."""

    def log_addition(self, request: HttpRequest, obj, message):
        audit.record(actor=request.user, action="admin.added", subject=_subject(obj))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj, message):
        fields = [
            name for part in message if isinstance(part, dict) for name in part.get("changed", {}).get("fields", [])
        ]
        audit.record(actor=request.user, action="admin.changed", subject=_subject(obj), fields=fields)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset):
        for obj in queryset:
            audit.record(actor=request.user, action="admin.deleted", subject=_subject(obj))
        return super().log_deletions(request, queryset)


class ReadAuditedAdmin(AuditedAdmin):
    """Rows of people: every look at them and every action on them is an audit event, by id and count, never by name."""

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        shown = getattr(response, "context_data", {}).get("cl")
        if shown:
            audit.record(
                actor=request.user, action="admin.listed", subject=self.model._meta.label, count=len(shown.result_list)
            )
        return response

    def change_view(self, request: HttpRequest, object_id: str, *args: object, **kwargs: object) -> HttpResponse:
        obj = self.get_object(request, object_id)
        if obj:
            self.record_read(request, obj)
        return super().change_view(request, object_id, *args, **kwargs)

    def record_read(self, request: HttpRequest, obj) -> None:
        audit.record(actor=request.user, action="admin.read", subject=_subject(obj))

    def record_action(self, request: HttpRequest, action: str, rows: Iterable) -> None:
        for row in rows:
            audit.record(actor=request.user, action=action, subject=_subject(row))


class ReadOnlyAdmin(ReadAuditedAdmin):
    """Rows that staff may look at. Rows of people are narrowed to those this user may see, and reads are recorded."""

    def get_queryset(self, request: HttpRequest):
        rows = super().get_queryset(request)
        return rows.visible_to(request.user) if hasattr(rows, "visible_to") else rows

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj=None) -> bool:
        return False


def label(text: str, colour: str) -> str:
    """A coloured label for a detail page: unfold colours them only in lists."""
    return render_to_string("unfold/helpers/label.html", {"type": colour, "text": text})


def plain(field: str):
    """A column that shows a related row as text, where its own page is not for this reader."""

    @display(description=field.replace("_", " "), ordering=field)
    def show(self, obj) -> str:
        return str(getattr(obj, field) or "–")

    return show


def in_words(data: object) -> str:
    """A small JSON value as a reader would say it: no braces, no quotes."""
    if isinstance(data, dict):
        return ", ".join(f"{str(key).replace('_', ' ')}: {in_words(value)}" for key, value in data.items()) or "–"
    if isinstance(data, list):
        return ", ".join(in_words(value) for value in data) or "–"
    return "–" if data is None else f"{data:g}" if isinstance(data, float) else str(data)


def _subject(obj) -> str:
    return f"{obj._meta.label}/{obj.pk}"


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ["at", "action", "subject", "actor", "details_label"]
    fields = ["at", "action", "subject", "actor", "details_label", "previous", "digest"]
    readonly_fields = ["details_label"]
    list_filter = ["action"]
    search_fields = ["subject", "actor"]
    ordering = ["-id"]
    list_per_page = 50

    @display(description="details")
    def details_label(self, event: AuditEvent) -> str:
        return in_words(event.details)


def hide_accounts_of_libraries() -> None:
    """Tokens, mail addresses and second factors are not edited by hand; roles come from people.roles."""
    for label in (
        "knox.AuthToken",
        "account.EmailAddress",
        "account.EmailConfirmation",
        "mfa.Authenticator",
        "auth.Group",
    ):
        model = apps.get_model(label)
        if admin.site.is_registered(model):
            admin.site.unregister(model)
