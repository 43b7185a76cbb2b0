"""A person's own data: what we hold on their check-ins, and its end."""

from collections.abc import Iterator
from datetime import datetime

from mhealth.checkins import calibration, services
from mhealth.checkins.models import (
    CalibrationClip,
    CheckIn,
    DisparityReport,
    Explanation,
    Part,
    PersonalReliability,
    modalities,
)
from mhealth.checkins.retention import MEDIA_KINDS
from mhealth.people.models import Participant


def export_person(participant: Participant) -> dict:
    check_ins = CheckIn.objects.filter(participant=participant).order_by("recorded_at", "id")
    return {
        "check_ins": [_exported(row) for row in check_ins.prefetch_related("estimates", "parts")],
        "voice_baseline": calibration.opened(participant),
    }


def _exported(check_in: CheckIn) -> dict:
    correction = getattr(check_in, "correction", None)
    return {
        "id": str(check_in.pk),
        "recorded_at": check_in.recorded_at.isoformat(),
        "zone": check_in.zone,
        "purpose": check_in.purpose,
        "status": check_in.status,
        "fused": check_in.fused,
        "estimates": {row.modality: row.probabilities or row.reason for row in check_in.estimates.all()},
        "video_frames": next((row.frames for row in check_in.estimates.all() if row.frames), None),
        "correction": correction and correction.labels,
        "face_and_voice": _face_and_voice(check_in),
        "rests_on": _rests_on(check_in),
        "words": {p.kind: p.content().decode() for p in check_in.parts.all() if _is_text(p)},
    }


def _face_and_voice(check_in: CheckIn) -> dict | None:
    """What clinicians can see of it, with the words that it is no diagnosis."""
    row = DisparityReport.objects.filter(check_in=check_in).select_related("check_in__participant__data_key").first()
    if row is None:
        return None
    from emotion.disparity.report import CAUTION

    return {"caution": CAUTION, **row.opened()}


def _rests_on(check_in: CheckIn) -> dict | None:
    row = Explanation.objects.filter(check_in=check_in).select_related("check_in__participant__data_key").first()
    return row and row.opened()


def _is_text(part) -> bool:
    return part.media_type == "text/plain" and part.deleted_at is None


def media_held(participant: Participant) -> Iterator[tuple[str, bytes]]:
    """Photos, recordings and videos that retention has not deleted yet, by check-in."""
    parts = Part.objects.filter(check_in__participant=participant, kind__in=MEDIA_KINDS, deleted_at=None)
    for part in parts.select_related("check_in__participant__data_key"):
        yield f"{part.check_in_id}/{part.kind}.{part.media_type.rpartition('/')[2]}", part.content()


def withdraw_consent(participant: Participant, scope: str, said_at: datetime) -> None:
    """What a withdrawn modality sent is deleted; what it said stays, and teaches no weight any more.

    What came in later came under a consent given anew.
    """
    from mhealth.checkins import disparity, explanations, reliability

    if sent := [kind for kind in Part.Kind.values if scope in modalities(kind)]:  # a video goes with either scope
        services.delete_media(participant, sent, until=said_at)
        reliability.relearn(participant)
    if scope in (Part.Kind.FACE, Part.Kind.VOICE):
        disparity.forget(participant, said_at)
        explanations.forget(participant, said_at)
    if scope == Part.Kind.VOICE:
        calibration.clips(participant).filter(check_in__received_at__lte=said_at).delete()


def erase_person(participant: Participant) -> None:
    services.delete_media(participant)
    CalibrationClip.objects.filter(check_in__participant=participant).delete()
    DisparityReport.objects.filter(check_in__participant=participant).delete()
    Explanation.objects.filter(check_in__participant=participant).delete()
    CheckIn.objects.filter(participant=participant).delete()
    PersonalReliability.objects.filter(participant=participant).delete()
