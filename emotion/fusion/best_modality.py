"""The default: a log-linear pool whose exponents and confusions a person's own reliability sets.

Shapes:  K classes   n clips   a distribution is (K,)

Each modality's distribution p_m is first sharpened or softened by a population temperature, then read as this
person means it (emotion.reliability, equation 5). With quality q_m, the person's accuracy a_m and the
population's ā_m,

    g(a) = max(0, ln(a (K − 1) / (1 − a)))                                                          (1)
    e_m  = q_m · g(a_m) / g(ā_m)                                                                    (2)
    p    ∝ prior^(1 − Σ e) · Π p_m^{e_m}                                                            (3)

and one temperature for the fused distribution. g is the log-odds by which a label of accuracy a favours
its class when errors are spread evenly: in (2) a modality that is as good as usual speaks with its own
voice, one at chance is not heard, and a poor photo or recording is heard less. (3) treats the modalities as
independent given the emotion; the fused temperature takes back what that overstates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from emotion.estimate import EMOTIONS
from emotion.fusion.population import Population, fit_population, log_odds
from emotion.fusion.strategy import Posteriors, Reading, Strategy, logs, normalised, shares
from emotion.reliability import Prior, Reliability


class BestModality(Strategy):
    """A person is a `Reliability`; the weight that is reported is e_m / Σ e."""

    name = "best_modality"
    personal = True

    def __init__(self, classes: Sequence[str] = EMOTIONS, population: Population | None = None) -> None:
        super().__init__(classes)
        self.population_ = population or Population(Prior(classes=self.classes))

    def fit(self, posteriors: Posteriors, truth: np.ndarray, people: np.ndarray) -> BestModality:
        self.population_ = fit_population(posteriors, truth, people, self.classes, self.population_.threshold)
        return self

    def start(self) -> Reliability:
        return Reliability(prior=self.population_.reliability)

    def learn(self, person: Reliability | None, readings: Mapping[str, Reading], truth: int) -> Reliability:
        """As after a random prompt."""
        calibrated = {m: self.population_.calibrated(m, r.distribution) for m, r in readings.items()}
        said = {m: self.classes[int(p.argmax())] for m, p in calibrated.items()}
        person = person or self.start()
        return person.after_prompt(said, self.classes[truth], at_days=person.at_days, distributions=calibrated)

    def pool(self, readings: Mapping[str, Reading], person: Reliability | None = None) -> np.ndarray:
        """Equation (3) and the fused temperature."""
        if not readings:
            return self.prior()
        exponents = self.exponents(readings, person)
        scores = (1 - sum(exponents.values())) * np.log(self.prior())
        for m, reading in readings.items():
            calibrated = self.population_.calibrated(m, reading.distribution)
            meant = person.translated(m, calibrated) if person else calibrated
            scores = scores + exponents[m] * logs(meant)
        return normalised(scores / self.population_.fused_temperature)

    def weights(self, readings: Mapping[str, Reading], person: Reliability | None = None) -> dict[str, float]:
        return shares(self.exponents(readings, person))

    def exponents(self, readings: Mapping[str, Reading], person: Reliability | None) -> dict[str, float]:
        """Equations (1) and (2)."""
        person, size = person or self.start(), len(self.classes)
        usual = {m: log_odds(self.population_.reliability.accuracies[m], size) for m in readings}
        own = {m: log_odds(person.accuracy(m), size) for m in readings}
        return {m: r.quality * (own[m] / usual[m] if usual[m] else 0.0) for m, r in readings.items()}

    def prior(self) -> np.ndarray:
        return self.population_.prior_of(len(self.classes))
