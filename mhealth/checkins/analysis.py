"""From stored parts to a fused estimate. Runs in a worker, under a lease."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from emotion.disparity import Comparison
from emotion.estimate import EMOTIONS
from emotion.estimate import Estimate as Reading
from emotion.fusion import Fused, fuse
from emotion.reliability import Reliability
from emotion.strangers import stranger
from emotion.voice import LEAST_QUALITY
from mhealth.checkins import calibration, disparity, reliability, retention
from mhealth.checkins.models import CheckIn, Estimate, Modality, Part, Purpose, modalities
from mhealth.checkins.reasons import Unreadable
from mhealth.people.models import Participant
from mhealth.platform.leases import WorkStatus
from mhealth.platform.media import MediaGone

log = structlog.get_logger(__name__)
WITHDRAWN = "consent_withdrawn"
FRAMES = ("frames", "frames_read", "dropped", "votes", "majority")  # details of emotion.video


@dataclass(frozen=True)
class Readings:
    """By modality: what was read, and why the rest was not."""

    estimates: dict[str, Reading]
    reasons: dict[str, str]
    watched: Any = None  # recognisers.Watched, where a video was among the parts


def analyse(check_in: CheckIn) -> None:
    """Read every part that consent still covers, fuse with this person's weights, store, and tell the rooms above."""
    parts = [part for part in check_in.parts.all() if modalities(part.kind)]
    readings = read(check_in, parts)
    daily = check_in.purpose == Purpose.DAILY
    comparison = disparity.of(check_in, parts, readings.estimates, readings.watched) if daily else None
    with transaction.atomic():
        # In turn with a withdrawal: what was withdrawn while a model read it is not stored, nor felt in the fusion.
        allowed = still_allowed(readings, Participant.objects.hold(check_in.participant_id))
        if daily:
            _store(check_in, allowed, bool(parts), comparison)
        else:
            _store_calibration(check_in, allowed)
    _delete_media(check_in, parts)
    tell(check_in)
    disparity.rewrite_alert(check_in)


def _store(check_in: CheckIn, readings: Readings, expected: bool, comparison: Comparison | None) -> None:
    """expected: it has parts that could be read.  comparison: of face and voice, as far as both may be kept."""
    weights = reliability.of(check_in.participant)
    fused = fuse(readings.estimates, weights) if readings.estimates else None
    status = WorkStatus.DONE if fused or not expected else WorkStatus.UNUSABLE
    told = fused and as_json(fused) | {"without_baseline": _without_baseline(readings, weights)}
    check_in.finish(status, fused=told, reason=_reason(status, readings))
    Estimate.objects.bulk_create(_rows(check_in, readings, fused))
    if comparison and set(disparity.BOTH) <= set(readings.estimates):
        disparity.store(check_in, comparison, readings.estimates)
    if hasattr(check_in, "correction"):  # the phone asks before it shows: the answer may be here first
        reliability.relearn(check_in.participant)


def _without_baseline(readings: Readings, weights: Reliability) -> dict | None:
    """The fused estimate as it would be without the person's baseline: for trends. None where none was used."""
    if all(reading.without_baseline is None for reading in readings.estimates.values()):
        return None
    plain = {
        modality: reading
        if reading.without_baseline is None
        else replace(reading, probabilities=reading.without_baseline)
        for modality, reading in readings.estimates.items()
    }
    fused = fuse(plain, weights)
    return {"probabilities": distribution(fused.probabilities), "valence": fused.valence, "arousal": fused.arousal}


def _store_calibration(check_in: CheckIn, readings: Readings) -> None:
    """A sentence that was given says nothing of how somebody is: what is kept of it is how the voice sounds."""
    heard = readings.estimates.get(Modality.VOICE)
    if heard and (why_not := _unfit(heard)):
        readings = Readings({}, {Modality.VOICE.value: why_not})
    status = WorkStatus.UNUSABLE if readings.reasons else WorkStatus.DONE
    check_in.finish(status, reason=_reason(status, readings))
    if heard and status == WorkStatus.DONE:
        calibration.keep(check_in, heard.usual)
    Estimate.objects.bulk_create(_rows(check_in, Readings({}, readings.reasons), None))


def _unfit(heard: Reading) -> str:
    """Why this clip must not shape a baseline; "" if it may."""
    if heard.usual is None:
        return "no_model"
    return "too_noisy" if heard.quality < LEAST_QUALITY else ""


def read(check_in: CheckIn, parts: list[Part]) -> Readings:
    readings = Readings({}, {})
    for part in parts:
        found = _refused(check_in.participant, part) or _read_part(check_in, part)
        readings.estimates.update(found.estimates)
        readings.reasons.update(found.reasons)
        readings = replace(readings, watched=readings.watched or found.watched)
    return readings


def _refused(participant: Participant, part: Part) -> Readings | None:
    """Why nothing of this part must be read now; None if it may be. What one scope covers is gone with the other's."""
    said = {modality: _why_not(participant, modality) for modality in modalities(part.kind)}
    if not any(said.values()):
        return None
    if WITHDRAWN in said.values():  # who only stopped keeps their media until retention takes them
        part.delete_content()
    return Readings({}, {modality: why_not or "media_gone" for modality, why_not in said.items()})


def _read_part(check_in: CheckIn, part: Part) -> Readings:
    try:
        if part.kind == Part.Kind.VIDEO:
            watch = import_string(settings.CHECKIN_WATCHER)
            watched = watch(part.content(), **calibration.against(check_in, Modality.VOICE))
            return Readings(watched.estimates, watched.reasons, watched)
        recognise = import_string(settings.CHECKIN_READER)
        estimate = recognise(part.kind, part.content(), **calibration.against(check_in, part.kind))
        return Readings({part.kind: estimate}, {})
    except (Unreadable, MediaGone) as problem:
        return Readings({}, dict.fromkeys(modalities(part.kind), getattr(problem, "code", "media_gone")))


def _why_not(participant: Participant, kind: str) -> str:
    """Why this must not be read now; "" if it may be."""
    if not participant.agreed_to(kind):
        return WITHDRAWN
    return "" if participant.status == Participant.Status.ACTIVE else "participation_stopped"


def still_allowed(readings: Readings, participant: Participant) -> Readings:
    """The readings without those of modalities that may not be read any more, whose reason is that."""
    ended = {kind: why_not for kind in readings.estimates if (why_not := _why_not(participant, kind))}
    kept = {kind: reading for kind, reading in readings.estimates.items() if kind not in ended}
    return Readings(kept, readings.reasons | ended)


def _reason(status: str, readings: Readings) -> str:
    """Of a check-in in which nothing could be read: the one reason, if all parts share it."""
    if status != WorkStatus.UNUSABLE:
        return ""
    reasons = set(readings.reasons.values())
    return reasons.pop() if len(reasons) == 1 else "no_usable_part"


def _rows(check_in: CheckIn, readings: Readings, fused: Fused | None) -> list[Estimate]:
    read_rows = [
        Estimate(
            check_in=check_in,
            modality=modality,
            probabilities=distribution(reading.probabilities),
            without_baseline=None if reading.without_baseline is None else distribution(reading.without_baseline),
            valence=reading.valence,
            arousal=reading.arousal,
            confidence=reading.confidence,
            quality=reading.quality,
            abstained=reading.abstained,
            weight=fused.weights[modality] if fused else None,
            model_version=reading.model_version,
            frames=frames_of(reading),
            reason=stranger(reading),
        )
        for modality, reading in readings.estimates.items()
    ]
    return read_rows + [Estimate(check_in=check_in, modality=m, reason=code) for m, code in readings.reasons.items()]


def frames_of(reading: Reading) -> dict | None:
    """Of a face read from a video: its frames and their votes."""
    told = {key: reading.details[key] for key in FRAMES if key in reading.details}
    return told or None


def distribution(probabilities: Iterable[float]) -> dict[str, float]:
    return {emotion: round(float(p), 6) for emotion, p in zip(EMOTIONS, probabilities, strict=True)}


def as_json(fused: Fused) -> dict:
    return {
        "probabilities": distribution(fused.probabilities),
        "valence": fused.valence,
        "arousal": fused.arousal,
        "confidence": fused.confidence,
        "abstained": fused.abstained,
        "weights": fused.weights,
        "contributions": fused.contributions,
        "best_modality": fused.best_modality,
        "probability_best": fused.probability_best,
        "disparity": fused.disparity,
    }


def _delete_media(check_in: CheckIn, parts: list[Part]) -> None:
    if retention.keeps_media(check_in):
        return
    for part in parts:
        if part.kind in retention.MEDIA_KINDS and part.deleted_at is None:
            part.delete_content()


def tell(check_in: CheckIn) -> None:
    """Call the rooms above; a fault there is theirs and is found again by their own sweep."""
    for dotted in settings.AFTER_ANALYSIS:
        try:
            import_string(dotted)(check_in.pk)
        except Exception as fault:
            log.error("after analysis", function=dotted, fault=type(fault).__name__)
