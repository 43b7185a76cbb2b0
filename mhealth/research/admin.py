from datetime import datetime

from django import forms
from django.contrib import admin, messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from rest_framework.exceptions import APIException
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from mhealth.people.staff import gave_password_lately, password_page, with_password
from mhealth.platform.admin import ReadAuditedAdmin, step_dialog
from mhealth.platform.hints import hint
from mhealth.platform.leases import WorkStatus
from mhealth.research import tasks
from mhealth.research.models import Export
from mhealth.research.serializers import FORMATS, REPORT
from mhealth.trials.models import Trial

COLOURS = {"done": "success", "running": "info", "quarantined": "danger", "refused": "danger"}


class ExportForm(forms.ModelForm):
    """What to take out, and why."""

    formats = forms.MultipleChoiceField(
        choices=[*((name, name) for name in FORMATS), (REPORT, "report, alone: the page, figures, numbers as CSV")],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="All of the data if none is chosen.",
    )

    sites = forms.CharField(
        required=False, widget=UnfoldAdminTextInputWidget, help_text="Names with commas between them; all if empty."
    )

    class Meta:
        model = Export
        fields = ["trial", "reason", "formats", "sites", "identifiable"]
        help_texts = {
            "reason": "Goes into the audit; no names of people in it.",
            "identifiable": "With a table of who the people are: needs a permission and a second person.",
        }

    def clean_sites(self) -> list[str]:
        return [name.strip() for name in self.cleaned_data["sites"].split(",") if name.strip()]

    def clean(self) -> dict:
        """What the API would refuse is refused here in the same words."""
        from mhealth.research import services  # loads pyarrow, which the other pages need not

        data = super().clean()
        if "trial" in data and "sites" in data:
            try:
                services.check(data["trial"], self.user, self.order())
            except APIException as refused:
                raise forms.ValidationError(str(refused.detail)) from refused
        return data

    def order(self):
        from mhealth.research.package import Order

        data = self.cleaned_data
        return Order.of(data["formats"], data["sites"], data["identifiable"])


@admin.register(Export)
class ExportAdmin(ReadAuditedAdmin):
    """Who asked for which data and why, where it stands, and the file; with identities after a second person's yes."""

    form = ExportForm
    list_display = ["trial", "stage_label", "how_far", "asked_by", "asked", "formats_label", "filters", "rows"]
    list_filter = ["status", "identifiable", "trial"]
    list_select_related = ["trial", "asked_by"]
    fields = [*list_display, "reason", "identifiable", "decided_by", "decided_at", "finished", "cut_off"]
    fields += ["people_in_small_cells", "hash_of_manifest", "size", "attempts", "fault"]
    ordering = ["-queued_at"]
    actions = ["run_again"]
    actions_detail = ["download", "approve", "refuse"]

    def get_queryset(self, request: HttpRequest):
        """A researcher's studies; to a trial manager what waits for a second person, or waited."""
        mine, theirs = Export.objects.visible_to(request.user), Export.objects.to_approve(request.user)
        return super().get_queryset(request).filter(Q(pk__in=mine.values("pk")) | Q(pk__in=theirs.values("pk")))

    def get_fields(self, request: HttpRequest, obj: Export | None = None) -> list[str]:
        return self.fields if obj else ExportForm.Meta.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Export | None = None) -> list[str]:
        return self.fields if obj else []

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **kwargs: object):
        kwargs["queryset"] = Trial.objects.visible_to(request.user).exclude(status=Trial.Status.DRAFT)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Export | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Export | None = None) -> bool:
        return False

    def add_view(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if self.has_add_permission(request) and not gave_password_lately(request):
            return password_page(request, request.path)
        return super().add_view(request, *args, **kwargs)

    def get_form(self, request: HttpRequest, obj: Export | None = None, **kwargs: object) -> type[forms.ModelForm]:
        if obj:
            return super().get_form(request, obj, **(kwargs | {"form": forms.ModelForm}))  # nothing can be changed
        return type("ExportForm", (super().get_form(request, obj, **kwargs),), {"user": request.user})

    def save_model(self, request: HttpRequest, obj: Export, form: ExportForm, change: bool) -> None:
        """The service makes the row: it checks once more and writes the log."""
        from mhealth.research import services

        asked = services.ask(trial=obj.trial, user=request.user, reason=form.cleaned_data["reason"], order=form.order())
        obj.pk, obj._state.adding = asked.pk, False
        if not asked.identifiable:
            hint(tasks.build_export, export_id=str(asked.pk))

    @display(description="stage", label=COLOURS)
    def stage_label(self, export: Export) -> str:
        return export.stage.replace("_", " ")

    @display(description="asked", ordering="queued_at")
    def asked(self, export: Export) -> datetime:
        return export.queued_at

    @display(description="finished")
    def finished(self, export: Export) -> datetime | None:
        return export.finished_at

    @display(description="progress")
    def how_far(self, export: Export) -> str:
        return f"{export.progress} %" if export.status in (WorkStatus.RUNNING, WorkStatus.DONE) else "–"

    @display(description="rows", ordering="n_rows")
    def rows(self, export: Export) -> str:
        return "–" if export.n_rows is None else f"{export.n_rows:,}"

    @display(description="hash of the manifest (SHA-256)")
    def hash_of_manifest(self, export: Export) -> str:
        return export.sha256 or "–"

    @display(description="formats")
    def formats_label(self, export: Export) -> str:
        return ", ".join(export.formats) or "all"

    @display(description="filters")
    def filters(self, export: Export) -> str:
        people = f"sites {', '.join(export.sites)}" if export.sites else "everybody"
        return f"{people}, with identities" if export.identifiable else people

    @admin.action(description="Run quarantined exports again", permissions=["add"])
    def run_again(self, request: HttpRequest, queryset) -> None:
        for export in queryset.filter(status=WorkStatus.QUARANTINED):
            export.requeue()
            self.record_action(request, "research.export_run_again", [export])

    @action(description="Download", permissions=["download"])
    @with_password
    def download(self, request: HttpRequest, object_id: str) -> HttpResponse:
        export = self.get_object(request, object_id)
        path = reverse("export-file", args=[export.pk])
        return HttpResponseRedirect(f"{path}?token={export.link_token(request.user)}")

    @action(
        description="Approve",
        permissions=["decide"],
        dialog=step_dialog("Approve", "The file will say who the people are."),
    )
    @with_password
    def approve(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, approve=True)

    @action(
        description="Refuse",
        permissions=["decide"],
        dialog=step_dialog("Refuse", "Nothing will be exported."),
    )
    def refuse(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, approve=False)

    def has_download_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        export = Export.objects.visible_to(request.user).filter(pk=object_id).first()
        return bool(export and export.ready)

    def has_decide_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return Export.objects.to_approve(request.user).filter(pk=object_id, approved=None).exists()

    def _decide(self, request: HttpRequest, object_id: str, *, approve: bool) -> HttpResponse:
        from mhealth.research import services

        try:
            asked = Export.objects.to_approve(request.user).get(pk=object_id)
            if services.decide(export=asked, by=request.user, approve=approve).approved:
                hint(tasks.build_export, export_id=str(asked.pk))
        except APIException as refused:
            messages.error(request, str(refused.detail))
        return HttpResponse(headers={"HX-Redirect": reverse("admin:research_export_change", args=[object_id])})
