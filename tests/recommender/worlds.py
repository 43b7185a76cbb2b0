"""Small made-up logs whose right answer a reader can see."""

from datetime import UTC, datetime, timedelta

import numpy as np

from recommender.catalogue import Activity, Delivery, Outcome
from recommender.context import Context

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
TECHNIQUES = ("breathing", "journaling", "grounding")


def catalogue(n=9):
    """Activities in turn of three techniques."""
    return [Activity(f"a{i}", TECHNIQUES[i % 3], ("body",) if i % 3 != 1 else ()) for i in range(n)]


def mood(name, strength=0.8):
    rest = (1 - strength) / 6
    others = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    return {emotion: strength if emotion == name else rest for emotion in others}


def log(people=60, deliveries=20, seed=0, n=9, effect=0.6, by="emotion"):
    """Uniformly random deliveries and what becomes of them.

    by "emotion": fearful people engage with breathing, sad ones with journaling.
    by "person": each has one technique that works.
    by "turn": everybody wants the technique that follows the one they did last.
    """
    rng = np.random.default_rng(seed)
    activities = catalogue(n)
    histories, contexts = [], []
    for person in range(people):
        history, moments, last = [], [], 0
        for i in range(deliveries):
            feeling = ("fear", "sadness")[int(rng.integers(2))]
            at = START + timedelta(days=i, hours=int(rng.integers(8)))
            context = Context(
                emotion=mood(feeling), modality_weights={"face": 0.5, "voice": 0.5}, local_time=at, day_in_programme=i
            )
            activity = activities[int(rng.integers(n))]
            liked = {"emotion": feeling == "sadness", "person": person % 3, "turn": (last + 1) % 3}[by]
            good = activity.technique == TECHNIQUES[liked]
            completed = bool(rng.random() < (0.2 + effect if good else 0.2))
            last = TECHNIQUES.index(activity.technique) if completed else last
            helpfulness = float(np.clip(round(rng.normal(4.2 if good else 2.5, 0.6)), 1, 5)) if completed else None
            outcome = Outcome(completed, helpfulness, 0.2 if good and completed else None)
            history.append(Delivery(activity.id, at, outcome, context, 1 / n))
            moments.append(context)
        histories.append(history)
        contexts.append(moments)
    return histories, contexts, activities
