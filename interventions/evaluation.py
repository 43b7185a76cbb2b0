"""What another policy would have earned from the offers of a study: off-policy evaluation of the decision log."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from django.db import transaction
from django.utils import timezone

from interventions import policies
from interventions.context import Snapshot
from interventions.models import Decision, ModelVersion
from mhealth.people.models import Participant, Study, User
from mhealth.platform import audit
from mhealth.platform.access import roles_of
from mhealth.trials import services as trials
from recommender import ope
from recommender.catalogue import Activity as Described
from recommender.context import Context
from recommender.outcomes import OutcomeModel
from recommender.policy import Candidate, PolicyConfig, decide

Law = Callable[[dict], np.ndarray]  # a decision's record to the probability of each of its candidates, (N,)


class NotAResearcherHere(Exception):
    """The user may not evaluate policies of this study."""


class UnknownPolicy(Exception):
    """Neither one of `LAWS` nor the name of a registered model."""


@dataclass(frozen=True)
class Evaluation:
    """estimates: by method; a text where an estimate was refused.   offers: that count.   earned: by them, on average.

    masked: offers left out because their arm is masked.   one_sided: because some activity that was eligible had no
    chance, as in a fixed sequence: such an offer tells nothing about what was not possible.
    """

    estimates: dict[str, ope.Estimate | str]
    offers: int
    masked: int
    one_sided: int
    earned: float


def uniform(record: dict) -> np.ndarray:
    """Chance over what was eligible."""
    eligible = np.array([not candidate["closed_by"] for candidate in record["choice"]["candidates"]], dtype=float)
    return eligible / eligible.sum()


def logged(record: dict) -> np.ndarray:
    """The law that the offer was drawn from."""
    return np.array(record["choice"]["probabilities"])


LAWS: dict[str, Law] = {"logged": logged, "uniform": uniform}


def evaluate(*, study: Study, policy: str, user: User, reason: str, seed: int = 0) -> Evaluation:
    """Value of a policy by IPS, SNIPS and DR from the offers to people who take part.

    Offers to people of a trial that is still masked for this user do not count: a policy's value among them could tell
    its arms apart. Raises NotAResearcherHere, UnknownPolicy, ope.TooLittleOverlap where there are no offers at all.
    """
    if "researcher" not in roles_of(user) or not study.members.filter(user=user).exists():
        raise NotAResearcherHere(str(study.slug))
    law, (open_, masked) = _law(policy), _offers(study, user)
    offers = [offer for offer in open_ if _two_sided(offer[1])]
    subject = f"people.Study/{study.pk}"
    with transaction.atomic():
        audit.record(
            actor=user, action="policy.evaluated", subject=subject, policy=policy, reason=reason, n=len(offers)
        )
    if not offers:
        raise ope.TooLittleOverlap("no offer counts")
    log, laws, features = _as_logged(offers, law)
    estimates = _estimates(log, laws, features, seed)
    return Evaluation(estimates, len(offers), masked, len(open_) - len(offers), float(log.reward.mean()))


def _law(policy: str) -> Law:
    version = ModelVersion.objects.filter(name=policy).first()
    if policy in LAWS:
        return LAWS[policy]
    if version is None:
        raise UnknownPolicy(f"{policy}: neither {' nor '.join(LAWS)} nor a registered model")
    return lambda record: _of_model(version, record)


def _of_model(version: ModelVersion, record: dict) -> np.ndarray:
    """The law of the decision layer, had this model scored at that moment."""
    choice = record["choice"]
    candidates = [Candidate(**{**c, "closed_by": tuple(c["closed_by"])}) for c in choice["candidates"]]
    catalogue = [Described(a["id"], a["technique"], tuple(a["tags"]), a["attributes"]) for a in record["activities"]]
    scores, deviations = policies.score(version, catalogue, candidates, Snapshot.from_dict(record["snapshot"]))
    config = PolicyConfig.from_dict(choice["config"])
    made = decide(candidates=candidates, scores=scores, scores_sd=deviations, seed=choice["seed"], config=config)
    return np.array(made.probabilities)


def _offers(study: Study, user: User) -> tuple[list[tuple[Decision, dict]], int]:
    """Offers with their records, oldest first, and how many were left out because their arm is masked."""
    active = Decision.objects.offered().filter(participant__study=study)
    active = active.filter(participant__status=Participant.Status.ACTIVE)
    rows = active.select_related("participant__data_key", "version__activity").prefetch_related("events")
    masked: dict[object, bool] = {}
    kept, left_out = [], 0
    for decision in rows.order_by("decided_at", "id"):
        person = decision.participant
        if person.pk not in masked:
            masked[person.pk] = trials.is_masked_for(user, person)
        if masked[person.pk]:
            left_out += 1
        else:
            kept.append((decision, decision.record))
    return kept, left_out


def _two_sided(record: dict) -> bool:
    """Whether everything eligible had a chance."""
    return bool((logged(record)[uniform(record) > 0] > 0).all())


def _as_logged(offers: list[tuple[Decision, dict]], law: Law) -> tuple[ope.Logged, np.ndarray, np.ndarray]:
    """The offers as `recommender.ope` takes them, the law over all activities, and features of the moments."""
    now = timezone.now()
    outcomes = [decision.heard_until(now) for decision, _ in offers]
    techniques = [decision.version.activity.technique for decision, _ in offers]
    model = OutcomeModel().fit(techniques, outcomes)
    reward = [model.reward(*pair)[0] for pair in zip(techniques, outcomes, strict=True)]
    names = sorted({name for _, record in offers for name in _names(record)})
    place = {name: i for i, name in enumerate(names)}
    laws, chosen, p = np.zeros((len(offers), len(names))), np.zeros(len(offers), dtype=int), np.zeros(len(offers))
    for row, (decision, record) in enumerate(offers):
        at = [place[name] for name in _names(record)]
        laws[row, at] = law(record)
        chosen[row] = place[decision.version.activity.key]
        p[row] = logged(record)[at.index(chosen[row])]
    people = np.array([str(decision.participant_id) for decision, _ in offers])
    contexts = [Context.from_dict(record["snapshot"]["context"]) for _, record in offers]
    features = np.array([[c.dass.get(s, 0.0) / 42 for s in ("depression", "anxiety", "stress")] for c in contexts])
    return ope.Logged(np.array(reward), chosen, p, people), laws, features


def _names(record: dict) -> list[str]:
    return [candidate["activity"] for candidate in record["choice"]["candidates"]]


def _estimates(log: ope.Logged, laws: np.ndarray, features: np.ndarray, seed: int) -> dict[str, ope.Estimate | str]:
    found: dict[str, ope.Estimate | str] = {}
    for method in ope.METHODS:
        try:
            expected = ope.cross_fitted(features, log, laws.shape[1], ridge=5.0, seed=seed) if method == "DR" else None
            found[method] = ope.estimate(log, laws, method, expected=expected, seed=seed)
        except ope.TooLittleOverlap as refused:
            found[method] = str(refused)
    return found
