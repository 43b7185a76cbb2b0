"""Setting a trial up without JSON: the form of a draft, and a check of what is missing that follows the typing."""

from django import forms
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.safestring import SafeString
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from mhealth.outcomes.models import Instrument
from mhealth.trials import checks, eligibility, schedule
from mhealth.trials.admin.fields import NumberList, RowForm, Rows
from mhealth.trials.models import Trial
from mhealth.trials.models.trial import FACTORS, four_and_six, sealed_sentence

YES_NO = {"yes": True, "no": False}


class EligibilityRow(RowForm):
    fact = forms.ChoiceField(
        choices=[("", "–"), *((fact, fact.replace("_", " ")) for fact in eligibility.FACTS)],
        widget=UnfoldAdminSelectWidget,
    )
    at_least = forms.FloatField(required=False, widget=UnfoldAdminDecimalFieldWidget)
    at_most = forms.FloatField(required=False, widget=UnfoldAdminDecimalFieldWidget)
    one_of = forms.CharField(required=False, widget=UnfoldAdminTextInputWidget, help_text="with commas: en, de")
    must_be = forms.ChoiceField(
        required=False, choices=[("", "–"), ("yes", "yes"), ("no", "no")], widget=UnfoldAdminSelectWidget
    )

    @classmethod
    def initial_of(cls, row: dict) -> dict:
        wanted, allowed = row.get("is"), row.get("one_of", [])
        if "is" in row and not isinstance(wanted, bool):
            allowed = [wanted]  # to be one thing is to be one of a list of one
        shown = {"one_of": ", ".join(map(str, allowed))}
        if isinstance(wanted, bool):
            shown["must_be"] = "yes" if wanted else "no"
        return {name: row[name] for name in ("fact", "at_least", "at_most") if name in row} | shown

    def as_json(self) -> dict:
        said = self.cleaned_data
        rule = {"fact": said["fact"]}
        for limit in ("at_least", "at_most"):
            if (value := said[limit]) is not None:
                rule[limit] = int(value) if value.is_integer() else value
        if said["one_of"]:
            rule["one_of"] = [part.strip() for part in said["one_of"].split(",") if part.strip()]
        if said["must_be"]:
            rule["is"] = YES_NO[said["must_be"]]
        return rule


class OccasionRow(RowForm):
    instrument = forms.CharField(label="Questionnaire")
    start = forms.ChoiceField(
        label="Days count from",
        choices=[("", "–"), (schedule.ENROLMENT, "enrolment"), (schedule.ALLOCATION, "allocation")],
        widget=UnfoldAdminSelectWidget,
    )
    name = forms.CharField(max_length=50, widget=UnfoldAdminTextInputWidget)
    day = forms.IntegerField(label="Opens on day", min_value=0, widget=UnfoldAdminIntegerFieldWidget)
    due_after_days = forms.IntegerField(
        label="Due after", help_text="days; empty: 3", required=False, min_value=0, widget=UnfoldAdminIntegerFieldWidget
    )
    days_open = forms.IntegerField(
        label="Open for", help_text="days; empty: 7", required=False, min_value=1, widget=UnfoldAdminIntegerFieldWidget
    )
    more_than_weekly = forms.BooleanField(
        label="Sooner", help_text="than allowed", required=False, widget=UnfoldBooleanWidget
    )

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        loaded = Instrument.objects.order_by("slug").values_list("slug", "slug")
        kept = self["instrument"].value()  # also one that is not loaded: the check says so, nothing gets lost
        also = [(kept, f"{kept} (not loaded)")] if kept and kept not in dict(loaded) else []
        self.fields["instrument"].widget = UnfoldAdminSelectWidget(choices=[("", "–"), *loaded, *also])

    @classmethod
    def initial_of(cls, row: dict) -> dict:
        return row | {"start": row.get("from")}

    def as_json(self) -> dict:
        said = self.cleaned_data
        line = {"instrument": said["instrument"], "from": said["start"], "name": said["name"], "day": said["day"]}
        optional = ("due_after_days", "days_open", "more_than_weekly")
        return line | {name: said[name] for name in optional if said[name] not in (None, False)}


class TrialForm(forms.ModelForm):
    stratify_by = forms.MultipleChoiceField(
        label="Strata by",
        choices=[(factor, factor) for factor in FACTORS],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    severity_cuts = NumberList(
        label="Cuts on that scale",
        required=False,
        help_text="One or two doubled scores, “14” or “10, 21”; each is the lowest of the group above it.",
    )
    block_sizes = NumberList(initial=four_and_six, help_text="“4, 6”: multiples of the sum of the arms' shares.")
    eligibility = Rows(EligibilityRow, label="Who may take part", help_text="All rows must hold.")
    schedule = Rows(OccasionRow, label="Questionnaires", help_text="The same for every arm.")

    class Meta:
        model = Trial
        fields = ["stratify_by", "severity_cuts", "block_sizes", "eligibility", "schedule"]  # the admin names the rest

    def clean(self) -> dict:
        """A page that was opened before the list was sealed still sends the whole design: none of it is taken."""
        if self.instance.pk and self.instance.sealed:
            fields = [name for name in Trial.DESIGN_FIELDS if name in self.data or f"{name}-rows" in self.data]
            arms = ["arms"] if "arms-0-policy" in self.data else []
            if fields or arms:
                raise forms.ValidationError(sealed_sentence(fields, *arms))
        return super().clean()


class LiveCheck:
    """For the admin of trials: tries out what the form says, tells what is still missing, and keeps nothing of it."""

    def get_urls(self) -> list:
        view = self.admin_site.admin_view(self.check_as_typed)
        return [
            path("setup-check/", view, name="trials_trial_check_new"),
            path("<path:object_id>/setup-check/", view, name="trials_trial_check"),
            *super().get_urls(),
        ]

    def check_as_typed(self, request: HttpRequest, object_id: str | None = None) -> HttpResponse:
        trial = self.get_object(request, object_id) if object_id else None
        allowed = self.has_change_permission(request, trial) if trial else self.has_add_permission(request)
        if request.method != "POST" or not allowed or (object_id and not trial):
            raise Http404
        with transaction.atomic():
            found = self._try_out(request, trial)
            transaction.set_rollback(True)
        return HttpResponse(panel(found, object_id))

    def _try_out(self, request: HttpRequest, trial: Trial | None) -> list[checks.Finding]:
        form = self.get_form(request, trial, change=trial is not None)(request.POST, instance=trial)
        if not form.is_valid():
            return [checks.Finding(True, text) for text in _in_words(form)]
        tried = form.save()
        formsets, _ = self._create_formsets(request, tried, change=trial is not None)
        for formset in formsets:
            if not formset.is_valid():
                return [checks.Finding(True, text) for row in formset.forms for text in _in_words(row, "Arms, ")]
            formset.save()
        return checks.findings(Trial.objects.get(pk=tried.pk))


def _in_words(form: forms.BaseForm, where: str = ""):
    for name, errors in form.errors.items():
        label = form[name].label if name in form.fields else "The whole"
        yield from (f"{where}{label.lower() if where else label.capitalize()}: {error}" for error in errors)


def panel(found: list[checks.Finding], object_id: object = None, *, live: bool = True) -> SafeString:
    """The findings as they stand on the page; `live`: ask again whenever a field changes."""
    url = (
        reverse("admin:trials_trial_check", args=[object_id]) if object_id else reverse("admin:trials_trial_check_new")
    )
    context = {
        "missing": [finding.text for finding in found if finding.must],
        "look": [finding.text for finding in found if not finding.must],
        "url": url if live else "",
    }
    return render_to_string("trials/admin/setup_check.html", context)
