"""The whole model as a policy for simulated people: deep part trained every week, reward head every evening."""

from __future__ import annotations

from datetime import UTC

import numpy as np

from recommender import simulator
from recommender.bandits import Offers, thompson
from recommender.bench.faithfulness import context_of
from recommender.catalogue import Delivery
from recommender.context import Context
from recommender.network import VaeConfig
from recommender.policy import PolicyConfig
from recommender.vae import Recommender

EVERY = 7  # days between two trainings of the deep part; the first is on the second evening


class Served:
    """A policy of `trials.play`. Of a cohort it reads what a service would know: contexts, and outcomes of its offers.

    trainings: reports of the deep part's trainings, in order.
    """

    def __init__(self, cohort: simulator.Cohort, seed: int, config: VaeConfig | None = None) -> None:
        self.cohort, self.seed, self.config = cohort, seed, config or VaeConfig()
        self.activities, self.spread = cohort.world.activities, PolicyConfig().spread
        self.rng = np.random.default_rng([seed, 3])
        self.histories: list[list[Delivery]] = [[] for _ in range(cohort.people)]
        self.contexts: list[list[Context]] = [[] for _ in range(cohort.people)]
        self.model: Recommender | None = None
        self.trainings: list[dict] = []

    def law(self, day: int, contexts: np.ndarray, who: np.ndarray) -> np.ndarray:
        if any(self.histories):
            self._train(day)
        if self.model is None:
            return np.full((len(who), len(self.activities)), 1 / len(self.activities))
        asked = [(self.histories[p], self._context(day, int(p))) for p in who]
        mean, sd = np.swapaxes([self.model.score(history, context) for history, context in asked], 0, 1)
        return thompson(mean, self.spread * sd, self.rng)

    def learn(self, offers: Offers) -> None:
        """Keep a day's offers as deliveries with the contexts that they were made in."""
        everyone = np.zeros(self.cohort.people, dtype=int)
        everyone[offers.who] = offers.chosen
        outcomes = np.stack(self.cohort.outcome(offers.day, everyone), axis=1)
        at = simulator.moment(offers.day).replace(tzinfo=UTC)
        for p, chosen, law in zip(offers.who.tolist(), offers.chosen, offers.laws, strict=True):
            context, outcome = self._context(offers.day, p), simulator.outcome_of(*outcomes[p])
            self.histories[p].append(Delivery(self.activities[chosen].id, at, outcome, context, float(law[chosen])))
            self.contexts[p].append(context)

    def _train(self, day: int) -> None:
        if self.model is None or day % EVERY == 0:
            self.model = Recommender(self.config, self.seed).fit(self.histories, self.contexts, self.activities)
            self.trainings.append(self.model.report_)
        else:
            self.model.refit_rewards(self.histories, self.contexts)

    def _context(self, day: int, person: int) -> Context:
        since = simulator.moment(max(0, day - 7)).replace(tzinfo=UTC)
        dose = sum(delivery.at >= since for delivery in self.histories[person])
        return context_of(self.cohort, person, day, float(dose))
