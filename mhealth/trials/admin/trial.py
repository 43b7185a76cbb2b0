from functools import partial

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from rest_framework.exceptions import APIException
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from mhealth.people.models import Study
from mhealth.platform import audit
from mhealth.platform.admin import in_words, label, step_dialog
from mhealth.trials import checks, eligibility, schedule, services
from mhealth.trials.admin.base import MineOnly
from mhealth.trials.admin.setup import LiveCheck, TrialForm, panel
from mhealth.trials.models import Arm, Trial
from mhealth.trials.services.setup import subject_of

STATUS_COLOURS = {"draft": "info", "ready": "warning", "running": "success", "closed": "default"}


# What is JSON in a draft, in words once it is frozen.
READ_AS = {"stratify_by": "strata", "severity_cuts": "cuts", "eligibility": "rules", "schedule": "questionnaires"}


class ArmInline(TabularInline):
    model = Arm
    fields = ["position", "name", "policy", "share", "cross_over_day"]
    hide_title = True

    def get_extra(self, request: HttpRequest, obj: Trial | None = None, **kwargs: object) -> int:
        return 0 if obj and obj.arms.exists() else 2

    def _open(self, trial: Trial | None) -> bool:
        return trial is None or not trial.sealed

    def has_add_permission(self, request: HttpRequest, obj: Trial | None = None) -> bool:
        return self._open(obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Trial | None = None) -> bool:
        return self._open(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Trial | None = None) -> bool:
        return self._open(obj) and request.user.has_perm("trials.change_trial")


def _as_list(lines: list[str]) -> str:
    return format_html_join("", "<p>{}</p>", ((line,) for line in lines))


class ExtendForm(BaseDialogForm):
    slots_per_stratum = forms.IntegerField(min_value=1, max_value=10_000, widget=UnfoldAdminIntegerFieldWidget)


@admin.register(Trial)
class TrialAdmin(LiveCheck, MineOnly, ModelAdmin):
    """A trial from draft to its end, with what the set-up still lacks."""

    form = TrialForm
    list_display = ["title", "slug", "study", "status_label", "masking", "paused", "n_people"]
    inlines = [ArmInline]
    actions = None
    actions_detail = ["seal", "verify", "start", "extend", "lock_plan", "close"]
    fields = [
        ("study", "slug"),
        "title",
        ("status_now", "masking"),
        "setup_check",
        "stratify_by",
        ("severity_scale", "severity_cuts"),
        "block_sizes",
        "slots_per_stratum",
        ("expected_people", "recruitment_weeks"),
        "eligibility",
        "baseline_instrument",
        "schedule",
        "analysis_plan",
        ("plan_locked_at", "unblinding_planned_on"),
        ("flow", "overview"),
        "commitment",
    ]
    readonly_fields = ["status_now", "masking", "setup_check", "plan_locked_at", "flow", "overview", "commitment"]

    def get_readonly_fields(self, request: HttpRequest, obj: Trial | None = None) -> list[str]:
        fixed = list(self.readonly_fields)
        if obj and obj.sealed:
            fixed += [*Trial.DESIGN_FIELDS, *READ_AS.values()]
        if obj and obj.plan_locked_at:
            fixed.append("analysis_plan")
        return fixed

    def get_fields(self, request: HttpRequest, obj: Trial | None = None) -> list:
        """Once the list is sealed nobody needs the block sizes, and who enrols should not know them."""
        if not (obj and obj.sealed):
            return self.fields
        shown = [field for field in self.fields if field != "block_sizes"]
        return [
            tuple(READ_AS.get(name, name) for name in field) if isinstance(field, tuple) else READ_AS.get(field, field)
            for field in shown
        ]

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **kwargs: object):
        if db_field.name == "study":
            kwargs["queryset"] = Study.objects.filter(members__user=request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field, request: HttpRequest, **kwargs: object):
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "analysis_plan":
            field.widget.attrs["rows"] = 4
        return field

    def save_model(self, request: HttpRequest, obj: Trial, form, change: bool) -> None:
        super().save_model(request, obj, form, change)
        verb = "trial.changed" if change else "trial.created"
        audit.record(actor=request.user, action=verb, subject=subject_of(obj), fields=form.changed_data)

    @display(description="status", label=STATUS_COLOURS)
    def status_label(self, trial: Trial) -> str:
        return trial.status

    @display(description="status")
    def status_now(self, trial: Trial) -> str:
        return label(trial.status, STATUS_COLOURS[trial.status])

    @display(description="strata by")
    def strata(self, trial: Trial) -> str:
        return in_words(trial.stratify_by)

    @display(description="cuts on that scale")
    def cuts(self, trial: Trial) -> str:
        return in_words(trial.severity_cuts)

    @display(description="who may take part")
    def rules(self, trial: Trial) -> str:
        return _as_list(eligibility.in_words(trial.eligibility)) or "everybody in the study"

    @display(description="questionnaires")
    def questionnaires(self, trial: Trial) -> str:
        """Of the versions that were frozen with the list."""
        return _as_list(schedule.in_words(trial.schedule, trial.instrument_versions))

    @display(description="masking")
    def masking(self, trial: Trial) -> str:
        if trial.pk is None:
            return "–"
        return "open-label" if trial.open_label else "masked" if trial.masked else "unblinded"

    @display(description="people")
    def n_people(self, trial: Trial) -> int:
        return trial.enrolments.count()

    @display(description="people by status")
    def flow(self, trial: Trial) -> str:
        return (
            ", ".join(f"{people} {status}" for status, people in sorted(trial.enrolments.counts().items())) or "nobody"
        )

    @display(description="overview")
    def overview(self, trial: Trial) -> str:
        """The page of another room, by the name of its address."""
        if trial.pk is None or not trial.sealed:
            return "once the list is sealed"
        url = reverse("trial-overview", args=[trial.slug])
        return format_html('<a class="underline" href="{}">Flow, curves, data quality, exports</a>', url)

    @display(description="set-up check")
    def setup_check(self, trial: Trial) -> str:
        if trial.pk is None:
            return panel([checks.Finding(True, "Fill in the form: what is missing shows here.")])
        return panel(checks.findings(trial), trial.pk, live=not trial.sealed)

    @action(
        description="Seal the list",
        permissions=["seal"],
        dialog=step_dialog("Seal the list", "Draws and seals the allocation list. The design cannot change after it."),
    )
    def seal(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._step(request, object_id, services.seal_list, "The list is sealed.")

    @action(
        description="Open enrolment",
        permissions=["start"],
        dialog=step_dialog("Open enrolment", "From now on people can be enrolled and allocated."),
    )
    def start(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._step(request, object_id, services.start, "Enrolment is open.")

    @action(
        description="Extend the list",
        permissions=["extend"],
        dialog=step_dialog("Extend the list", "Continues the same list to so many slots per stratum.")
        | {"form_class": ExtendForm},
    )
    def extend(self, request: HttpRequest, form: ExtendForm, object_id: str) -> HttpResponse:
        extend = partial(services.extend_list, slots_per_stratum=form.cleaned_data["slots_per_stratum"])
        return self._step(request, object_id, extend, "The list is longer, and enrolment goes on.")

    @action(
        description="Lock the plan",
        permissions=["lock_plan"],
        dialog=step_dialog("Lock the plan", "The analysis plan cannot change after it."),
    )
    def lock_plan(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._step(request, object_id, services.lock_plan, "The analysis plan is locked.")

    @action(
        description="Close the trial",
        permissions=["close"],
        dialog=step_dialog("Close the trial", "Ends enrolment and what the arms give. This cannot be undone."),
    )
    def close(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._step(request, object_id, services.close, "The trial is closed.")

    @action(
        description="Verify the list",
        permissions=["verify"],
        dialog=step_dialog("Verify the list", "Derives the list again from its seed and compares it row by row."),
    )
    def verify(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        found = services.verify_list(trial=self.get_object(request, object_id))
        if found.holds:
            messages.success(request, f"All {found.n_slots} slots are as the seed gives them.")
        else:
            messages.error(request, f"The list does not verify: {len(found.differences)} slots differ.")
        return self._back(object_id)

    def has_seal_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, lambda trial: trial.status == Trial.Status.DRAFT)

    def has_start_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, lambda trial: trial.status == Trial.Status.READY)

    def has_close_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, lambda trial: trial.status == Trial.Status.RUNNING)

    def has_verify_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, lambda trial: trial.status != Trial.Status.DRAFT)

    def has_extend_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, lambda trial: trial.status in (Trial.Status.READY, Trial.Status.RUNNING))

    def has_lock_plan_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, lambda trial: trial.analysis_plan and not trial.plan_locked_at)

    def _may(self, request: HttpRequest, object_id: str | None, allowed) -> bool:
        trial = self.get_object(request, str(object_id))
        return bool(trial and request.user.has_perm("trials.change_trial") and allowed(trial))

    def _step(self, request: HttpRequest, object_id: str, step, done: str) -> HttpResponse:
        try:
            step(trial=self.get_object(request, object_id), by=request.user)
            messages.success(request, done)
        except APIException as refused:
            messages.error(request, str(refused.detail))
        return self._back(object_id)

    def _back(self, object_id: str) -> HttpResponse:
        return HttpResponse(headers={"HX-Redirect": reverse("admin:trials_trial_change", args=[object_id])})
