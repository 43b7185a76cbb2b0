"""Where face and voice of a check-in express different things: measured in the worker, shown to clinicians alone.

It is not a diagnosis, changes no risk level and decides nothing.
"""

from dataclasses import replace
from pathlib import Path

import structlog
from django.conf import settings
from django.utils.module_loading import import_string

from emotion.checkpoint import NoModel
from emotion.disparity import Comparison, Null, Report, compare, report_on
from emotion.disparity.reference import OtherModels, load
from emotion.disparity.rewriting import NoAnswer, rewrite
from emotion.estimate import Estimate as Reading
from mhealth.checkins.models import CheckIn, DisparityReport, Modality, Part
from mhealth.people.models import Participant
from mhealth.platform.media import MediaGone

log = structlog.get_logger(__name__)
BOTH = (Modality.FACE, Modality.VOICE)


def of(check_in: CheckIn, parts: list[Part], readings: dict[str, Reading], watched=None) -> Comparison | None:
    """Face against voice, and along the voice where there is a null for these models; None unless both were read.

    watched: `recognisers.Watched` where a video was read: its frames move along with the voice.
    """
    if not set(BOTH) <= set(readings):
        return None
    face, voice = (_as_the_null_was(readings[modality]) for modality in BOTH)
    null = _null(check_in.participant, _versions(readings))
    seen = watched.seen if watched else [(0.0, face.probabilities)]
    duration_s, along = (watched.heard_along() if watched else _along(parts)) if null else (0.0, [])
    return compare(seen, voice.probabilities, along, duration_s, null)


def store(check_in: CheckIn, comparison: Comparison, readings: dict[str, Reading]) -> None:
    """In the caller's transaction, which holds the person: what was withdrawn meanwhile is not in `readings`."""
    overall = comparison.overall
    row = DisparityReport(check_in=check_in, score=overall.score, p_value=overall.p_value)
    row.models_used = _together(_versions(readings))
    row.seal({"comparison": comparison.to_json(), "rewritten": None})
    row.save()


def rewrite_alert(check_in: CheckIn) -> None:
    """Let the operator's language model say the sentences of an alert anew; without an answer the templates stand."""
    row = DisparityReport.objects.filter(check_in=check_in).first()
    if not (settings.DISPARITY_REWRITER and row and is_alert(row)):
        return
    content = row.opened()
    sentences = report_on(Comparison.from_json(content["comparison"])).sentences
    try:
        told = rewrite(sentences, settings.DISPARITY_REWRITER, model=settings.DISPARITY_REWRITER_MODEL)
    except NoAnswer as problem:
        log.warning("not rewritten", problem=str(problem))
        return
    row.seal(content | {"rewritten": told})
    DisparityReport.objects.filter(pk=row.pk).update(sealed=row.sealed)


def is_alert(row: DisparityReport) -> bool:
    return bool(opened(row).overall.alert)


def opened(row: DisparityReport) -> Comparison:
    return Comparison.from_json(row.opened()["comparison"])


def told(row: DisparityReport) -> tuple[Report, list[str] | None]:
    """The report, and its sentences as a language model said them, if one did."""
    content = row.opened()
    return report_on(Comparison.from_json(content["comparison"])), content["rewritten"]


def forget(participant: Participant, until) -> None:
    """A withdrawn face or voice takes along what was read from both together."""
    DisparityReport.objects.filter(check_in__participant=participant, check_in__received_at__lte=until).delete()


def _null(participant: Participant, versions: dict[str, str]) -> Null | None:
    """The null of these models, moved to the person; None where there is none."""
    try:
        return load(_path()).for_models(versions).knowing(_own_scores(participant, _together(versions)))
    except (OtherModels, NoModel):
        return None


def _path() -> Path | None:
    """Beside the configured checkpoints, or the one that the package ships."""
    beside = Path(settings.EMOTION_CHECKPOINTS) / "disparity.json" if settings.EMOTION_CHECKPOINTS else None
    return beside if beside and beside.exists() else None


def _own_scores(participant: Participant, models_used: str) -> list[float]:
    """Of moments in which the person, asked at random, said that face and voice expressed one and the same."""
    rows = DisparityReport.objects.filter(
        check_in__participant=participant,
        check_in__late=False,
        check_in__correction__prompted=True,
        models_used=models_used,
    ).select_related("check_in__correction")
    return [row.score for row in rows if len(row.check_in.correction.labels) == 1]


def _as_the_null_was(reading: Reading) -> Reading:
    """Read against everybody's usual: the null knows no personal baseline."""
    return reading if reading.without_baseline is None else replace(reading, probabilities=reading.without_baseline)


def _along(parts: list[Part]):
    """(seconds, windows) of the voice; nothing where the recording is gone."""
    try:
        [voice] = [part for part in parts if part.kind == Modality.VOICE]
        return import_string(settings.CHECKIN_WINDOWS)(voice.content())
    except (MediaGone, ValueError):
        return 0.0, []


def _versions(readings: dict[str, Reading]) -> dict[str, str]:
    return {str(modality): readings[modality].model_version for modality in BOTH}


def _together(versions: dict[str, str]) -> str:
    return "+".join(versions[modality] for modality in sorted(versions))
