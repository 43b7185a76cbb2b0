"""The search for a person in a trial: by pseudonym or trial, among those whom the reader may see anyhow."""

from django.contrib.admin import ModelAdmin
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from mhealth.people.models import Participant, User
from mhealth.platform import audit
from mhealth.trials.models import Enrolment


def people_to_choose(user: User) -> QuerySet[Enrolment]:
    mine = Enrolment.objects.visible_to(user).exclude(participant__status=Participant.Status.ERASED)
    return mine.select_related("trial", "participant").order_by("trial", "enrolled_at", "id")


class PeopleSearch(AutocompleteJsonView):
    """Twenty at a time, as "participant 1a2b3c4d in calm-1". Looking is recorded with its count.

    Django's own asks for the right to view every enrolment, which clinicians have not.
    """

    note_admin: ModelAdmin | None = None

    def process_request(self, request: HttpRequest) -> tuple:
        return request.GET.get("term", ""), self.note_admin, None, "pk"

    def has_perm(self, request: HttpRequest, obj: object = None) -> bool:
        return self.model_admin.has_add_permission(request)

    def get_queryset(self) -> QuerySet[Enrolment]:
        found = people_to_choose(self.request.user)
        for word in self.term.lower().replace("participant", "").split():
            trial = Q(trial__slug__icontains=word) | Q(trial__title__icontains=word)
            found = found.filter(Q(participant__pk__startswith=word) | trial)
        return found

    def get_context_data(self, **kwargs: object) -> dict:
        context = super().get_context_data(**kwargs)
        shown, subject = len(context["object_list"]), Enrolment._meta.label
        audit.record(actor=self.request.user, action="admin.listed", subject=subject, count=shown)
        return context
