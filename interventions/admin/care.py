"""What clinicians set for their own people, and the models and freezes that others may look at."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from interventions import services
from interventions.admin.content import step
from interventions.models import CareChoice, ContentFreeze, ModelVersion
from mhealth.people.models import Participant
from mhealth.platform.admin import ReadAuditedAdmin, step_dialog
from mhealth.trials.models import Trial


class ReadOnly(ReadAuditedAdmin):
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(CareChoice)
class CareChoiceAdmin(ReadOnly):
    """Pin, exclude, pause, or name what speaks against activities. In a trial it is a recorded deviation."""

    list_display = ["participant", "kind", "about", "made_by", "made_at", "ended_at"]
    list_filter = ["kind"]
    fields = ["participant", "kind", "activity", "contra_indication", "ended_at"]
    actions_detail = ["end"]

    def get_queryset(self, request: HttpRequest):
        mine = CareChoice.objects.visible_to(request.user).values("pk")
        return super().get_queryset(request).filter(pk__in=mine).select_related("activity", "contra_indication")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("interventions.add_carechoice")

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **kwargs: object):
        if db_field.name == "participant":
            kwargs["queryset"] = Participant.objects.visible_to(request.user).exclude(user=request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: CareChoice, form, change: bool) -> None:
        made = services.choose_for(
            participant=obj.participant,
            by=request.user,
            kind=obj.kind,
            activity=obj.activity,
            contra_indication=obj.contra_indication,
            until=obj.ended_at,
        )
        obj.pk, obj._state.adding = made.pk, False

    @display(description="about")
    def about(self, choice: CareChoice) -> str:
        return str(choice.activity or choice.contra_indication or "all activities")

    @action(description="End", permissions=["end"], dialog=step_dialog("End", "From now on it no longer holds."))
    def end(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        choice = self.get_object(request, object_id)
        back = reverse("admin:interventions_carechoice_change", args=[object_id])
        return step(request, back, lambda: services.end_choice(choice=choice, by=request.user))

    def has_end_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        choice = self.get_object(request, str(object_id))
        return bool(choice and not choice.ended_at and request.user.has_perm("interventions.add_carechoice"))


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnly):
    """What was trained, with its card; promote one, or roll the present one back."""

    list_display = ["name", "trained_at", "promoted_at", "rolled_back_at", "scores_now"]
    fields = ["name", "folder", "sha256", "trained_at", "promoted_at", "rolled_back_at", "card"]
    actions_detail = ["promote", "roll_back"]

    @display(description="scores now", boolean=True)
    def scores_now(self, version: ModelVersion) -> bool:
        return version == ModelVersion.objects.present()

    @action(
        description="Promote",
        permissions=["promote"],
        dialog=step_dialog("Promote", "It scores from the next decision on, but in trials that froze another model."),
    )
    def promote(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._step(request, object_id, services.promote)

    @action(
        description="Roll back",
        permissions=["roll_back"],
        dialog=step_dialog(
            "Roll back", "The model promoted before it scores again, or clinicians' order if there is none."
        ),
    )
    def roll_back(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._step(request, object_id, services.roll_back)

    def has_promote_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request) and self._asked(request, object_id) != ModelVersion.objects.present()

    def has_roll_back_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self._may(request) and self._asked(request, object_id) == ModelVersion.objects.present()

    def _may(self, request: HttpRequest) -> bool:
        return request.user.has_perm("interventions.change_modelversion")

    def _asked(self, request: HttpRequest, object_id: str | None) -> ModelVersion | None:
        return self.get_object(request, str(object_id))

    def _step(self, request: HttpRequest, object_id: str, service) -> HttpResponse:
        back = reverse("admin:interventions_modelversion_change", args=[object_id])
        version = self._asked(request, object_id)
        return step(request, back, lambda: service(version=version, by=request.user))


@admin.register(ContentFreeze)
class ContentFreezeAdmin(ReadOnly):
    """What a trial holds still: adding one freezes the texts and the model of this moment."""

    list_display = ["trial", "made_at", "made_by", "n_versions"]
    fields = ["trial", "made_at", "made_by", "versions"]

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).filter(trial__in=Trial.objects.visible_to(request.user))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("interventions.add_contentfreeze")

    def get_fields(self, request: HttpRequest, obj: ContentFreeze | None = None) -> list[str]:
        return self.fields if obj else ["trial"]

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **kwargs: object):
        if db_field.name == "trial":
            kwargs["queryset"] = Trial.objects.managed_by(request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: ContentFreeze, form, change: bool) -> None:
        made = services.freeze_content(trial=obj.trial, by=request.user)
        obj.pk, obj._state.adding = made.pk, False

    def save_related(self, request: HttpRequest, form, formsets, change: bool) -> None:
        """The service has chosen the texts."""

    @display(description="texts")
    def n_versions(self, freeze: ContentFreeze) -> int:
        return freeze.versions.count()
