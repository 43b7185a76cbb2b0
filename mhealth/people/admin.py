from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from mhealth.people import services
from mhealth.people.models import (
    CareTeam,
    Consent,
    ConsentDocument,
    EnrolmentCode,
    Participant,
    Study,
    StudyMember,
    User,
)
from mhealth.platform.admin import AuditedAdmin, ReadOnlyAdmin, hide_accounts_of_libraries, plain

hide_accounts_of_libraries()


class MemberInline(TabularInline):
    model = StudyMember
    extra = 0
    autocomplete_fields = ["user"]


@admin.register(Study)
class StudyAdmin(AuditedAdmin):
    list_display = ["name", "slug", "purpose", "contact_email"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [MemberInline]


class NewUserForm(UserCreationForm):
    class Meta:
        model = User
        fields = ["email", "is_staff"]


@admin.register(User)
class UserAdmin(DjangoUserAdmin, AuditedAdmin):
    """Staff accounts. Participants enrol themselves, and their accounts are not listed here."""

    form = UserChangeForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["email", "first_name", "last_name", "credentials", "is_active"]
    list_filter = ["groups", "is_active"]
    search_fields = ["email", "first_name", "last_name"]
    ordering = ["email"]
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["email", "password", "first_name", "last_name", "credentials"]}),
        ("Roles", {"fields": ["is_active", "is_staff", "groups"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"fields": ["email", "password1", "password2", "is_staff"]})]

    def get_queryset(self, request: HttpRequest):
        # By role: under row-level security other people's participant rows would seem not to be there.
        return super().get_queryset(request).exclude(groups__name="participant")


@admin.register(CareTeam)
class CareTeamAdmin(AuditedAdmin):
    list_display = ["name", "study"]
    list_filter = ["study"]
    autocomplete_fields = ["clinicians"]


@admin.register(Participant)
class ParticipantAdmin(ReadOnlyAdmin):
    """A clinician's own people, without their mail address."""

    list_display = ["__str__", "study", "site", "language", "status", "joined_at"]
    list_filter = ["study", "status"]
    study_name, team = plain("study"), plain("care_team")
    readonly_fields = ["study_name", "team"]
    fields = ["id", "study_name", "team", "site", "language", "zone", "country", "status", "joined_at", "stopped_at"]


class EnrolmentCodeForm(forms.ModelForm):
    class Meta:
        model = EnrolmentCode
        fields = ["study", "site", "care_team"]

    def clean(self) -> dict:
        data = super().clean()
        study, team = data.get("study"), data.get("care_team")
        if study and data.get("site") not in study.sites:
            self.add_error("site", f"Choose one of: {', '.join(study.sites)}.")
        if study and team and team.study_id != study.pk:
            self.add_error("care_team", "This care team belongs to another study.")
        return data


@admin.register(EnrolmentCode)
class EnrolmentCodeAdmin(AuditedAdmin):
    form = EnrolmentCodeForm
    list_display = ["study", "site", "care_team", "expires_at", "used_at"]
    list_filter = ["site"]

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).filter(study__members__user=request.user.pk)

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **kwargs):
        """Only studies that this user works on, and their teams."""
        mine = {"study": "members__user", "care_team": "study__members__user"}[db_field.name]
        kwargs["queryset"] = db_field.related_model.objects.filter(**{mine: request.user.pk})
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: EnrolmentCode | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: EnrolmentCode, form: EnrolmentCodeForm, change: bool) -> None:
        """The code is shown in this one answer; only its hash is kept."""
        [code] = services.make_enrolment_codes(
            study=obj.study, site=obj.site, care_team=obj.care_team, count=1, actor=request.user
        )
        stored = EnrolmentCode.objects.get(digest=EnrolmentCode.digest_of(code))
        obj.pk, obj.expires_at = stored.pk, stored.expires_at
        messages.warning(request, f"Write this code down now, it is not shown again: {code}")


@admin.register(ConsentDocument)
class ConsentDocumentAdmin(AuditedAdmin):
    list_display = ["study", "version", "language"]
    list_filter = ["study", "language"]

    def has_change_permission(self, request: HttpRequest, obj: ConsentDocument | None = None) -> bool:
        return False  # people agreed to this very text: a change is a new version


@admin.register(Consent)
class ConsentAdmin(ReadOnlyAdmin):
    list_display = ["participant", "scope", "given", "given_at", "document_version", "language"]
    list_filter = ["scope", "given"]
