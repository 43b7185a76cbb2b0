"""The trace of a decision, for those who may see it; for everybody else of the care team, what was offered."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from interventions import reasons, serializers
from interventions.admin.care import ReadOnly
from interventions.models import Activity, Decision, InputsErased
from mhealth.platform import audit
from mhealth.trials.services import is_masked_for

POLICIES = {
    "personalised": "personalised, by the model",
    "clinician_order": "the order set by clinicians",
    "fixed_sequence": "fixed sequence",
}
OUTCOME_COLOURS = {"offered": "success", "nothing_now": "info"}


@admin.register(Decision)
class DecisionAdmin(ReadOnly):
    list_display = ["created_at", "participant", "moment_kind", "outcome_label", "offered", "status"]
    list_display_links = ["created_at", "participant"]
    list_filter = ["outcome", "status"]
    change_form_before_template = "interventions/decision.html"
    fieldsets = []

    class Media:
        css = {"all": ["interventions/admin.css"]}

    def get_queryset(self, request: HttpRequest):
        rows = Decision.objects.filter(pk__in=Decision.objects.traceable_by(request.user).values("pk"))
        return rows.select_related("participant__data_key", "version__activity")

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context=None) -> HttpResponse:
        decision = self.get_object(request, object_id)
        if decision is None:
            return super().change_view(request, object_id, form_url, extra_context)
        masked = is_masked_for(request.user, decision.participant)
        more = {"decision": decision, "masked": masked, "trace": None if masked else trace(decision)}
        return super().change_view(request, object_id, form_url, (extra_context or {}) | more)

    def record_read(self, request: HttpRequest, obj: Decision) -> None:
        trace = not is_masked_for(request.user, obj.participant)
        audit.record(
            actor=request.user, action="decision.read", subject=f"interventions.Decision/{obj.pk}", trace=trace
        )

    @display(description="moment")
    def moment_kind(self, decision: Decision) -> str:
        return decision.kind.replace("_", "-")

    @display(description="outcome", label=OUTCOME_COLOURS)
    def outcome_label(self, decision: Decision) -> tuple[str, str]:
        return decision.outcome, decision.outcome.replace("_", " ") or decision.status

    @display(description="activity")
    def offered(self, decision: Decision) -> str:
        return decision.version.title if decision.version else "–"


def trace(decision: Decision) -> dict | None:
    """The record as tables. None: not made yet, or erased."""
    try:
        record = decision.record
    except InputsErased:
        return None
    choice, context = record["choice"], record["snapshot"]["context"]
    titles = dict(Activity.objects.filter(versions__language="en").values_list("key", "versions__title"))
    texts = serializers.texts_in([record["language"]])
    said = [*record["reasons"]["shared"], *record["reasons"]["open"]]
    columns = zip(choice["candidates"], choice["scores"], choice["scores_sd"], choice["probabilities"], strict=True)
    candidates = [
        {
            "title": titles.get(candidate["activity"], candidate["activity"]),
            "technique": candidate["technique"].replace("_", " "),
            "closed_by": ", ".join(reason.replace("_", " ") for reason in candidate["closed_by"]),
            "score": score,
            "sd": sd,
            "probability": probability,
            "percent": round(100 * probability, 1),
            "chosen": candidate["activity"] == choice["activity"],
        }
        for candidate, score, sd, probability in columns
    ]
    return {
        "record": record,
        "policy": POLICIES.get(choice["policy"], choice["policy"]),
        "source": record["snapshot"]["source"].replace("_", "-"),
        "choice": choice,
        "candidates": sorted(candidates, key=lambda c: (not c["chosen"], bool(c["closed_by"]), -c["probability"])),
        "emotion": sorted((context["emotion"] or {}).items(), key=lambda pair: -pair[1]),
        "weights": context["modality_weights"],
        "bands": [(s, context["dass"].get(s), record["snapshot"]["bands"].get(s)) for s in context["dass"]],
        "context": context,
        "explanation": list(record["explanation"].items())[:12],
        "reasons": reasons.render(said, texts, decision.version) if texts else [],
    }
