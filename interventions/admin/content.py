"""Where clinicians write activities and bring them through review. A page shows only the steps possible now."""

from collections.abc import Callable

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.html import format_html_join
from rest_framework.exceptions import APIException
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from interventions import services
from interventions.models import Activity, Review, Version
from interventions.validation import State
from mhealth.platform.admin import step_dialog

STATE_COLOURS = {
    State.DRAFT: "info",
    State.IN_REVIEW: "warning",
    State.CHANGES_ASKED: "warning",
    State.APPROVED: "primary",
    State.PUBLISHED: "success",
    State.SUSPENDED: "danger",
    State.RETIRED: "default",
}


class CommentForm(BaseDialogForm):
    comment = forms.CharField(required=False, max_length=90, widget=UnfoldAdminTextareaWidget)


class RatingField(forms.TypedChoiceField):
    def __init__(self, **kwargs: object) -> None:
        super().__init__(choices=Review.RATING, coerce=int, widget=forms.RadioSelect, **kwargs)


class ReviewForm(forms.Form):
    """Stands open on the page: three ratings, and the button pressed is the verdict. Four clicks."""

    relevance = RatingField(help_text="to what it is meant for")
    clarity = RatingField(help_text="to somebody who is not well")
    safety = RatingField(help_text="also for somebody it does not suit")
    verdict = forms.ChoiceField(choices=Review.Verdict.choices)
    comment = forms.CharField(
        required=False, max_length=2000, widget=UnfoldAdminTextareaWidget({"rows": 2}), help_text="if you like"
    )

    @property
    def ratings(self) -> list[forms.BoundField]:
        return [self[name] for name in ("relevance", "clarity", "safety")]


class Kept(SimpleHistoryAdmin, ModelAdmin):
    """Content with its history; nothing of it is ever deleted."""

    actions = None

    class Media:
        css = {"all": ["interventions/admin.css"]}

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj, form, change: bool) -> None:
        obj._change_reason = f"changed {', '.join(form.changed_data)}"[:100] if change else "written"
        super().save_model(request, obj, form, change)


@admin.register(Activity)
class ActivityAdmin(Kept):
    list_display = ["key", "technique_name", "texts_label", "minutes", "effort", "grounding", "clinician_order"]
    list_filter = ["technique", "versions__state", "versions__language", "grounding"]
    search_fields = ["key", "versions__title"]
    list_before_template = "interventions/agreement.html"
    change_form_before_template = "interventions/texts.html"
    actions_detail = ["suspend"]
    fieldsets = [
        (None, {"fields": [("key", "technique"), ("minutes", "arousal_direction"), "effort", "grounding"]}),
        ("For whom, and for whom not", {"fields": ["targets", "contra_indications"]}),
        ("Source", {"fields": ["evidence", ("licence", "reading_age", "review_months", "clinician_order")]}),
    ]
    filter_horizontal = ["contra_indications"]

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).prefetch_related("versions").distinct()

    def get_readonly_fields(self, request: HttpRequest, obj: Activity | None = None) -> list[str]:
        return ["key"] if obj else []  # decisions and models know the activity by it

    def formfield_for_dbfield(self, db_field, request: HttpRequest, **kwargs: object):
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name in ("targets", "evidence"):
            field.widget.attrs["rows"] = 3
        return field

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        more = {"agreement": services.reviewer_agreement()}
        return super().changelist_view(request, (extra_context or {}) | more)

    @display(description="technique", ordering="technique")
    def technique_name(self, activity: Activity) -> str:
        return activity.get_technique_display()

    @display(description="texts")
    def texts_label(self, activity: Activity) -> str:
        newest: dict[str, Version] = {}
        for version in activity.versions.all():  # the newest number of a language comes first
            newest.setdefault(version.language, version)
        rows = [(v.state, v.language, v.get_state_display()) for v in newest.values()]
        return format_html_join(" ", '<span class="mh-state mh-{}">{} {}</span>', rows) or "none yet"

    @action(
        description="Suspend all texts",
        permissions=["suspend"],
        dialog=step_dialog(
            "Suspend all texts", "Takes every text of this activity out of offers and off phones, at once.", CommentForm
        ),
    )
    def suspend(self, request: HttpRequest, form: CommentForm, object_id: str) -> HttpResponse:
        activity = self.get_object(request, object_id)
        return step(
            request,
            reverse("admin:interventions_activity_change", args=[object_id]),
            lambda: services.suspend_activity(
                activity=activity, user=request.user, comment=form.cleaned_data["comment"]
            ),
        )

    def has_suspend_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        activity = self.get_object(request, str(object_id))
        published = activity.versions.filter(state=State.PUBLISHED) if activity else []
        return any(State.SUSPENDED in version.allowed_moves(request.user) for version in published)


class StepsField(forms.CharField):
    """One step per line."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: object) -> object:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: object) -> list[str]:
        return [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]

    def has_changed(self, initial: object, data: object) -> bool:
        return (initial or []) != self.to_python(data)


class VersionForm(forms.ModelForm):
    steps = StepsField(help_text="Three to seven steps, one per line.")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        for name, rows in (("summary", 3), ("steps", 8), ("for_whom", 2), ("not_for_whom", 2)):
            if name in self.fields:  # a reader's page has none of them
                self.fields[name].widget.attrs["rows"] = rows

    class Meta:
        model = Version
        fields = "__all__"  # noqa: DJ007 (the admin below names them)


def move_action(name: str, to_state: State, title: str, description: str):
    """One button of the table of moves: there only while `allowed_moves` names it."""

    def act(self, request: HttpRequest, form: CommentForm, object_id: str) -> HttpResponse:
        version = self.get_object(request, object_id)
        comment = form.cleaned_data["comment"]
        return step(
            request,
            reverse("admin:interventions_version_change", args=[object_id]),
            lambda: services.move(version=version, to_state=to_state, user=request.user, comment=comment),
        )

    def permitted(self, request: HttpRequest, object_id: str | None = None) -> bool:
        version = self.get_object(request, str(object_id))
        return bool(version and to_state in version.allowed_moves(request.user))

    act.__name__ = name
    return action(description=title, permissions=[name], dialog=step_dialog(title, description, CommentForm))(
        act
    ), permitted


def step(request: HttpRequest, back: str, do) -> HttpResponse:
    """Do it, say why not if it is refused, and return to the page."""
    if refusal := refused(do):
        messages.error(request, refusal)
    return HttpResponse(headers={"HX-Redirect": back})


def refused(do: Callable[[], object]) -> str:
    """Do it; the reason if it is refused, else nothing."""
    try:
        do()
    except APIException as refusal:
        return str(refusal.detail)
    return ""


@admin.register(Version)
class VersionAdmin(Kept):
    """One text of an activity: how it looks on a phone, what reviewers said, and the next step."""

    form = VersionForm
    list_display = ["title", "activity", "language", "number", "state_label", "index", "next_review_on"]
    list_filter = ["state", "language", "activity__technique"]
    search_fields = ["title", "activity__key"]
    change_form_before_template = "interventions/version.html"
    actions_detail = ["submit", "ask_changes", "approve", "publish", "suspend", "retire", "new_version"]
    TEXT = ["title", "summary", "steps", "for_whom", "not_for_whom", "when_it_does_not_help"]
    fieldsets = [("Text", {"fields": [("activity", "language"), *TEXT]})]

    submit, has_submit_permission = move_action(
        "submit",
        State.IN_REVIEW,
        "Submit for review",
        "Two reviewers other than the author rate it; it is fixed.",
    )
    ask_changes, has_ask_changes_permission = move_action(
        "ask_changes", State.CHANGES_ASKED, "Return for changes", "The author can change the text and submit it again."
    )
    approve, has_approve_permission = move_action(
        "approve", State.APPROVED, "Approve", "Two reviewers rated it well enough."
    )
    publish, has_publish_permission = move_action(
        "publish", State.PUBLISHED, "Publish", "It can be offered from now on; the version before it is retired."
    )
    suspend, has_suspend_permission = move_action(
        "suspend", State.SUSPENDED, "Suspend", "Takes the text out of offers and off phones, at once."
    )
    retire, has_retire_permission = move_action("retire", State.RETIRED, "Retire", "For good.")

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).select_related("activity", "author", "approved_by")

    def get_readonly_fields(self, request: HttpRequest, obj: Version | None = None) -> list[str]:
        if obj is None:
            return []
        return ["activity", "language"] if obj.is_editable else ["activity", "language", *self.TEXT]

    def get_fieldsets(self, request: HttpRequest, obj: Version | None = None) -> list:
        """A text that is fixed is read on its card, not in a form."""
        return [] if obj and not obj.is_editable else self.fieldsets

    def has_change_permission(self, request: HttpRequest, obj: Version | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.is_editable)

    def save_model(self, request: HttpRequest, obj: Version, form, change: bool) -> None:
        if not change:
            obj.author = request.user
            others = Version.objects.filter(activity=obj.activity, language=obj.language)
            obj.number = (others.aggregate(last=Max("number"))["last"] or 0) + 1
        super().save_model(request, obj, form, change)

    @display(description="state", label=STATE_COLOURS)
    def state_label(self, version: Version) -> tuple[str, str]:
        return version.state, version.get_state_display()

    @display(description="content validity")
    def index(self, version: Version) -> str:
        return "–" if version.scale_cvi is None else f"{version.scale_cvi:.2f}"

    def get_urls(self) -> list:
        review = self.admin_site.admin_view(self.review)
        return [path("<int:pk>/review/", review, name="interventions_version_review"), *super().get_urls()]

    def changeform_view(self, request: HttpRequest, object_id=None, form_url="", extra_context=None) -> HttpResponse:
        version = self.get_object(request, object_id) if object_id else None
        may_review = bool(version and version.may_be_reviewed_by(request.user))
        more = {"review_form": ReviewForm(auto_id="review_%s") if may_review else None}
        return super().changeform_view(request, object_id, form_url, (extra_context or {}) | more)

    def review(self, request: HttpRequest, pk: int) -> HttpResponse:
        version = self.get_object(request, str(pk))
        if request.method != "POST" or not (version and version.may_be_reviewed_by(request.user)):
            raise PermissionDenied
        form = ReviewForm(request.POST)
        if form.is_valid():
            refusal = refused(lambda: services.review(version=version, reviewer=request.user, **form.cleaned_data))
        else:
            refusal = f"Not recorded: rate {' and '.join(form.errors)}."
        if refusal:
            messages.error(request, refusal)
        return redirect("admin:interventions_version_change", pk)

    @action(
        description="Write a new version",
        permissions=["new_version"],
        dialog=step_dialog("Write a new version", "A draft with this text. This version stays as it is."),
    )
    def new_version(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        draft = services.copy_as_draft(version=self.get_object(request, object_id), by=request.user)
        return HttpResponse(headers={"HX-Redirect": reverse("admin:interventions_version_change", args=[draft.pk])})

    def has_new_version_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        version = self.get_object(request, str(object_id))
        return bool(version and not version.is_editable and request.user.has_perm("interventions.add_version"))
