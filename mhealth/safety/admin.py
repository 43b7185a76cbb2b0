from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html_join
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from mhealth.people.models import Study, User
from mhealth.platform import audit
from mhealth.platform.admin import in_words, label, step_dialog
from mhealth.safety import escalation, services
from mhealth.safety.models import CrisisResource, Duty, RiskEvent, Severity, State

SEVERITY_COLOURS = {Severity.SEVERE: "danger", Severity.PROMPT: "warning", Severity.ROUTINE: "info"}
STATE_COLOURS = dict.fromkeys(State, "danger") | {State.CLOSED: "success"}  # red until a human closes it


class StepForm(BaseDialogForm):
    note = forms.CharField(required=False, max_length=2000, widget=UnfoldAdminTextareaWidget)


@admin.register(RiskEvent)
class RiskInbox(ModelAdmin):
    """What a clinician must look at, worst first. Only the steps that are possible now show."""

    list_display = [
        "severity_label",
        "participant",
        "rule_label",
        "state_label",
        "overdue",
        "opened_at",
        "act_by",
        "repeats",
    ]
    list_display_links = ["participant"]
    list_filter = ["state", "severity", "rule"]
    list_before_template = "safety/inbox_note.html"
    actions = None
    actions_detail = ["acknowledge", "act", "confirm_contact", "close"]
    fields = [
        ("severity_now", "state_now"),
        "participant",
        ("rule_label", "evidence_label"),
        ("opened_at", "act_by"),
        ("repeats", "last_at"),
        "closed_at",
        "steps",
    ]
    readonly_fields = ["severity_now", "state_now", "rule_label", "evidence_label", "steps"]

    def get_queryset(self, request: HttpRequest):
        mine = RiskEvent.objects.of_my_people(request.user)
        return RiskEvent.objects.filter(pk__in=mine).worst_first().select_related("participant")

    def get_ordering(self, request: HttpRequest) -> list[str]:
        return ["rank", "act_by", "id"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: RiskEvent | None = None) -> bool:
        return False  # a row moves by its steps alone

    def has_delete_permission(self, request: HttpRequest, obj: RiskEvent | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        shown = getattr(response, "context_data", {}).get("cl")
        if shown:
            count = len(shown.result_list)
            audit.record(actor=request.user, action="risk.list", subject="safety.RiskEvent", count=count)
        return response

    def change_view(self, request: HttpRequest, object_id: str, *args: object, **kwargs: object) -> HttpResponse:
        event = self.get_object(request, object_id)
        if event:
            audit.record(actor=request.user, action="risk.read", subject=event.subject)
        return super().change_view(request, object_id, *args, **kwargs)

    @display(description="severity", label=SEVERITY_COLOURS, ordering="rank")
    def severity_label(self, event: RiskEvent) -> str:
        return event.severity

    @display(description="state", label=STATE_COLOURS)
    def state_label(self, event: RiskEvent) -> tuple[str, str]:
        return event.state, event.get_state_display()

    @display(description="severity")
    def severity_now(self, event: RiskEvent) -> str:
        return label(event.severity, SEVERITY_COLOURS[Severity(event.severity)])

    @display(description="state")
    def state_now(self, event: RiskEvent) -> str:
        return label(event.get_state_display(), STATE_COLOURS[State(event.state)])

    @display(description="rule", ordering="rule")
    def rule_label(self, event: RiskEvent) -> str:
        return event.rule.replace("dass21.", "DASS-21, ").replace("_", " ")

    @display(description="evidence")
    def evidence_label(self, event: RiskEvent) -> str:
        return in_words({name: value for name, value in event.evidence.items() if name != "response"})

    @display(description="in time", boolean=True)
    def overdue(self, event: RiskEvent) -> bool:
        return not event.is_overdue

    @display(description="steps")
    def steps(self, event: RiskEvent) -> str:
        rows = [
            (f"{step.at:%Y-%m-%d %H:%M} UTC", step.get_to_state_display().capitalize(), step.by, step.note)
            for step in event.moves.select_related("by")
        ]
        return format_html_join("", "<p>{} · {} · {}<br>{}</p>", rows) or "nobody has looked yet"

    @action(
        description="Acknowledge",
        permissions=["acknowledge"],
        dialog=step_dialog("Acknowledge", "I have seen this and take it on.", StepForm),
    )
    def acknowledge(self, request: HttpRequest, form: StepForm, object_id: str) -> HttpResponse:
        return self._move(request, object_id, State.ACKNOWLEDGED, form)

    @action(
        description="Record an action",
        permissions=["act"],
        dialog=step_dialog("Record an action", "What was done: a call, a message, a colleague informed.", StepForm),
    )
    def act(self, request: HttpRequest, form: StepForm, object_id: str) -> HttpResponse:
        return self._move(request, object_id, State.ACTION, form)

    @action(
        description="Contact confirmed",
        permissions=["confirm_contact"],
        dialog=step_dialog("Contact confirmed", "Somebody has spoken with the person.", StepForm),
    )
    def confirm_contact(self, request: HttpRequest, form: StepForm, object_id: str) -> HttpResponse:
        return self._move(request, object_id, State.CONTACTED, form)

    @action(
        description="Close the event",  # beside it unfold has a "Close" that only leaves the page
        permissions=["close"],
        dialog=step_dialog("Close the event", "Nothing more is to be done about this event.", StepForm),
    )
    def close(self, request: HttpRequest, form: StepForm, object_id: str) -> HttpResponse:
        return self._move(request, object_id, State.CLOSED, form)

    def has_acknowledge_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, State.ACKNOWLEDGED)

    def has_act_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, State.ACTION)

    def has_confirm_contact_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, State.CONTACTED)

    def has_close_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request, object_id, State.CLOSED)

    def _may(self, request: HttpRequest, object_id: str | None, state: str) -> bool:
        event = self.get_object(request, str(object_id))
        return bool(event and request.user.has_perm("safety.change_riskevent") and state in event.allowed_moves())

    def _move(self, request: HttpRequest, object_id: str, state: str, form: StepForm) -> HttpResponse:
        event = self.get_object(request, object_id)
        try:
            services.move(event=event, to_state=state, user=request.user, note=form.cleaned_data["note"])
        except services.MoveNotAllowed as refused:
            messages.error(request, str(refused.detail))
        return HttpResponse(headers={"HX-Redirect": reverse("admin:safety_riskevent_change", args=[object_id])})


@admin.register(Duty)
class DutyAdmin(ModelAdmin):
    """The on-call rota. An hour that nobody covers shows in red above it."""

    list_display = ["study", "clinician", "starts_at", "ends_at"]
    list_filter = ["study"]

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).filter(study__members__user=request.user)

    def save_model(self, request: HttpRequest, obj: Duty, form, change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit.record(actor=request.user, action="duty.save", subject=f"safety.Duty/{obj.pk}")

    def delete_model(self, request: HttpRequest, obj: Duty) -> None:
        audit.record(actor=request.user, action="duty.delete", subject=f"safety.Duty/{obj.pk}")
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset) -> None:
        for duty in queryset:
            self.delete_model(request, duty)

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **kwargs: object):
        if db_field.name == "study":
            kwargs["queryset"] = Study.objects.filter(members__user=request.user)
        if db_field.name == "clinician":
            kwargs["queryset"] = User.objects.filter(care_teams__study__members__user=request.user).distinct()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        for study in Study.objects.filter(members__user=request.user):
            for line in escalation.rota_warnings(study):
                messages.error(request, line)
        return super().changelist_view(request, extra_context)


@admin.register(CrisisResource)
class CrisisResourceAdmin(ModelAdmin):
    list_display = ["name", "country", "language", "phone", "hours", "emergency", "review_by"]
    list_filter = ["country", "language", "emergency"]

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        for line in escalation.resource_warnings():
            messages.error(request, line)
        return super().changelist_view(request, extra_context)

    def save_model(self, request: HttpRequest, obj: CrisisResource, form, change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit.record(actor=request.user, action="crisis.save", subject=f"safety.CrisisResource/{obj.pk}")
