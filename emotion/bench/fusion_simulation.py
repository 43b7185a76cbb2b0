"""People whose better modality is known, because they are made up: is it found, and is the stated certainty true?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from emotion.calibration import calibration_error
from emotion.estimate import EMOTIONS
from emotion.reliability import Prior, Reliability

ALIKE = Prior(accuracies={"face": 0.7, "voice": 0.7})
MODALITIES = ("face", "voice")
PEOPLE = 1000
CORRECTING = 120
CHECK_INS = 600
SHARE_OF_ERRORS = 0.9  # of the corrections

CheckIn = tuple[dict[str, str], str, str]  # what each modality said, what was shown, the truth


def check_ins(accuracies: dict[str, float], count: int, rng: np.random.Generator) -> Iterator[CheckIn]:
    """What is shown as fused follows the surer modality; a right one is surer on average."""
    for truth in rng.integers(7, size=count):
        said, sure = {}, {}
        for modality, accuracy in accuracies.items():
            right = rng.random() < accuracy
            said[modality] = EMOTIONS[truth] if right else EMOTIONS[(truth + rng.integers(1, 7)) % 7]
            sure[modality] = rng.normal(0.8 * right, 1) + 2 * accuracy
        yield said, said[max(sure, key=lambda m: sure[m])], EMOTIONS[truth]


def prompted(accuracies: dict[str, float], count: int, rng: np.random.Generator) -> Reliability:
    person = Reliability(prior=ALIKE)
    for day, (said, _, truth) in enumerate(check_ins(accuracies, count, rng)):
        person = person.after_prompt(said, truth, at_days=day, probability=0.2)
    return person


def correcting(accuracies: dict[str, float], rng: np.random.Generator) -> Reliability:
    """Half of the wrong estimates are corrected, and so few right ones that 90 % of corrections are of errors."""
    made = list(check_ins(accuracies, CHECK_INS, rng))
    wrong = float(np.mean([shown != truth for _, shown, truth in made]))
    when_right = 0.5 * wrong / (1 - wrong) * (1 - SHARE_OF_ERRORS) / SHARE_OF_ERRORS
    person = Reliability(prior=ALIKE)
    for day, (said, shown, truth) in enumerate(made):
        if rng.random() < (0.5 if shown != truth else when_right):
            person = person.after_correction(said, shown, truth, at_days=day / 4)
    return person


def better_found(better: float, worse: float, labels: int, seed: int = 0) -> dict[str, float]:
    """Share of people whose better modality is named after some random labels; it takes turns."""
    rng, found = np.random.default_rng(seed), []
    for number in range(PEOPLE):
        best, other = MODALITIES if number % 2 else MODALITIES[::-1]
        person = prompted({best: better, other: worse}, labels, rng)
        found.append(person.best(MODALITIES) == best)
    return {"found": float(np.mean(found)), "people": PEOPLE}


def stated_certainty(labels: int, seed: int = 0) -> dict[str, float]:
    """Calibration error of the probability of being best, over people drawn from the population itself."""
    rng, stated, right = np.random.default_rng(seed), [], []
    for _ in range(PEOPLE):
        accuracies = {m: float(rng.beta(0.7 * ALIKE.strength, 0.3 * ALIKE.strength)) for m in MODALITIES}
        person = prompted(accuracies, labels, rng)
        best = person.best(MODALITIES)
        stated.append(person.probability_best(best, MODALITIES))
        right.append(accuracies[best] == max(accuracies.values()))
    return {
        "stated": float(np.mean(stated)),
        "true": float(np.mean(right)),
        "ece": calibration_error(np.array(stated), np.array(right)),
        "people": PEOPLE,
    }


def corrections_agree(better: float, worse: float, seed: int = 0) -> dict[str, float]:
    """Do corrections, 90 % of them of errors, name the same modality as as many random prompts?"""
    rng, same, labels = np.random.default_rng(seed), [], []
    for number in range(CORRECTING):
        best, other = MODALITIES if number % 2 else MODALITIES[::-1]
        person = correcting({best: better, other: worse}, rng)
        like = prompted({best: better, other: worse}, person.labels, rng)
        same.append(person.best(MODALITIES) == like.best(MODALITIES))
        labels.append(person.labels)
    return {"same": float(np.mean(same)), "people": CORRECTING, "corrections_each": float(np.mean(labels))}
