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


def log(people=60, deliveries=20, seed=0, n=9, effect=0.6, by_emotion=True):
    """Uniformly random deliveries; fearful people engage with breathing, sad ones with journaling.

    Without `by_emotion` what works depends on the person alone: each has one technique that does.
    """
    rng = np.random.default_rng(seed)
    activities = catalogue(n)
    histories, contexts = [], []
    for person in range(people):
        history, moments = [], []
        for i in range(deliveries):
            feeling = ("fear", "sadness")[int(rng.integers(2))]
            at = START + timedelta(days=i, hours=int(rng.integers(8)))
            context = Context(
                emotion=mood(feeling), modality_weights={"face": 0.5, "voice": 0.5}, local_time=at, day_in_programme=i
            )
            activity = activities[int(rng.integers(n))]
            liked = ("breathing", "journaling")[feeling == "sadness"] if by_emotion else TECHNIQUES[person % 3]
            good = activity.technique == liked
            completed = bool(rng.random() < (0.2 + effect if good else 0.2))
            helpfulness = float(np.clip(round(rng.normal(4.2 if good else 2.5, 0.6)), 1, 5)) if completed else None
            outcome = Outcome(completed, helpfulness, 0.2 if good and completed else None)
            history.append(Delivery(activity.id, at, outcome, context, 1 / n))
            moments.append(context)
        histories.append(history)
        contexts.append(moments)
    return histories, contexts, activities
