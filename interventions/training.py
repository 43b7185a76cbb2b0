"""Learn from the decision log: export it, train the recommender on it, register what came of it."""

import hashlib
import hmac
import json
import secrets
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from django.conf import settings
from django.utils import timezone

from interventions import policies
from interventions.context import delivery_of
from interventions.models import Activity, Decision, ModelVersion
from mhealth.people.models import Participant
from mhealth.platform import audit
from recommender.catalogue import Activity as Described
from recommender.catalogue import Delivery
from recommender.log import line_of

log = structlog.get_logger(__name__)
DELIVERIES_LEAST, PEOPLE_LEAST = 100, 10  # below this a model would say more about chance than about people


class TooFewDeliveries(Exception):
    """There is not enough to learn from; the message says how much there is."""


@dataclass(frozen=True)
class Log:
    """deliveries: by pseudonym, oldest first.   activities: everything that was or may be offered."""

    deliveries: dict[str, list[Delivery]]
    activities: list[Described]

    @property
    def n_deliveries(self) -> int:
        return sum(map(len, self.deliveries.values()))

    def lines(self) -> Iterator[str]:
        """JSON lines, as `recommender.log` reads them."""
        known = {activity.id: activity for activity in self.activities}
        for person, deliveries in self.deliveries.items():
            for delivery in deliveries:
                yield line_of(person, delivery, known[delivery.activity])


def read_log(at: datetime | None = None) -> Log:
    """Every offer to people who take part, with what was heard of it."""
    at = at or timezone.now()
    offered = Decision.objects.offered().filter(participant__status=Participant.Status.ACTIVE, decided_at__lt=at)
    offered = offered.select_related("version__activity", "participant__data_key", "participant__study")
    deliveries: dict[str, list[Delivery]] = defaultdict(list)
    for decision in offered.prefetch_related("events").order_by("participant", "decided_at", "id"):
        deliveries[pseudonym(decision.participant)].append(delivery_of(decision, at))
    activities = [policies.described(activity) for activity in Activity.objects.submitted().in_clinician_order()]
    return Log(dict(sorted(deliveries.items())), activities)


def pseudonym(participant: Participant) -> str:
    """Under the study's salt: the log alone leads to nobody."""
    return hmac.new(bytes(participant.study.salt), participant.pk.bytes, hashlib.sha256).hexdigest()[:16]


def train(
    *,
    deliveries_least: int = DELIVERIES_LEAST,
    people_least: int = PEOPLE_LEAST,
    promote: bool = True,
    seed: int = 0,
    actor: object = "system",
) -> ModelVersion:
    """Train on the present log, save, register and promote. Raises TooFewDeliveries."""
    heard = read_log()
    if heard.n_deliveries < deliveries_least or len(heard.deliveries) < people_least:
        raise TooFewDeliveries(
            f"{heard.n_deliveries} offers to {len(heard.deliveries)} people; "
            f"{deliveries_least} to {people_least} are needed"
        )
    from recommender.vae import Recommender  # loads torch

    histories = list(heard.deliveries.values())
    contexts = [[delivery.context for delivery in history] for history in histories]
    model = Recommender(seed=seed).fit(histories, contexts, heard.activities)
    # random, so that two trainings in one second never write over each other's files
    name = f"vae-{timezone.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    return register(model.save(Path(settings.RECOMMENDER_MODELS) / name), promote=promote, actor=actor)


def register(folder: Path, *, promote: bool, actor: object = "system") -> ModelVersion:
    """Enter a saved model; promoted, it scores from the next decision on (but for trials with a frozen one)."""
    card = (Path(folder) / "card.json").read_bytes()
    now = timezone.now()
    version = ModelVersion.objects.create(
        name=Path(folder).name,
        folder=Path(folder).name,
        sha256=hashlib.sha256(card).hexdigest(),
        card=json.loads(card),
        trained_at=now,
        promoted_at=now if promote else None,
    )
    subject = f"interventions.ModelVersion/{version.pk}"
    audit.record(actor=actor, action="model.registered", subject=subject, sha256=version.sha256, promoted=promote)
    return version


def train_nightly() -> ModelVersion | None:
    """None while there is too little to learn from: clinicians' order goes on deciding.

    After a roll-back the new model is registered and waits: a person who took one back decides what comes next.
    """
    try:
        return train(promote=not ModelVersion.objects.held())
    except TooFewDeliveries as reason:
        log.info("no model trained", reason=str(reason))
        return None
