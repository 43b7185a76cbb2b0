"""What each request of the matrix sends, and which of Ada's things its address names."""

import json
import uuid
from collections.abc import Callable

from django.utils import timezone

from mhealth.people.models import ConsentDocument
from tests.access.world import PLANTED, World

PASSWORD = "correct horse battery"
NOTE = {"note": "called"}

# Path parameters by the first words of the route that name them.
NAMED: dict[str, Callable[[World], dict]] = {
    "me/devices/": lambda w: {"id": w.objects["device"].id},
    "risk-events/": lambda w: {"pk": w.objects["risk_event"].pk},
    "questionnaires/": lambda w: {"occasion": w.objects["response"].occasion_id},
    "trials/<slug:slug>/enrolments/": lambda w: {"pk": w.objects["enrolment"].pk},
    "trials/<slug:slug>/unblinding-requests/": lambda w: {"pk": w.objects["unblinding"].pk},
    "trials/": lambda w: {"slug": w.objects["enrolment"].trial.slug},
    "check-ins/": lambda w: {"pk": w.objects["check_in"].pk},
    "caseload/check-ins/": lambda w: {"pk": w.objects["check_in"].pk},
    "recommendations/": lambda w: {"pk": w.objects["decision"].pk},
    "research/trials/": lambda w: {"slug": w.objects["enrolment"].trial.slug},
    "research/exports/": lambda w: {"pk": w.others["research_export"].pk},
    "research/exports/<uuid:pk>/approval/": lambda w: {"pk": w.others["identifiable_export"].pk},
    "fhir/Questionnaire/": lambda w: {"slug": "dass21", "version": "1"},
    "fhir/QuestionnaireResponse/": lambda w: {"occasion": w.objects["response"].occasion_id},
}


def happened(world: World, **more: object) -> dict:
    enrolment = str(world.objects["enrolment"].pk)
    return {"enrolment": enrolment, "happened_at": timezone.now().isoformat(), "words": PLANTED} | more


def check_in() -> dict:
    return {"id": str(uuid.uuid4()), "recorded_at": timezone.now().isoformat(), "zone": "Europe/London", "text": "fine"}


def agreement(world: World) -> dict:
    document: ConsentDocument = world.others["document"]
    said = {"document_version": document.version, "language": document.language, "text_digest": document.digest}
    return {"scope": "voice", "given": True} | said


BODIES: dict[tuple[str, str], Callable[[World], dict]] = {
    ("POST", "session/"): lambda w: {"email": "ben@example.org", "password": PASSWORD},
    ("POST", "session/password-reset/"): lambda w: {"email": "ada@example.org"},
    ("PUT", "session/password-reset/"): lambda w: {"key": "made-up", "password": "a new long passphrase"},
    ("PUT", "session/verify-email/"): lambda w: {"key": "made-up"},
    ("PATCH", "me/"): lambda w: {"zone": "Europe/Paris"},
    ("POST", "me/consents/"): agreement,
    ("PATCH", "me/devices/<uuid:id>/"): lambda w: {"push_token": "x"},
    ("POST", "me/participation/"): lambda w: {"action": "stop"},
    ("POST", "risk-events/"): lambda w: {"participant": str(w.ada.pk), "severity": "prompt", "note": "worried"},
    ("POST", "risk-events/<uuid:pk>/acknowledge/"): lambda w: NOTE,
    ("POST", "risk-events/<uuid:pk>/act/"): lambda w: NOTE,
    ("POST", "risk-events/<uuid:pk>/confirm-contact/"): lambda w: NOTE,
    ("POST", "risk-events/<uuid:pk>/close/"): lambda w: NOTE,
    ("PUT", "questionnaires/<uuid:occasion>/response/"): lambda w: {
        "answers": [1] * 21,
        "answered_at": w.objects["response"].answered_at.isoformat(),
    },
    ("POST", "trials/<slug:slug>/enrolments/"): lambda w: {"participant": str(w.ada.pk)},
    ("POST", "trials/<slug:slug>/screenings/"): lambda w: {"participant": str(w.ada.pk), "reason": "other"},
    ("POST", "trials/<slug:slug>/enrolments/<uuid:pk>/withdrawal/"): lambda w: {"kind": "stop"},
    ("POST", "trials/<slug:slug>/adverse-events/"): lambda w: happened(
        w, severity="mild", serious=False, related="unlikely"
    ),
    ("POST", "trials/<slug:slug>/deviations/"): lambda w: happened(w, kind="window", major=False),
    ("POST", "trials/<slug:slug>/unblinding-requests/"): lambda w: {
        "enrolment": str(w.objects["enrolment"].pk),
        "reason": PLANTED,
    },
    ("POST", "trials/<slug:slug>/unblinding-requests/<uuid:pk>/decision/"): lambda w: {"approve": False},
    ("POST", "check-ins/"): lambda w: check_in(),
    ("POST", "check-ins/batch/"): lambda w: {"items": json.dumps([check_in()])},
    ("PUT", "check-ins/<uuid:pk>/correction/"): lambda w: {"labels": ["sadness"]},
    ("POST", "recommendations/<uuid:pk>/events/"): lambda w: {
        "id": str(uuid.uuid4()),
        "kind": "shown",
        "at": timezone.now().isoformat(),
    },
    ("PUT", "fhir/QuestionnaireResponse/<uuid:occasion>/"): lambda w: {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "urn:mhealth:fhir:Questionnaire:dass21|1",
        "status": "completed",
        "authored": w.objects["response"].answered_at.isoformat(),
        "item": [{"linkId": f"q{n}", "answer": [{"valueInteger": 1}]} for n in range(1, 22)],
    },
    ("POST", "research/exports/<uuid:pk>/approval/"): lambda w: {"approve": True},
    ("POST", "research/exports/"): lambda w: {"trial": w.objects["enrolment"].trial.slug, "reason": "analysis"},
}
MULTIPART = {("POST", "check-ins/"), ("POST", "check-ins/batch/")}


def address(route: str, world: World) -> str:
    """The route with Ada's things in it."""
    finders = [find for start, find in NAMED.items() if route.startswith(start)]
    given = {name: value for find in finders for name, value in find(world).items()}
    filled = route
    for part in [piece for piece in route.split("/") if piece.startswith("<")]:
        filled = filled.replace(part, str(given[part.strip("<>").split(":")[-1]]))
    return f"/api/v1/{filled}"
