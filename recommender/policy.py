"""The decision: which activity, if any, is offered now, with which probability, and how to replay it.

Gates are data, evaluated elsewhere; here they arrive as the reasons that close a candidate. Then

(i)  send or nothing, with a probability in [0.2, 0.8];
(ii) given send, one of the m eligible activities, with
     p_i = (1 - epsilon) p_Thompson,i + epsilon / m,

     p_Thompson,i how often i is best among draws from the posterior with `spread` times its deviation. Chance is in
     the law already through epsilon, and one person's few weeks do not repay exploring on top of it.

The stored vector *is* the sampling law: the draw is made from exactly these numbers, ineligible entries are
zero and stored as zero, and every choice can be recomputed bit for bit from its record (`draws`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from recommender.draws import ACTIVITY, SEND, drawn, thompson_probabilities, uniform
from recommender.outcomes import RewardDefinition

RECORD_FORMAT = 2
PERSONALISED, CLINICIAN_ORDER, FIXED_SEQUENCE = "personalised", "clinician_order", "fixed_sequence"
SENT, HELD_BACK, NO_ELIGIBLE_ACTIVITY = "sent", "held_back", "no_eligible_activity"
UPDATE_RULES = ("personal", "pooled", "frozen")


class InvalidDecision(ValueError):
    """The inputs do not describe a decision: lengths differ, a score is not a number, an activity comes twice."""


class UnreplayableRecord(ValueError):
    """The record is of another format or lacks what is needed to decide again."""


@dataclass(frozen=True)
class Candidate:
    """One published activity and the gates that close it now; no reasons means eligible."""

    activity: str
    technique: str = ""
    version: str = ""
    closed_by: tuple[str, ...] = ()

    @property
    def eligible(self) -> bool:
        return not self.closed_by


@dataclass(frozen=True)
class PolicyConfig:
    """What fixes the law of a decision; stored whole in every record.

    send_probability: probability of offering anything, clipped to [send_low, send_high].
    always_send: the person asked for an activity: offer one for certain. Such decisions cannot enter the
        analysis of "anything against nothing", and their record shows it (send_probability 1).
    epsilon: share of the draw that is uniform over the eligible activities.
    draws: posterior draws behind p_Thompson.   spread: of these draws, in posterior deviations; 1 is Thompson (1933).
    order_sd: uncertainty given to a clinician-set order, whose scores run from 1 (first) to 0 (last).
    update_rule: how the model behind the scores learns: "personal" (rank-one updates between nightly fits),
        "pooled" (nightly only) or "frozen" (for a trial). Recorded here, acted on by whoever makes the scores.
    """

    send_probability: float = 0.6
    send_low: float = 0.2
    send_high: float = 0.8
    always_send: bool = False
    epsilon: float = 0.18
    draws: int = 1000
    spread: float = 0.1
    order_sd: float = 0.25
    update_rule: str = "personal"
    reward: RewardDefinition = field(default_factory=RewardDefinition)

    def __post_init__(self) -> None:
        if not 0 < self.send_low <= self.send_high < 1:
            raise InvalidDecision("send_low and send_high must satisfy 0 < low <= high < 1")
        if not 0 < self.epsilon <= 1:
            raise InvalidDecision("epsilon must be in (0, 1]: every eligible activity needs a chance")
        if self.draws < 1 or not self.order_sd >= 0 or not math.isfinite(self.send_probability):
            raise InvalidDecision("draws must be at least 1, order_sd at least 0, send_probability a number")
        if not 0 <= self.spread < math.inf:
            raise InvalidDecision("spread must be a number of at least 0")
        if self.update_rule not in UPDATE_RULES:
            raise InvalidDecision(f"update_rule must be one of {', '.join(UPDATE_RULES)}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PolicyConfig:
        """Read a record's config; before there was a `spread`, draws were from the whole posterior."""
        return cls(**{"spread": 1.0, **values, "reward": RewardDefinition(**values["reward"])})


@dataclass(frozen=True)
class Choice:
    """One decision with everything needed to make it again.

    activity: the chosen activity, or None for "nothing now".   reason: "sent", "held_back" or
        "no_eligible_activity".
    probabilities: (N,) the law of the activity given that one is sent, in the order of `candidates`; zero where
        ineligible; sums to 1, or to 0 when nothing is eligible.
    send_probability: probability that anything was sent; 0 when nothing was eligible.
    propensity: probability of what happened: send_probability · p_i, or 1 - send_probability.
    scores, scores_sd: (N,) as given; None where an ineligible activity has no score.
    inputs: what a policy other than `personalised` was given (`order`, `done`).
    """

    policy: str
    activity: str | None
    reason: str
    candidates: tuple[Candidate, ...]
    probabilities: tuple[float, ...]
    send_probability: float
    propensity: float
    scores: tuple[float | None, ...]
    scores_sd: tuple[float | None, ...]
    seed: int
    config: PolicyConfig
    model_version: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def eligible(self) -> tuple[bool, ...]:
        return tuple(candidate.eligible for candidate in self.candidates)

    @property
    def index(self) -> int | None:
        """Position of the chosen activity among the candidates."""
        names = [candidate.activity for candidate in self.candidates]
        return None if self.activity is None else names.index(self.activity)

    def alternatives(self, k: int = 3) -> list[str]:
        """The next best eligible activities, for "show others"; never part of off-policy evaluation."""
        others = [i for i, c in enumerate(self.candidates) if c.eligible and c.activity != self.activity]
        ranked = sorted(others, key=lambda i: (-self.probabilities[i], -(self.scores[i] or 0.0), i))
        return [self.candidates[i].activity for i in ranked[:k]]

    def record(self) -> dict[str, Any]:
        """Return plain values that `json.dumps` takes and `replay` understands."""
        return {
            "format": RECORD_FORMAT,
            "policy": self.policy,
            "model_version": self.model_version,
            "seed": self.seed,
            "config": asdict(self.config),
            "inputs": {key: list(value) for key, value in self.inputs.items()},
            "candidates": [{**asdict(c), "closed_by": list(c.closed_by)} for c in self.candidates],
            "scores": list(self.scores),
            "scores_sd": list(self.scores_sd),
            "send_probability": self.send_probability,
            "probabilities": list(self.probabilities),
            "activity": self.activity,
            "reason": self.reason,
            "propensity": self.propensity,
        }


def decide(
    *,
    candidates: Sequence[Candidate],
    scores: Sequence[float],
    scores_sd: Sequence[float],
    seed: int,
    config: PolicyConfig,
    model_version: str = "",
) -> Choice:
    """Choose by the posterior of a model.

    scores, scores_sd: (N,) posterior mean and standard deviation of the expected reward of each candidate, larger
    is better. Draws are independent between activities: give the deviation of what tells them apart
    (`RewardHead.score` does), not of what they share. An ineligible candidate may have NaN or None.
    Raises InvalidDecision.
    """
    mean, sd = _checked(candidates, scores, scores_sd, seed)
    drawn_sd = [None if s is None else config.spread * s for s in sd]
    law = _mixed_law(candidates, mean, drawn_sd, seed, config)
    return _choose(PERSONALISED, candidates, law, mean, sd, seed, config, model_version, {})


def clinician_order(
    *, candidates: Sequence[Candidate], order: Sequence[str], seed: int, config: PolicyConfig
) -> Choice:
    """Choose while there is no model: the order set by clinicians stands in for the scores, and the choice says so.

    order: activities, best first. Candidates that are not in it share the lowest place. The choice is drawn as in
    `decide`, so that these early decisions can be learnt from.
    """
    scores = _order_scores(candidates, order)
    mean, sd = _checked(candidates, scores, [config.order_sd] * len(candidates), seed)
    law = _mixed_law(candidates, mean, sd, seed, config)
    return _choose(CLINICIAN_ORDER, candidates, law, mean, sd, seed, config, "", {"order": tuple(order)})


def fixed_sequence(
    *,
    candidates: Sequence[Candidate],
    order: Sequence[str],
    done: Sequence[str],
    seed: int,
    config: PolicyConfig,
) -> Choice:
    """Attention control: the next activity of a set order that this person has not done yet.

    done: activities already done, one entry per time; when all were done once the order starts again. Send or
    nothing follows the same law and the same stream as the other policies, so that how often something arrives
    does not tell the arms apart. Candidates outside the order are closed as "not_in_sequence".
    """
    names = {candidate.activity for candidate in candidates}
    place = {activity: i for i, activity in enumerate(order)}
    candidates = [c if c.activity in place else _closed(c, "not_in_sequence") for c in candidates]
    mean, sd = _checked(candidates, [0.0] * len(candidates), [0.0] * len(candidates), seed)
    times = Counter(activity for activity in done if activity in names)
    open_ = [i for i, c in enumerate(candidates) if c.eligible]
    law = [0.0] * len(candidates)
    if open_:
        law[min(open_, key=lambda i: (times[candidates[i].activity], place[candidates[i].activity]))] = 1.0
    inputs = {"order": tuple(order), "done": tuple(done)}
    return _choose(FIXED_SEQUENCE, candidates, law, mean, sd, seed, config, "", inputs)


def replay(record: Mapping[str, Any]) -> Choice:
    """Decide again from a record's inputs; `replay(r).record() == as_written_now(r)` for every untouched record.

    Raises UnreplayableRecord for another format or missing fields. What the record says was chosen is not used.
    """
    record = as_written_now(record)
    try:
        config = PolicyConfig.from_dict(record["config"])
        candidates = [Candidate(**{**c, "closed_by": tuple(c["closed_by"])}) for c in record["candidates"]]
        policy, seed, inputs = record["policy"], record["seed"], record["inputs"]
        if policy == PERSONALISED:
            scores, sd, version = record["scores"], record["scores_sd"], record["model_version"]
            return decide(
                candidates=candidates, scores=scores, scores_sd=sd, seed=seed, config=config, model_version=version
            )
        if policy == CLINICIAN_ORDER:
            return clinician_order(candidates=candidates, order=inputs["order"], seed=seed, config=config)
        if policy == FIXED_SEQUENCE:
            order, done = inputs["order"], inputs["done"]
            return fixed_sequence(candidates=candidates, order=order, done=done, seed=seed, config=config)
    except (KeyError, TypeError, InvalidDecision) as error:
        raise UnreplayableRecord(f"the record cannot be decided again: {error}") from error
    raise UnreplayableRecord(f"unknown policy {policy!r}")


def as_written_now(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record of format 1 in the present format: its draws were from the whole posterior, spread 1.

    Raises UnreplayableRecord for any other format.
    """
    if record.get("format") == 1 and isinstance(record.get("config"), Mapping):
        return {**record, "format": RECORD_FORMAT, "config": {**record["config"], "spread": 1.0}}
    if record.get("format") != RECORD_FORMAT:
        raise UnreplayableRecord(f"decision record format {record.get('format')!r}, this code reads 1 and 2")
    return record


def differences(record: Mapping[str, Any]) -> list[str]:
    """Return the fields in which a record differs from its replay; empty when it reproduces."""
    again, record = replay(record).record(), as_written_now(record)
    return sorted(key for key in again.keys() | record.keys() if again.get(key) != record.get(key))


def _mixed_law(candidates, mean, sd, seed: int, config: PolicyConfig) -> list[float]:
    """Return p_i = (1 - epsilon) p_Thompson,i + epsilon / m over the eligible, 0 elsewhere; (N,)."""
    law = [0.0] * len(candidates)
    open_ = [i for i, candidate in enumerate(candidates) if candidate.eligible]
    if not open_:
        return law
    best = thompson_probabilities([mean[i] for i in open_], [sd[i] for i in open_], config.draws, seed)
    for i, p in zip(open_, best.tolist(), strict=True):
        law[i] = (1 - config.epsilon) * p + config.epsilon / len(open_)
    return law


def _choose(policy, candidates, law, mean, sd, seed, config, model_version, inputs) -> Choice:
    """Draw send-or-nothing and the activity from the law, each from its own stream."""
    activity, reason = None, NO_ELIGIBLE_ACTIVITY
    send_probability, propensity = 0.0, 1.0
    if any(law):
        send_probability = _send_probability(config)
        if uniform(seed, SEND) < send_probability:
            i = drawn(law, uniform(seed, ACTIVITY))
            activity, reason, propensity = candidates[i].activity, SENT, send_probability * law[i]
        else:
            reason, propensity = HELD_BACK, 1 - send_probability
    return Choice(
        policy=policy,
        activity=activity,
        reason=reason,
        candidates=tuple(candidates),
        probabilities=tuple(law),
        send_probability=send_probability,
        propensity=propensity,
        scores=mean,
        scores_sd=sd,
        seed=seed,
        config=config,
        model_version=model_version,
        inputs=inputs,
    )


def _send_probability(config: PolicyConfig) -> float:
    if config.always_send:
        return 1.0
    return min(max(config.send_probability, config.send_low), config.send_high)


def _checked(candidates, scores, scores_sd, seed) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InvalidDecision("seed must be a non-negative integer")
    if not len(candidates) == len(scores) == len(scores_sd):
        raise InvalidDecision(f"{len(candidates)} candidates, {len(scores)} scores, {len(scores_sd)} deviations")
    if len({candidate.activity for candidate in candidates}) < len(candidates):
        raise InvalidDecision("an activity is a candidate more than once")
    mean, sd = tuple(map(_number, scores)), tuple(map(_number, scores_sd))
    for candidate, m, s in zip(candidates, mean, sd, strict=True):
        if candidate.eligible and (m is None or s is None or s < 0):
            raise InvalidDecision(f"activity {candidate.activity} is eligible but its score or deviation is unusable")
    return mean, sd


def _number(value: float | None) -> float | None:
    """JSON has no NaN: what is not a finite number is None."""
    return float(value) if value is not None and math.isfinite(value) else None


def _order_scores(candidates: Sequence[Candidate], order: Collection[str]) -> list[float]:
    place = {activity: i for i, activity in enumerate(order)}
    return [1 - place.get(candidate.activity, len(place)) / max(len(place), 1) for candidate in candidates]


def _closed(candidate: Candidate, reason: str) -> Candidate:
    if reason in candidate.closed_by:
        return candidate
    return Candidate(candidate.activity, candidate.technique, candidate.version, (*candidate.closed_by, reason))
