"""What was offered to one person and what they did with it: given to them, and erased down to a count."""

from django.db.models import CharField, F, Value
from django.db.models.functions import Cast, Concat

from interventions.models import CareChoice, Decision, DecisionEvent
from mhealth.people.models import Participant
from mhealth.trials.services import is_masked_for

COVERS = ("interventions.Decision", "interventions.DecisionEvent", "interventions.CareChoice")
KEEPS = ("interventions.Decision",)  # that a decision was made, and when; nothing of what it was made from


def export_person(participant: Participant) -> dict:
    masked = is_masked_for(participant.user, participant)
    decisions = participant.decisions.order_by("created_at", "id").select_related("version__activity")
    choices = participant.care_choices.order_by("made_at").select_related("activity", "contra_indication")
    return {
        "decisions": [_exported(decision, masked) for decision in decisions.prefetch_related("events")],
        "care_choices": [
            {"kind": choice.kind, "about": str(choice.activity or choice.contra_indication or ""), "at": choice.made_at}
            for choice in choices
        ],
    }


def _exported(decision: Decision, masked: bool) -> dict:
    """The same keys whether or not the trial is masked; what tells the arm comes when the group is told."""
    record = decision.record if decision.sealed_record else {}
    return {
        "id": str(decision.pk),
        "moment": decision.moment,
        "at": decision.decided_at,
        "outcome": decision.outcome,
        "activity": decision.version.title if decision.version else None,
        "made_from": record.get("snapshot", {}).get("context"),
        "policy": None if masked else record.get("policy"),
        "model": None if masked else record.get("model"),
        "probabilities": None if masked else record.get("choice", {}).get("probabilities"),
        "events": [
            {"kind": event.kind, "at": event.at, "value": event.value, "reason": event.reason}
            for event in decision.events.all()
        ],
    }


def erase_person(participant: Participant) -> None:
    DecisionEvent.objects.filter(decision__participant=participant).delete()
    CareChoice.objects.filter(participant=participant).delete()
    Decision.objects.filter(participant=participant).update(
        sealed_record=None, version=None, check_in=None, outcome="", moment=_anonymous_moment(), fault=""
    )


def _anonymous_moment():
    """A moment names a check-in or a local time; the row's own id keeps it unique."""
    return Concat(Value("erased:"), Cast(F("id"), CharField()))
