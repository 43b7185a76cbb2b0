"""People on their way into a trial and out of it, without a line of code. No page here knows an arm."""

from collections.abc import Callable
from functools import partial

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from rest_framework.exceptions import APIException
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from mhealth.platform.admin import ReadAuditedAdmin, in_words, plain, step_dialog
from mhealth.trials import services
from mhealth.trials.admin.base import ReadOnly
from mhealth.trials.admin.people import ChoosesPerson, ParticipantSearch, people_of_studies
from mhealth.trials.models import Enrolment, Screening, Trial, Withdrawal
from mhealth.trials.serializers import WORDS_LIMIT
from mhealth.trials.services.screening import MOST_PEOPLE

STATUS_COLOURS = {"candidate": "info", "allocated": "success", "withdrawn": "warning", "completed": "default"}
MY_TRIALS = ("trial", admin.RelatedOnlyFieldListFilter)  # of the rows that the reader may see


class ServiceForm(forms.ModelForm):
    """A form whose row a service makes, or says why not while the form is still there to show it.

    service: takes the fields by name, and `by`, who is signed in.
    """

    service: Callable
    by: object = None

    def _post_clean(self) -> None:
        """In place of the model's own checks, which a service would never hear of."""
        if self.errors:
            return
        try:
            self.instance = type(self).service(by=self.by, **self.cleaned_data)
        except APIException as refused:
            self.add_error(None, str(refused.detail))


class AddedByService(ChoosesPerson, ReadOnly, ReadAuditedAdmin):
    """Rows about people of the reader's trials; they are added by a service and never edited here."""

    chosen, search = "participant", ParticipantSearch
    choices = staticmethod(people_of_studies)
    list_filter = [MY_TRIALS]
    list_select_related = ["trial", "participant"]
    search_fields = ["^participant__id"]
    search_help_text = "The first characters of a pseudonym"
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"trials.add_{self.opts.model_name}")

    def get_form(self, request: HttpRequest, obj: object = None, **kwargs: object) -> type:
        return type("FormOfOneUser", (super().get_form(request, obj, **kwargs),), {"by": request.user})

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **kwargs: object):
        if db_field.name == "trial":
            kwargs["queryset"] = Trial.objects.managed_by(request.user).filter(status__in=["ready", "running"])
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj, form: ServiceForm, change: bool) -> None:
        """The service has made the row and written the log."""


class EnrolForm(ServiceForm):
    service = staticmethod(services.enrol)


class WithdrawForm(BaseDialogForm):
    kind = forms.ChoiceField(
        label="What the person asks for",
        choices=[
            (Withdrawal.Kind.STOP, "to stop; what was answered stays"),
            (Withdrawal.Kind.STOP_AND_DELETE_MEDIA, "to stop, and all photos and recordings deleted"),
            (Withdrawal.Kind.ERASE_ALL, "everything erased, after a week to think it over"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    words = forms.CharField(
        label="In their words", required=False, max_length=WORDS_LIMIT, widget=UnfoldAdminTextareaWidget
    )


@admin.register(Enrolment)
class EnrolmentAdmin(AddedByService):
    """Who is in a trial and since when; never in which arm."""

    form = EnrolForm
    list_display = ["participant", "trial", "status_label", "enrolled_at", "allocated_at"]
    list_filter = [MY_TRIALS, "status"]
    person = plain("participant")
    readonly_fields = ["person", "status", "enrolled_at", "allocated_at"]
    ordering = ["-enrolled_at"]
    more = ["repeat_baseline", "withdraw", "adverse_event", "deviation"]
    actions_detail = ["allocate", {"title": "More steps", "items": more}]

    def get_fields(self, request: HttpRequest, obj: Enrolment | None = None) -> list[str]:
        return ["person", "trial", "status", "enrolled_at", "allocated_at"] if obj else ["trial", "participant"]

    @display(description="status", ordering="status", label=STATUS_COLOURS)
    def status_label(self, enrolment: Enrolment) -> str:
        return enrolment.status

    @action(
        description="Randomise",
        permissions=["allocate"],
        dialog=step_dialog(
            "Randomise", "Gives the person the next place of their stratum, for good. Nobody learns which."
        ),
    )
    def allocate(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._step(request, object_id, services.allocate, "The person is randomised.")

    @action(
        description="Ask for the baseline again",
        permissions=["allocate"],
        dialog=step_dialog(
            "Ask for the baseline again", "Plans the questionnaire once more, because it could not be scored."
        ),
    )
    def repeat_baseline(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._step(request, object_id, services.repeat_baseline, "The baseline is planned again, from today.")

    @action(
        description="Withdraw",
        permissions=["withdraw"],
        dialog=step_dialog(
            "Withdraw",
            "The person leaves the trial for good. In the analysis they stay in the arm they were given.",
            WithdrawForm,
        ),
    )
    def withdraw(self, request: HttpRequest, form: WithdrawForm, object_id: str) -> HttpResponse:
        asked = {name: form.cleaned_data[name] for name in ("kind", "words")}
        return self._step(request, object_id, partial(services.withdraw_at_request, **asked), "The person has left.")

    @action(description="Record an adverse event", permissions=["record"])
    def adverse_event(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(f"{reverse('admin:trials_adverseevent_add')}?enrolment={object_id}")

    @action(description="Record a deviation", permissions=["record"])
    def deviation(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(f"{reverse('admin:trials_deviation_add')}?enrolment={object_id}")

    def has_record_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("trials.add_adverseevent") and request.user.has_perm("trials.add_deviation")

    def has_allocate_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._is(request, object_id, Enrolment.Status.CANDIDATE)

    def has_withdraw_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._is(request, object_id, Enrolment.Status.CANDIDATE, Enrolment.Status.ALLOCATED)

    def _is(self, request: HttpRequest, object_id: str | None, *states: str) -> bool:
        enrolment = self.get_object(request, str(object_id))
        return bool(enrolment and enrolment.status in states and self.has_add_permission(request))

    def _step(self, request: HttpRequest, object_id: str, step: Callable, done: str) -> HttpResponse:
        try:
            step(enrolment=self.get_object(request, object_id), by=request.user)
            messages.success(request, done)
        except APIException as refused:
            messages.error(request, str(refused.detail))
        return HttpResponse(headers={"HX-Redirect": reverse("admin:trials_enrolment_change", args=[object_id])})


class ScreeningForm(ServiceForm):
    service = staticmethod(services.record_screening)

    def clean_people(self) -> int:
        people = self.cleaned_data["people"]
        if not 1 <= people <= MOST_PEOPLE:
            raise forms.ValidationError(f"Between 1 and {MOST_PEOPLE}.")
        return people

    def clean(self) -> dict:
        if self.cleaned_data.get("participant") and self.cleaned_data.get("people", 1) != 1:
            raise forms.ValidationError({"people": "A named person is one person."})
        return super().clean()


@admin.register(Screening)
class ScreeningAdmin(AddedByService):
    """Whom the trial turned away, by the service or by an entry here: a flow of participants begins with them."""

    form = ScreeningForm
    list_display = ["assessed_at", "trial", "reason", "person", "people", "criteria", "struck_out"]
    list_filter = [MY_TRIALS, "reason"]
    person = plain("participant")
    readonly_fields = ["person", "criteria", "recorded_by", "struck_at"]
    ordering = ["-assessed_at"]
    actions_detail = ["strike"]

    def formfield_for_choice_field(self, db_field, request: HttpRequest, **kwargs: object):
        """No reason is chosen beforehand: the first would be recorded by haste."""
        field = super().formfield_for_choice_field(db_field, request, **kwargs)
        if db_field.name == "reason":
            field.choices = [("", "Select value"), *Screening.Reason.choices]
        return field

    def get_fields(self, request: HttpRequest, obj: Screening | None = None) -> list[str]:
        if obj:
            return ["trial", "person", "people", "reason", "criteria", "assessed_at", "recorded_by", "struck_at"]
        return ["trial", "reason", "people", "participant"]

    @display(description="", label={"struck out": "warning"})
    def struck_out(self, screening: Screening) -> str:
        return "struck out" if screening.struck_at else ""

    @action(
        description="Strike out",
        permissions=["strike"],
        dialog=step_dialog("Strike out", "A slip: the entry stays to be seen, and counts no longer."),
    )
    def strike(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        services.strike_screening(screening=self.get_object(request, object_id), by=request.user)
        return HttpResponse(headers={"HX-Redirect": reverse("admin:trials_screening_change", args=[object_id])})

    def has_strike_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        screening = self.get_object(request, str(object_id))
        return bool(screening and not screening.struck_at and self.has_add_permission(request))

    @display(description="criteria not met")
    def criteria(self, screening: Screening) -> str:
        return in_words(screening.unmet)
