"""The sidebar of the staff pages: grouped by what somebody comes for, and only what their role may open."""

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.text import capfirst

from mhealth.platform.access import roles_of
from mhealth.safety.models import RiskEvent

# group -> (model, its icon of Material Symbols)
GROUPS: dict[str, dict[str, str]] = {
    "People at risk": {
        "safety.riskevent": "emergency",
        "safety.duty": "event_available",
        "safety.crisisresource": "call",
    },
    "People": {
        "people.participant": "group",
        "checkins.checkin": "mood",
        "interventions.decision": "alt_route",
        "interventions.carechoice": "push_pin",
        "people.consent": "handshake",
    },
    "Activities": {
        "interventions.activity": "self_improvement",
        "interventions.version": "article",
        "interventions.contraindication": "block",
        "interventions.reasontexts": "chat",
    },
    "Trial": {
        "trials.trial": "science",
        "trials.screening": "filter_alt",
        "trials.enrolment": "how_to_reg",
        "outcomes.occasion": "event_note",
        "trials.adverseevent": "report",
        "trials.deviation": "rule",
        "trials.unblindingrequest": "visibility",
        "interventions.contentfreeze": "lock",
        "research.export": "download",
    },
    "Study": {
        "people.study": "domain",
        "people.careteam": "groups",
        "people.user": "badge",
        "people.enrolmentcode": "key",
        "people.consentdocument": "description",
        "outcomes.instrumentversion": "quiz",
        "interventions.modelversion": "model_training",
    },
    "Operation": {"platform.auditevent": "history"},
}
OVERVIEWS = {"title": "Trial overviews", "icon": "monitoring"}
# What people call a page, where the rows have another name.
NAMES = {
    "safety.riskevent": "risk inbox",
    "safety.duty": "on-call rota",
    "people.user": "staff accounts",
    "interventions.version": "texts and their review",
    "outcomes.occasion": "planned questionnaires",
    "outcomes.instrumentversion": "instruments",
    "platform.auditevent": "audit trail",
}


def sidebar(request: HttpRequest) -> list[dict]:
    """Groups with the pages that this person may open; a page that no group names comes last."""
    pages = _pages(request)
    named = {label for icons in GROUPS.values() for label in icons}
    more = {"More": {label: "table_rows" for label in pages if label not in named}}
    shown = [
        {"title": title, "items": [pages[label] | {"icon": icon} for label, icon in icons.items() if label in pages]}
        for title, icons in (GROUPS | more).items()
    ]
    if roles_of(request.user) & {"researcher", "trial_manager"}:
        trial = next(group for group in shown if group["title"] == "Trial")
        trial["items"].insert(0, OVERVIEWS | {"link": reverse("trial-overviews")})
    return [group for group in shown if group["items"]]


def _pages(request: HttpRequest) -> dict[str, dict]:
    return {
        model._meta.label_lower: _item(request, model)
        for model, page in admin.site._registry.items()
        if page.has_view_permission(request)
    }


def _item(request: HttpRequest, model: type[Model]) -> dict:
    name = model._meta.label_lower.replace(".", "_")
    item = {
        "title": capfirst(NAMES.get(model._meta.label_lower, model._meta.verbose_name_plural)),
        "link": reverse(f"admin:{name}_changelist"),
    }
    if model is RiskEvent and (red := RiskEvent.objects.of_my_people(request.user).unclosed().count()):
        item |= {"badge": red, "badge_variant": "danger"}
    return item


def stylesheet(_request: HttpRequest) -> str:
    return static("mhealth/admin.css")


def icon(_request: HttpRequest) -> str:
    return static("mhealth/icon.svg")
