"""What a person's corrections say about how far their face and voice can be trusted."""

from django.utils import timezone

from emotion.estimate import EMOTIONS
from emotion.reliability import Reliability
from mhealth.checkins.models import Correction, Estimate, Modality, PersonalReliability
from mhealth.people.models import Participant

SECONDS_PER_DAY = 86_400


def of(participant: Participant) -> Reliability:
    """The present posterior of this person; the population's where nothing was ever corrected."""
    stored = PersonalReliability.objects.filter(participant=participant).first()
    return Reliability.from_json(stored.state if stored else {})


def relearn(participant: Participant) -> Reliability:
    """Read all corrections anew, in the order of their check-ins: a correction that was changed leaves no trace.

    Answers to random prompts are plain labels; spontaneous corrections are selected by the fused
    error and enter through the likelihood of being corrected (emotion.reliability, equation 3).
    """
    allowed = {scope for scope in Modality.values if participant.consents_to(scope)}
    learnt = Reliability()
    for correction in _corrections(participant):
        learnt = _after(learnt, correction, allowed)
    PersonalReliability.objects.update_or_create(
        participant=participant,
        defaults={"state": learnt.to_json(), "labels": learnt.labels, "updated_at": timezone.now()},
    )
    return learnt


def _corrections(participant: Participant):
    """Of finished check-ins that are not late: an old recording says little about today's phone and person."""
    rows = Correction.objects.filter(check_in__participant=participant, check_in__late=False)
    rows = rows.exclude(check_in__fused=None).select_related("check_in").prefetch_related("check_in__estimates")
    return rows.order_by("check_in__recorded_at", "check_in_id")


def _after(learnt: Reliability, correction: Correction, allowed: set[str]) -> Reliability:
    """A withdrawn modality teaches nothing any more, nor does a fused estimate that it took part in."""
    check_in, label = correction.check_in, correction.labels[0]
    readings = _read(check_in.estimates.all())
    read = {e.modality: most_probable(e.probabilities) for e in readings}
    said = {modality: emotion for modality, emotion in read.items() if modality in allowed}
    at_days = check_in.recorded_at.timestamp() / SECONDS_PER_DAY
    if not said or (said != read and not correction.prompted):
        return learnt
    if correction.prompted:
        distributions = {e.modality: in_order(e.probabilities) for e in readings if e.modality in said}
        asked = {"probability": check_in.prompt_probability, "distributions": distributions}
        return learnt.after_prompt(said, label, at_days=at_days, **asked)
    fused = most_probable(check_in.fused["probabilities"])
    return learnt.after_correction(said, fused, label, at_days=at_days)


def _read(estimates) -> list[Estimate]:
    return [estimate for estimate in estimates if estimate.probabilities]


def in_order(probabilities: dict[str, float]) -> list[float]:
    return [probabilities[emotion] for emotion in EMOTIONS]


def most_probable(probabilities: dict[str, float]) -> str:
    """Equal ones in the order of EMOTIONS: a database may give the keys back in another."""
    return max(EMOTIONS, key=lambda emotion: probabilities.get(emotion, 0.0))
