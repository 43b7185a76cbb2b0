"""Content as clinicians and reviewers would bring it out, and people who check in: small, through the real services."""

import uuid
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from interventions import services
from interventions.models import Activity, ContraIndication, Review, Version
from interventions.validation import State
from mhealth.checkins.models import CheckIn
from mhealth.platform.leases import WorkStatus
from mhealth.trials.models import Trial
from tests.trials import factories as trials

FIXTURES = Path(__file__).parents[2] / "fixtures"

# key: technique, emotions, scales, contra-indications, grounding
SHELF = {
    "slow-breathing": ("breathing", ["fear", "anger"], {"anxiety": "mild"}, ["respiratory"], False),
    "five-senses": ("grounding", ["fear"], {"anxiety": "mild"}, [], True),
    "one-pleasant-thing": ("behavioural_activation", ["sadness"], {"depression": "mild"}, [], False),
    "thought-record": ("thought_record", ["anger", "sadness"], {}, ["extreme_distress"], False),
}


def activity(like: str, order: int = 1, **fields) -> Activity:
    technique, emotions, scales, tags, grounding = SHELF[like]
    defaults = {
        "key": like,
        "technique": technique,
        "targets": {"emotions": emotions, "scales": scales},
        "grounding": grounding,
        "evidence": {"reference": "Author A (2020)", "level": "review"},
        "licence": "CC-BY-4.0",
        "minutes": 5,
        "effort": 1,
        "arousal_direction": "down",
        "clinician_order": order,
    }
    made = Activity.objects.create(**(defaults | fields))
    for tag in tags:
        rule = services.content.SCORE_RULES.get(tag, [])
        made.contra_indications.add(
            ContraIndication.objects.get_or_create(tag=tag, defaults={"name": tag, "rule": rule})[0]
        )
    return made


def draft(of: Activity, author=None, language: str = "en", number: int = 1, **fields) -> Version:
    defaults = {
        "title": f"{of.key} ({language})",
        "summary": "What it is good for.",
        "steps": ["Sit down.", "Do it.", "Notice what changed."],
        "when_it_does_not_help": "Try another one.",
    }
    return Version.objects.create(activity=of, language=language, number=number, author=author, **(defaults | fields))


def rate(version: Version, reviewer, relevance=4, clarity=4, safety=4, verdict=Review.Verdict.APPROVE) -> Review:
    return services.review(
        version=version, reviewer=reviewer, relevance=relevance, clarity=clarity, safety=safety, verdict=verdict
    )


def publish(version: Version, clinician, reviewers) -> Version:
    version = services.move(version=version, to_state=State.IN_REVIEW, user=clinician)
    for reviewer in reviewers:
        rate(version, reviewer)
    version = services.move(version=version, to_state=State.APPROVED, user=reviewers[-1])
    return services.move(version=version, to_state=State.PUBLISHED, user=clinician)


def shelf(clinician, reviewers, languages=("en",)) -> dict[str, Activity]:
    """Everything of SHELF, published, in the order given; and the reason texts of the demo."""
    services.load_reasons(FIXTURES / "reasons", FIXTURES / "words")
    made = {}
    for order, key in enumerate(SHELF, start=1):
        made[key] = activity(key, order)
        for language in languages:
            publish(draft(made[key], clinician, language), clinician, reviewers)
    return made


def fused(emotion: str | None = "sadness", p: float = 0.7, abstained: bool = False) -> dict:
    """What fusion stores; emotion None is the uniform distribution."""
    names = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    rest = (1 - p) / 6
    probabilities = {name: (p if name == emotion else rest) if emotion else 1 / 7 for name in names}
    return {
        "probabilities": probabilities,
        "valence": -0.4,
        "arousal": -0.2,
        "confidence": 0.6,
        "abstained": abstained,
        "weights": {"face": 0.4, "voice": 0.6},
        "best_modality": "voice",
        "probability_best": 0.6,
        "disparity": 0.1,
    }


def checked_in(person, reading: dict | None = None, minutes_ago: float = 1, **fields) -> CheckIn:
    """A finished check-in as the analysis leaves it."""
    at = timezone.now() - timedelta(minutes=minutes_ago)
    defaults = {"status": WorkStatus.DONE, "fused": reading or fused(), "finished_at": at, "recorded_at": at}
    return CheckIn.objects.create(
        id=uuid.uuid4(), participant=person, zone=person.zone, digest="0" * 64, **(defaults | fields)
    )


def running_trial(study, policies=("personalised", "fixed_sequence")) -> Trial:
    trials.load_dass21()
    return trials.running(study, arms=tuple((policy, 1) for policy in policies), stratify_by=[])


def enrolled_in(person, trial: Trial, policy: str):
    """Allocate this person, and others before if need be, until the slot of the wanted arm is theirs."""
    enrolment = trials.candidate(person, trial)
    free = trial.slots.filter(taken_by=None).order_by("position")
    slot = next(slot for slot in free if slot.read_arm().policy == policy)
    # The list is sealed and random: the test moves to the next slot of the arm, the real service takes it.
    skipped = [other.pk for other in free if other.position < slot.position]
    trial.slots.filter(pk__in=skipped).delete()
    return trials.services.allocate(enrolment=enrolment)
