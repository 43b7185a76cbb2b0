from datetime import datetime
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import date
from django.template.response import TemplateResponse
from django.urls import path
from unfold.decorators import display

from mhealth.checkins import disparity, explanations, figures, reasons
from mhealth.checkins.models import CheckIn, DisparityReport, Estimate, Explanation
from mhealth.platform.admin import ReadOnlyAdmin
from mhealth.platform.leases import WorkStatus

STATUS_COLOURS = {
    WorkStatus.DONE: "success",
    WorkStatus.UNUSABLE: "warning",
    WorkStatus.QUARANTINED: "danger",
} | dict.fromkeys([WorkStatus.RECEIVING, WorkStatus.QUEUED, WorkStatus.RUNNING], "info")


@admin.register(CheckIn)
class CheckInAdmin(ReadOnlyAdmin):
    """What a clinician's people sent and what was read from it; quarantined check-ins can be run again."""

    list_display = ["recorded_at", "participant", "status_label", "expressed", "own_word", "disparity"]
    list_filter = ["status", "purpose", "clock_suspect", "late"]
    change_form_before_template = "checkins/admin/estimates.html"
    fields = [
        "participant",
        ("recorded_locally", "received_at"),
        ("status_label", "why_not"),
        ("purpose", "late", "clock_suspect"),
        ("attempts", "fault"),
    ]
    readonly_fields = ["recorded_locally", "status_label", "why_not"]
    ordering = ["-recorded_at"]
    actions = ["run_again"]

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).select_related("participant", "correction")

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context=None):
        check_in = self.get_object(request, object_id)
        more = _panels(check_in) if check_in else {}
        return super().change_view(request, object_id, form_url, (extra_context or {}) | more)

    def get_urls(self) -> list:
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:object_id>/face-and-voice/", wrap(self.face_and_voice), name="checkins_checkin_face_and_voice"),
            path("<uuid:object_id>/why/", wrap(self.why), name="checkins_checkin_why"),
            *super().get_urls(),
        ]

    def face_and_voice(self, request: HttpRequest, object_id) -> HttpResponse:
        """The report for a therapist: timeline, passages, sentences; to be read with the person, and printed."""
        check_in = self.get_object(request, str(object_id))
        row = check_in and _report_of(check_in)
        if not (row and self.has_view_permission(request, check_in)):
            raise Http404
        self.record_read(request, row)
        report, rewritten = disparity.told(row)
        told = {
            "report": report,
            "sentences": rewritten or report.sentences,
            "rewritten": bool(rewritten),
            "figure": figures.timeline(report),
        }
        return self._page(request, check_in, "Face and voice", "checkins/admin/face_and_voice.html", told)

    def why(self, request: HttpRequest, object_id) -> HttpResponse:
        """What the estimates rest on: asked for by POST while the media is held, then drawn."""
        check_in = self.get_object(request, str(object_id))
        if not (check_in and self.has_view_permission(request, check_in)):
            raise Http404
        if request.method == "POST":
            return self._ask_why(request, check_in)
        row = Explanation.objects.filter(check_in=check_in).first()
        if row is None:
            raise Http404
        self.record_read(request, row)
        found = row.opened()
        told = {
            "explanation": row,
            "waits": row.status in (WorkStatus.QUEUED, WorkStatus.RUNNING),
            "advice": reasons.advice(row.reason),
            "face": figures.places(found["face"]) if "face" in found else None,
            "voice": figures.moments(found["voice"]) if "voice" in found else None,
        }
        return self._page(request, check_in, "What it rests on", "checkins/admin/why.html", told)

    def _ask_why(self, request: HttpRequest, check_in: CheckIn) -> HttpResponse:
        try:
            explanations.ask(check_in)
        except explanations.MediaNotHeld as refused:
            messages.error(request, str(refused.detail))
            return redirect("admin:checkins_checkin_change", check_in.pk)
        self.record_action(request, "explanation.asked", [check_in])
        return redirect("admin:checkins_checkin_why", check_in.pk)

    def _page(self, request: HttpRequest, check_in: CheckIn, title: str, template: str, told: dict) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "original": check_in}
        shared["recorded"] = self.recorded_locally(check_in)
        return TemplateResponse(request, template, shared | told)

    @display(description="status", label=STATUS_COLOURS)
    def status_label(self, check_in: CheckIn) -> str:
        return check_in.status

    @display(description="expressed emotion (estimate)")
    def expressed(self, check_in: CheckIn) -> str:
        if not check_in.fused:
            return "–"
        name, probability = ranked(check_in.fused)[0]
        return "too unsure to name one" if check_in.fused["abstained"] else f"{name} {probability:.0%}"

    @display(description="own word")
    def own_word(self, check_in: CheckIn) -> str:
        correction = getattr(check_in, "correction", None)
        return ", ".join(correction.labels) if correction else "–"

    @display(description="face and voice disagree (bits)")
    def disparity(self, check_in: CheckIn) -> str:
        bits = (check_in.fused or {}).get("disparity")
        return "–" if bits is None else f"{bits:.2f}"

    @display(description="recorded (their time)")
    def recorded_locally(self, check_in: CheckIn) -> str:
        return local(check_in.recorded_at, check_in.zone)

    @display(description="why nothing was read")
    def why_not(self, check_in: CheckIn) -> str:
        return reasons.advice(check_in.reason) or "–"

    @admin.action(description="Run quarantined check-ins again", permissions=["view"])
    def run_again(self, request: HttpRequest, queryset) -> None:
        for check_in in queryset:
            check_in.requeue()
        self.record_action(request, "checkin.run_again", queryset)


def _panels(check_in: CheckIn) -> dict:
    """What the page of a check-in shows besides its fields."""
    return {
        "reading": reading(check_in),
        "face_and_voice": _report_of(check_in),
        "explained": Explanation.objects.filter(check_in=check_in).exists(),
        "explainable": bool(explanations.held(check_in)),
    }


def _report_of(check_in: CheckIn) -> DisparityReport | None:
    return DisparityReport.objects.filter(check_in=check_in).first()


def local(at: datetime, zone: str) -> str:
    return f"{date(at.astimezone(ZoneInfo(zone)), 'j M Y, H:i')} {zone}"


def ranked(estimate: dict) -> list[tuple[str, float]]:
    """Emotions by their probability, most probable first."""
    return sorted(estimate["probabilities"].items(), key=lambda pair: -pair[1])


def reading(check_in: CheckIn) -> dict:
    """One column for each modality and one for all together, one row for each emotion."""
    estimates = list(check_in.estimates.order_by("modality"))
    read = [estimate for estimate in estimates if estimate.probabilities]
    fused = check_in.fused
    columns = [*(estimate.probabilities for estimate in read), *([fused["probabilities"]] if fused else [])]
    emotions = [name for name, _ in ranked(fused or {"probabilities": read[0].probabilities if read else {}})]
    return {
        "names": [*(estimate.modality for estimate in read), *(["together"] if fused else [])],
        "rows": [(name, [_cell(column.get(name, 0.0)) for column in columns]) for name in emotions],
        "facts": _facts(read, fused),
        "doubts": [(_doubt(estimate), reasons.advice(estimate.reason)) for estimate in estimates if estimate.reason],
        "abstained": bool(fused and fused["abstained"]),
        "own_word": getattr(getattr(check_in, "correction", None), "labels", []),
    }


def _doubt(estimate: Estimate) -> str:
    what = "was read, but is not to be relied on." if estimate.probabilities else "was not read."
    return f"{estimate.modality.capitalize()} {what}"


def _cell(probability: float) -> dict:
    return {"probability": probability, "percent": f"{probability:.0%}"}


def _facts(read: list[Estimate], fused: dict | None) -> list[tuple[str, list[str]]]:
    """The lines under the emotions; a fused estimate has no quality, weight or model of its own."""
    facts = [
        ("confidence", [_number(e.confidence) for e in read], fused and _number(fused["confidence"])),
        ("valence, −1 to 1", [_number(e.valence) for e in read], fused and _number(fused["valence"])),
        ("arousal, −1 to 1", [_number(e.arousal) for e in read], fused and _number(fused["arousal"])),
        ("quality of the recording", [_number(e.quality) for e in read], ""),
        *([("video: frames read", [_frames(e) for e in read], "")] if any(e.frames for e in read) else []),
        ("weight", [_number(e.weight) for e in read], ""),
        ("model", [e.model_version or "–" for e in read], ""),
    ]
    return [(name, [*values, *([together] if fused else [])]) for name, values, together in facts]


def _frames(estimate: Estimate) -> str:
    told = estimate.frames
    return f"{told['frames_read']} of {told['frames']}, mostly {told['majority']}" if told else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
