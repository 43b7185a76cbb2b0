import json
from itertools import permutations

import numpy as np
import pytest

from emotion.estimate import EMOTIONS
from emotion.reliability import Prior, Reliability, fit_prior

ALIKE = Prior(accuracies={"face": 0.7, "voice": 0.7})


def simulated_check_ins(accuracies, count, rng):
    """(what each modality said, what was shown as fused, the truth); fused follows the surer modality."""
    for truth in rng.integers(7, size=count):
        said, sure = {}, {}
        for modality, accuracy in accuracies.items():
            right = rng.random() < accuracy
            said[modality] = EMOTIONS[truth] if right else EMOTIONS[(truth + rng.integers(1, 7)) % 7]
            sure[modality] = rng.normal(0.8 * right, 1) + 2 * accuracy
        yield said, said[max(sure, key=sure.get)], EMOTIONS[truth]


def after_prompts(accuracies, count, rng):
    person = Reliability(prior=ALIKE)
    for day, (said, _, truth) in enumerate(simulated_check_ins(accuracies, count, rng)):
        person = person.after_prompt(said, truth, at_days=day, probability=0.2)
    return person


def after_corrections(accuracies, count, rng):
    """A person who corrects half of the wrong estimates and so few right ones that 90 % are of wrong ones."""
    check_ins = list(simulated_check_ins(accuracies, count, rng))
    wrong = np.mean([fused != truth for _, fused, truth in check_ins])
    when_right = 0.5 * wrong / (1 - wrong) / 9
    person = Reliability(prior=ALIKE)
    for day, (said, fused, truth) in enumerate(check_ins):
        if rng.random() < (0.5 if fused != truth else when_right):
            person = person.after_correction(said, fused, truth, at_days=day / 4)
    return person


def people(better, worse, count):
    """The better modality takes turns, so that a tie broken by name wins nothing."""
    for number in range(count):
        yield ("face", better, worse) if number % 2 else ("voice", worse, better)


@pytest.mark.parametrize(
    ("better", "worse", "labels", "least"), [(0.8, 0.6, 20, 0.90), (0.8, 0.7, 20, 0.75), (0.8, 0.7, 60, 0.85)]
)
def test_random_prompts_find_the_better_modality(better, worse, labels, least):
    rng = np.random.default_rng(0)
    found = [
        after_prompts({"face": face, "voice": voice}, labels, rng).best(("face", "voice")) == best
        for best, face, voice in people(better, worse, 1000)
    ]
    assert np.mean(found) >= least


def test_corrections_mostly_of_errors_find_the_same_modality_as_random_prompts():
    rng = np.random.default_rng(3)
    pairs = []
    for _, face, voice in people(0.8, 0.6, 120):
        corrected = after_corrections({"face": face, "voice": voice}, 600, rng)
        prompted = after_prompts({"face": face, "voice": voice}, corrected.labels, rng)
        pairs.append(corrected.best(("face", "voice")) == prompted.best(("face", "voice")))
    assert np.mean(pairs) >= 0.85


def test_a_correction_of_the_stronger_modality_is_no_evidence_against_it():
    """Shown what the face said, and wrong: the selection alone explains it. As a random prompt it would count."""
    start = Reliability(prior=ALIKE)
    said = {"face": "anger", "voice": "sadness"}

    corrected = start.after_correction(said, "anger", "sadness", at_days=0)
    prompted = start.after_prompt(said, "sadness", at_days=0)

    assert corrected.accuracy("face") == pytest.approx(start.accuracy("face"), abs=0.005)
    assert corrected.accuracy("voice") > start.accuracy("voice") + 0.005
    assert prompted.accuracy("face") < start.accuracy("face") - 0.04


def test_with_corrections_of_right_and_wrong_alike_both_ways_of_learning_agree():
    """Where ρ = 1 nothing is selected: given that the two disagree, one being right speaks against the other."""
    fair = Reliability(prior=Prior(accuracies={"face": 0.7, "voice": 0.7}, corrected_when_right=1.0))
    corrected = fair.after_correction({"face": "anger", "voice": "sadness"}, "anger", "sadness", at_days=0)

    assert corrected.accuracy("voice") > 0.7
    assert corrected.accuracy("face") < 0.7


def test_a_prompt_is_counted_exactly():
    person = Reliability(prior=Prior(accuracies={"face": 0.5}, strength=8))
    for label in ("fear", "fear", "anger"):
        person = person.after_prompt({"face": "fear"}, label, at_days=1)

    assert person.posterior("face") == (4 + 2, 4 + 1)


def test_evidence_halves_in_a_half_life_and_the_population_stays():
    person = Reliability(prior=ALIKE, half_life_days=10)
    for _ in range(8):
        person = person.after_prompt({"face": "fear"}, "fear", at_days=0)
    later = person.after_prompt({"voice": "fear"}, "fear", at_days=10)

    assert person.posterior("face") == pytest.approx((0.7 * 12 + 8, 0.3 * 12))
    assert later.posterior("face") == pytest.approx((0.7 * 12 + 4, 0.3 * 12))


def test_nobody_known_is_the_population():
    assert Reliability(prior=ALIKE).accuracy("face") == pytest.approx(0.7)
    assert Reliability.from_json({}).labels == 0


def test_storing_loses_nothing():
    person = after_corrections({"face": 0.6, "voice": 0.8}, 100, np.random.default_rng(1))
    assert person.labels

    again = Reliability.from_json(json.loads(json.dumps(person.to_json())), ALIKE)

    assert again == person


def test_the_stated_probability_of_being_best_is_true():
    """Over people drawn from the population itself: among those with about 80 %, about 80 % are right."""
    rng = np.random.default_rng(5)
    stated, right = [], []
    for _ in range(600):
        accuracies = {m: rng.beta(0.7 * 12, 0.3 * 12) for m in ("face", "voice")}
        person = after_prompts(accuracies, 20, rng)
        best = person.best(accuracies)
        stated.append(person.probability_best(best, accuracies))
        right.append(accuracies[best] == max(accuracies.values()))
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        some = (np.array(stated) >= low) & (np.array(stated) < high)
        assert np.mean(np.array(right)[some]) == pytest.approx(np.mean(np.array(stated)[some]), abs=0.08)


def test_probabilities_of_being_best_sum_to_one():
    three = Reliability(prior=Prior()).after_prompt({"face": "fear", "voice": "anger"}, "fear", at_days=0)
    names = ("face", "voice", "text")

    assert sum(three.probability_best(m, names) for m in names) == pytest.approx(1, abs=0.01)
    assert Reliability().probability_best("face", ["face"]) == pytest.approx(1)


def test_the_order_of_modalities_does_not_matter():
    said = {"face": "anger", "voice": "fear", "text": "fear"}
    posteriors = [
        Reliability().after_correction(dict(order), "fear", "anger", at_days=0).to_json()
        for order in permutations(said.items())
    ]
    assert all(one == posteriors[0] for one in posteriors)


def test_a_prompt_that_was_not_random_is_refused():
    assert Reliability().after_prompt({"face": "fear"}, "fear", at_days=0, probability=0.1).labels == 1
    with pytest.raises(ValueError, match="probability"):
        Reliability().after_prompt({"face": "fear"}, "fear", at_days=0, probability=0)


def test_people_who_differ_only_by_chance_get_the_population():
    rng = np.random.default_rng(0)
    asked = np.full(400, 30)
    alike = rng.binomial(30, 0.6, 400)
    different = rng.binomial(30, rng.beta(3, 2, 400))

    assert fit_prior(alike, asked) == (pytest.approx(0.6, abs=0.02), pytest.approx(1000, abs=900))
    assert fit_prior(alike, asked)[1] > 100
    assert fit_prior(different, asked)[1] == pytest.approx(5, abs=1.5)


def leaning(emotion, share=0.9):
    p = np.full(7, (1 - share) / 6)
    p[EMOTIONS.index(emotion)] = share
    return p


def test_a_sad_face_that_always_looks_afraid_is_read_as_sad_after_some_prompts():
    person = Reliability(prior=ALIKE)
    for day in range(5):
        person = person.after_prompt(
            {"face": "fear"}, "sadness", at_days=day / 10, distributions={"face": leaning("fear")}
        )

    meant = person.translated("face", leaning("fear"))

    assert EMOTIONS[meant.argmax()] == "fear"  # it may be: nothing was said of this person's fear
    assert meant[EMOTIONS.index("sadness")] > 5 * leaning("fear")[EMOTIONS.index("sadness")]
    assert person.translated("voice", leaning("fear")) == pytest.approx(leaning("fear"))


def test_the_translation_follows_the_stated_formula():
    prior = Prior(accuracies={"face": 0.6}, classes=("calm", "tense"), confusion_strength=2.0)
    person = Reliability(prior=prior).after_prompt(
        {"face": "calm"}, "tense", at_days=0, distributions={"face": np.array([0.7, 0.3])}
    )

    # Row "tense": C = (.4, .6), n = (.7, .3): (2 · .4 + .7) / 3 = .5 and .5, so R = (1.25, .8333); row "calm": 1.
    calm, tense = 0.8 * 1, 0.2 * (0.8 * 1.25 + 0.2 * 0.5 / 0.6)
    expected = np.array([calm, tense]) / (calm + tense)
    assert person.translated("face", np.array([0.8, 0.2])) == pytest.approx(expected)


def test_how_often_a_class_was_asked_about_does_not_make_it_likelier():
    """A person whose sad face reads just as the population's does is read alike after any number of prompts."""
    usual = Prior(accuracies={"face": 0.7})
    person = Reliability(prior=usual)
    for _ in range(30):
        person = person.after_prompt(
            {"face": "sadness"},
            "sadness",
            at_days=0,
            distributions={"face": usual.confusion("face")[EMOTIONS.index("sadness")]},
        )
    assert person.translated("face", leaning("fear", 0.5)) == pytest.approx(leaning("fear", 0.5))


def test_confusions_are_stored_and_fade_with_time():
    person = Reliability(prior=ALIKE, half_life_days=10).after_prompt(
        {"face": "fear"}, "sadness", at_days=0, distributions={"face": leaning("fear")}
    )
    again = Reliability.from_json(json.loads(json.dumps(person.to_json())), ALIKE)
    assert again.readings == person.readings

    later = person.after_prompt({"voice": "fear"}, "fear", at_days=10)
    assert np.array(later.readings["face"]) == pytest.approx(np.array(person.readings["face"]) / 2)
