"""Decisions as a micro-randomised trial: at which of them a draw said "anything" or "nothing now", and what it did."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interventions.models import Decision, InputsErased
from recommender.policy import PERSONALISED
from recommender.wcls import Effect, UnusableTrial, wcls

__all__ = ["LEAST_PROBABILITY", "Draw", "Effect", "ProbabilityMissing", "UnusableTrial", "drawn", "effect"]
LEAST_PROBABILITY = 0.05  # of either outcome: rarer ones weigh so much that a few decisions decide everything


class ProbabilityMissing(ValueError):
    """The record of a decision is gone, or does not say with which probability anything was sent."""


@dataclass(frozen=True)
class Draw:
    """sent: whether anything was offered.   probability: of that, as it was used."""

    sent: bool
    probability: float


def drawn(decision: Decision) -> Draw | None:
    """The draw of a personalised decision; None where nothing was drawn.

    Nothing is drawn where gates closed every activity, where another policy decided, where the person asked or is at
    risk and something is offered for certain. Draws rarer than LEAST_PROBABILITY do not count either. Callers see to it
    that the arm may be known. Raises ProbabilityMissing.
    """
    try:
        record = decision.record
        choice = record["choice"]
        available = any(not candidate["closed_by"] for candidate in choice["candidates"])
        if record["policy"] != PERSONALISED or not available:
            return None
        probability = float(choice["send_probability"])
    except (InputsErased, KeyError, TypeError) as missing:
        raise ProbabilityMissing(str(decision.pk)) from missing
    if not LEAST_PROBABILITY <= probability <= 1 - LEAST_PROBABILITY:
        return None
    return Draw(choice["activity"] is not None, probability)


def effect(
    *, outcome: Sequence[float], draws: Sequence[Draw], person: Sequence[str], controls: Sequence[Sequence[float]] = ()
) -> Effect:
    """Effect of sending anything against nothing on a proximal outcome, averaged over people and moments.

    All of one length, a decision each; controls: columns of things known before the decision, which sharpen the
    estimate and cannot bias it; a column that does not vary is left out. Raises UnusableTrial, also where the outcome
    never varies: an effect of 0 with a standard error of 0 would look like certainty.
    """
    if len(set(outcome)) == 1:
        raise UnusableTrial("the outcome is the same at every moment")
    varying = [column for column in map(np.asarray, controls) if np.ptp(column) > 0]
    return wcls(
        outcome=np.asarray(outcome, dtype=float),
        action=np.array([draw.sent for draw in draws], dtype=float),
        probability=np.array([draw.probability for draw in draws]),
        person=np.asarray(person),
        controls=np.column_stack(varying) if varying else None,
    )
