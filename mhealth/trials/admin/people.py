"""The search for a person: by pseudonym or trial, among those whom the reader may see anyhow."""

from django.contrib.admin import ModelAdmin
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import path

from mhealth.people.models import Participant, User
from mhealth.platform import audit
from mhealth.trials.models import Enrolment


def people_in_trials(user: User) -> QuerySet[Enrolment]:
    mine = Enrolment.objects.visible_to(user).exclude(participant__status=Participant.Status.ERASED)
    return mine.select_related("trial", "participant").order_by("trial", "enrolled_at", "id")


def people_of_studies(user: User) -> QuerySet[Participant]:
    """Whom a trial manager may enrol, or count as turned away: also people in another trial, which is a reason."""
    return Participant.objects.managed_by(user).filter(status=Participant.Status.ACTIVE).distinct().order_by("pk")


class PeopleSearch(AutocompleteJsonView):
    """Twenty at a time, as "participant 1a2b3c4d in calm-1". Looking is recorded with its count.

    Django's own asks for the right to view every enrolment, which clinicians have not.
    """

    page: ModelAdmin | None = None

    def process_request(self, request: HttpRequest) -> tuple:
        return request.GET.get("term", ""), self.page, None, "pk"

    def has_perm(self, request: HttpRequest, obj: object = None) -> bool:
        return self.model_admin.has_add_permission(request)

    def get_queryset(self) -> QuerySet:
        found = type(self.page).choices(self.request.user)
        for word in self.term.lower().replace("participant", "").split():
            found = found.filter(self.matches(word))
        return found

    def matches(self, word: str) -> Q:
        return Q(participant__pk__startswith=word) | Q(trial__slug__icontains=word) | Q(trial__title__icontains=word)

    def get_context_data(self, **kwargs: object) -> dict:
        context = super().get_context_data(**kwargs)
        shown, subject = len(context["object_list"]), self.object_list.model._meta.label
        audit.record(actor=self.request.user, action="admin.listed", subject=subject, count=shown)
        return context


class ParticipantSearch(PeopleSearch):
    """As "participant 1a2b3c4d, north"."""

    def serialize_result(self, obj: Participant, to_field_name: str) -> dict[str, str]:
        return super().serialize_result(obj, to_field_name) | {"text": f"{obj}, {obj.site}" if obj.site else str(obj)}

    def matches(self, word: str) -> Q:
        return Q(pk__startswith=word) | Q(site__iexact=word)


class ChoosesPerson:
    """A form whose field `chosen` searches among `choices(user)`: the page itself holds nobody."""

    chosen, search = "enrolment", PeopleSearch
    choices = staticmethod(people_in_trials)

    def formfield_for_foreignkey(self, db_field, request: HttpRequest, **kwargs: object):
        if db_field.name == self.chosen:
            kwargs["queryset"] = type(self).choices(request.user)
            kwargs["widget"] = AutocompleteSelect(db_field, self.admin_site)
            kwargs["widget"].url_name = f"%s:{self._address}"
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_urls(self) -> list:
        view = self.search.as_view(page=self)
        return [path("people/", self.admin_site.admin_view(view), name=self._address), *super().get_urls()]

    @property
    def _address(self) -> str:
        return f"trials_{self.opts.model_name}_people"
