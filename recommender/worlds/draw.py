"""Draw the worlds once: `python -m recommender.worlds.draw` writes them and their hashes. Doing it again changes them
and makes every benchmark on them void, so it refuses while the hashes are there."""

from __future__ import annotations

import json
import sys

import numpy as np

from recommender.context import EMOTIONS
from recommender.simulator import FOLDER, NAMES, digest

TECHNIQUES = ("breathing", "behavioural_activation", "thought_record", "grounding", "problem_solving", "journaling")
EACH = 4  # activities of a technique
COMMON = {
    "completion": 0.36, "person_sd": 0.6, "emotion_sd": 0.35, "person_level_sd": 0.6, "activity_sd": 0.1,
    "attribute_share": 0.45, "day_sd": 0.4, "day_autocorrelation": 0.4,
    "helpful_mean": 3.6, "helpful_if_done": 1.0, "helpful_slope": 0.35, "helpful_sd": 0.9,
    "mood_change_mean": 0.06, "mood_change_slope": 0.03, "mood_change_sd": 0.15,
    "answers_if_done": 0.75, "answers_if_not": 0.15, "availability": 0.8,
    "prompt_effect": 0.2, "prompt_fades_days": 25, "attrition_scale_days": 130.0, "attrition_shape": 1.0,
    "emotion_persistence": 0.4, "sensor_accuracy": 0.85, "shown_strength": 0.7, "check_in_rate": 0.8,
    "mood_person_sd": 0.8, "mood_day_share": 0.4,
    "dass_mean_depression": 14.0, "dass_mean_anxiety": 10.0, "dass_mean_stress": 18.0,
    "dass_sd_depression": 9.0, "dass_sd_anxiety": 7.5, "dass_sd_stress": 9.0,
    "dass_alpha_depression": 0.88, "dass_alpha_anxiety": 0.82, "dass_alpha_stress": 0.90,
    "effect_depression": 0.28, "effect_anxiety": 0.26, "dass_change_sd": 0.65,
}  # fmt: skip
NONE = {"person_sd": 0.0, "emotion_sd": 0.0}
SMALL = {"person_sd": 0.3, "emotion_sd": 0.18}
WILD = {"attrition_scale_days": 0.93, "attrition_shape": 0.35}
DIFFERENT: dict[str, dict[str, float]] = {
    "null": {**NONE, "prompt_effect": 0.0},
    "prompted": {},
    "linear-small": SMALL,
    "linear-wild": WILD,
    "nonlinear": {},
    "drifting": {},
    "sensor": {"sensor_accuracy": 0.60},
    "heartsteps": {},
}


def drawn(name: str) -> dict:
    """One world as it is written."""
    parameters = COMMON | DIFFERENT[name]
    rng = np.random.default_rng([20261121, NAMES.index(name)])
    attributes = np.zeros((EACH * len(TECHNIQUES), 2 + len(TECHNIQUES)))
    for i in range(len(attributes)):
        attributes[i, 2 + i // EACH] = 1.0
        attributes[i, :2] = [(i % EACH + 1) / 5, float(i // EACH in (0, 3))]
    gamma = rng.standard_normal((attributes.shape[1], len(EMOTIONS)))
    gamma[0] = 0.0  # effort: the same for every emotion
    centred = attributes - attributes.mean(axis=0)
    effect = centred @ gamma  # (N, 7)
    gamma *= parameters["emotion_sd"] / effect.std()
    best = effect.reshape(len(TECHNIQUES), EACH, -1).mean(axis=1).argmax(axis=0)
    wrong = rng.permutation(len(EMOTIONS))[:3]
    best[wrong] = rng.integers(0, len(TECHNIQUES), 3)
    first = 910_000 + 1000 * NAMES.index(name)
    return {
        "name": name,
        "misspecification": name if name in ("nonlinear", "drifting", "sensor", "heartsteps") else "none",
        "parameters": parameters,
        "techniques": list(TECHNIQUES),
        "attributes": attributes.tolist(),
        "activity_effects": (parameters["activity_sd"] * rng.standard_normal(len(attributes))).round(4).tolist(),
        "gamma": gamma.round(4).tolist(),
        "rules": [TECHNIQUES[k] for k in best],
        "test_seeds": list(range(first, first + 10)),
    }


def main() -> int:
    if (FOLDER / "hashes.json").exists():
        print("the worlds are drawn; remove hashes.json only to restart every benchmark on them", file=sys.stderr)  # noqa: T201
        return 2
    for name in NAMES:
        (FOLDER / f"{name}.json").write_text(json.dumps(drawn(name), indent=1) + "\n")
    files = sorted(path for path in FOLDER.glob("*.json"))
    (FOLDER / "hashes.json").write_text(json.dumps({path.name: digest(path) for path in files}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
