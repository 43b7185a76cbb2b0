"""From a policy's name to a choice: what each policy is given, and the model behind the personalised one."""

import functools
import hashlib
from dataclasses import dataclass, field

import structlog

from interventions.context import Snapshot
from interventions.models import Activity, ModelVersion
from recommender.catalogue import Activity as Described
from recommender.context import EMOTIONS
from recommender.policy import (
    FIXED_SEQUENCE,
    PERSONALISED,
    Candidate,
    Choice,
    PolicyConfig,
    clinician_order,
    decide,
    fixed_sequence,
)

log = structlog.get_logger(__name__)
BANDS = ("normal", "mild", "moderate", "severe", "extremely severe")
EFFORT_MOST, MINUTES_MOST = 5, 20


class ModelUnavailable(Exception):
    """The folder of a registered model is missing, changed or unreadable."""


@dataclass(frozen=True)
class Chosen:
    """A choice, the model that scored it, if any, and the exact parts of the chosen score."""

    choice: Choice
    model: str = ""
    fallback: str = ""
    explanation: dict[str, float] = field(default_factory=dict)


def described(activity: Activity) -> Described:
    """The activity by what clinicians say of it: all that a model may know before anybody has done it."""
    targets = activity.targets
    tags = [f"for:{name}" for name in (*targets.get("emotions", ()), *targets.get("scales", {}))]
    attributes = {"effort": activity.effort / EFFORT_MOST, "minutes": min(activity.minutes / MINUTES_MOST, 2.0)}
    tags.append(f"arousal:{activity.arousal_direction}")
    return Described(activity.key, activity.technique, tuple(sorted(tags)), attributes)


def clinicians_order(activities: list[Activity], snapshot: Snapshot) -> list[str]:
    """Activities made for what the person shows and scores first, then in the order that clinicians set.

    An emotion counts by how far it rises above chance: an estimate that says nothing changes no place. A scale counts
    by its band (severe: 3 of 4), and only the worst one: an activity made for much is not better than one made for
    what is needed most.
    """
    ranked = sorted(activities, key=lambda a: (-_fit(a, snapshot), a.clinician_order, a.key))
    return [activity.key for activity in ranked]


def _fit(activity: Activity, snapshot: Snapshot) -> float:
    emotion = snapshot.context.emotion or {}
    shown = sum(emotion.get(name, 0.0) - 1 / len(EMOTIONS) for name in activity.targets.get("emotions", ()) if emotion)
    worst = max((BANDS.index(snapshot.bands[scale]) for scale in scales_met(activity, snapshot.bands)), default=0)
    return round(shown + worst / (len(BANDS) - 1), 6)


def scales_met(activity: Activity, bands: dict[str, str]) -> list[str]:
    """The DASS-21 scales the activity was made for and on which the person is at least in its band."""
    return [
        scale
        for scale, least in activity.targets.get("scales", {}).items()
        if scale in bands and BANDS.index(bands[scale]) >= BANDS.index(least)
    ]


def choose(
    *,
    policy: str | None,
    activities: list[Activity],
    candidates: list[Candidate],
    snapshot: Snapshot,
    seed: int,
    config: PolicyConfig,
    model: ModelVersion | None,
) -> Chosen:
    """activities and candidates: the same, in the same order. policy None: every candidate is closed already."""
    if policy == FIXED_SEQUENCE:
        order = [a.key for a in sorted(activities, key=lambda a: (a.clinician_order, a.key))]
        choice = fixed_sequence(candidates=candidates, order=order, done=snapshot.done, seed=seed, config=config)
        return Chosen(choice)
    fallback = ""
    if policy == PERSONALISED and model is not None:
        try:
            return _by_model(model, [described(a) for a in activities], candidates, snapshot, seed, config)
        except ModelUnavailable as problem:
            log.error("model unavailable", model=model.name, problem=type(problem.__cause__).__name__)
            fallback = f"model unavailable: {model.name}"
    order = clinicians_order(activities, snapshot)
    return Chosen(clinician_order(candidates=candidates, order=order, seed=seed, config=config), fallback=fallback)


def _by_model(version, catalogue, candidates, snapshot, seed, config) -> Chosen:
    scores, deviations = score(version, catalogue, candidates, snapshot)
    choice = decide(
        candidates=candidates,
        scores=scores,
        scores_sd=deviations,
        seed=seed,
        config=config,
        model_version=version.name,
    )
    parts = {}
    if choice.activity:
        open_ = _eligible(catalogue, candidates)
        parts = load(version.pk, version.sha256).explain(
            snapshot.history, snapshot.context, choice.activity, open_, at=snapshot.at
        )
    return Chosen(choice, version.name, explanation={name: float(value) for name, value in parts.items()})


def score(
    version: ModelVersion, catalogue: list[Described], candidates: list[Candidate], snapshot: Snapshot
) -> tuple[list[float | None], list[float | None]]:
    """Posterior mean and deviation per candidate, None where it is closed. Raises ModelUnavailable."""
    open_ = _eligible(catalogue, candidates)
    if not open_:
        return [None] * len(candidates), [None] * len(candidates)
    model = load(version.pk, version.sha256)
    mean, sd = model.score(snapshot.history, snapshot.context, open_, at=snapshot.at)
    known = {activity.id: (float(m), float(s)) for activity, m, s in zip(open_, mean, sd, strict=True)}
    pairs = [known.get(candidate.activity, (None, None)) for candidate in candidates]
    return [m for m, _ in pairs], [s for _, s in pairs]


def _eligible(catalogue: list[Described], candidates: list[Candidate]) -> list[Described]:
    return [activity for activity, candidate in zip(catalogue, candidates, strict=True) if candidate.eligible]


@functools.lru_cache(maxsize=4)
def load(version_id: int, sha256: str):
    """The model of a registry row, kept in this process. Raises ModelUnavailable. Loads torch."""
    from recommender.vae import IncompatibleModel, Recommender

    version = ModelVersion.objects.get(pk=version_id)
    try:
        if hashlib.sha256((version.path / "card.json").read_bytes()).hexdigest() != sha256:
            raise IncompatibleModel("the card is not the registered one")
        return Recommender.load(version.path)
    except (OSError, IncompatibleModel) as problem:
        raise ModelUnavailable(version.name) from problem
