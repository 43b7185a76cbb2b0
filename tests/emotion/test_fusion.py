from itertools import permutations

import numpy as np
import pytest

from emotion.calibration import drawn_together, fit_temperatures, sharpen
from emotion.estimate import EMOTIONS, Estimate
from emotion.fusion import STRATEGIES, Population, fit_population, fuse, jensen_shannon, log_odds
from emotion.reliability import Prior, Reliability


def estimate(emotion, probability, quality=1.0, abstained=False):
    p = np.full(7, (1 - probability) / 6)
    p[EMOTIONS.index(emotion)] = probability
    return Estimate(p, quality, f"test-{emotion}", abstained)


FACE, VOICE, TEXT = estimate("anger", 0.6), estimate("sadness", 0.5, 0.8), estimate("anger", 0.4, 0.9)
THREE = {"face": FACE, "voice": VOICE, "text": TEXT}
PEOPLE = np.repeat(np.arange(30), 100)


def knowing(labels):
    person = Reliability()
    for day, truth in enumerate(labels):
        person = person.after_prompt({"face": "anger", "voice": "sadness"}, truth, at_days=day)
    return person


def test_without_labels_the_pool_is_the_product_of_distributions_raised_to_their_quality():
    fused = fuse({"face": FACE, "voice": VOICE})

    expected = FACE.probabilities * VOICE.probabilities**0.8  # the uniform prior cancels
    assert fused.probabilities == pytest.approx(expected / expected.sum())
    assert fused.weights == pytest.approx({"face": 1 / 1.8, "voice": 0.8 / 1.8})


def test_a_person_without_a_label_has_exactly_the_weights_of_the_population():
    assert fuse(THREE, Reliability()).weights == fuse(THREE).weights
    assert (fuse(THREE, Reliability()).probabilities == fuse(THREE).probabilities).all()


def test_a_person_whose_voice_was_right_gets_a_heavier_voice():
    at_first = fuse({"face": FACE, "voice": VOICE})
    later = fuse({"face": FACE, "voice": VOICE}, knowing(["sadness"] * 20))

    assert at_first.emotion == "anger"
    assert later.emotion == "sadness"
    assert later.weights["voice"] > at_first.weights["voice"] + 0.2
    assert later.best_modality == "voice"
    assert later.probability_best > 0.95


def test_the_exponents_follow_the_stated_formula():
    person = knowing(["sadness"] * 3 + ["anger"])
    prior = person.prior
    face = log_odds(person.accuracy("face"), 7) / log_odds(prior.accuracies["face"], 7)
    voice = 0.8 * log_odds(person.accuracy("voice"), 7) / log_odds(prior.accuracies["voice"], 7)

    fused = fuse({"face": FACE, "voice": VOICE}, person)

    expected = FACE.probabilities**face * VOICE.probabilities**voice
    assert fused.probabilities == pytest.approx(expected / expected.sum())
    assert fused.weights["face"] == pytest.approx(face / (face + voice))


def test_a_prior_enters_once_however_many_modalities_there_are():
    """Flat modalities have nothing to add: what is left is the prior."""
    prior = (0.1, 0.1, 0.1, 0.2, 0.3, 0.1, 0.1)
    same = Estimate(np.array(prior), 1.0, "test")

    fused = fuse({"face": same, "voice": same}, population=Population(prior=prior))

    # p ∝ prior^(1-2) · prior · prior
    assert fused.probabilities == pytest.approx(prior)


def test_a_modality_at_chance_is_not_heard():
    hopeless = Reliability(prior=Prior(strength=1.0))
    for day in range(300):
        hopeless = hopeless.after_prompt({"voice": "fear"}, "anger", at_days=day / 100)

    fused = fuse({"face": FACE, "voice": VOICE}, hopeless)

    assert fused.weights == {"face": 1.0, "voice": 0.0}
    assert fused.probabilities == pytest.approx(FACE.probabilities)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_contributions_sum_to_what_the_modalities_changed(strategy):
    fused = fuse(THREE, knowing(["sadness", "anger"]) if strategy == "best_modality" else None, strategy=strategy)

    p = fused.confidence
    from_prior = np.log(p / (1 - p)) - np.log((1 / 7) / (6 / 7))
    assert sum(fused.contributions.values()) == pytest.approx(from_prior)
    assert sum(fused.weights.values()) == pytest.approx(1)


def test_contributions_of_two_modalities_are_the_mean_of_both_orders():
    alone_face, alone_voice = fuse({"face": FACE}), fuse({"voice": VOICE})
    both = fuse({"face": FACE, "voice": VOICE})

    def log_odds_of_anger(fused):
        p = fused.probabilities[0]
        return np.log(p / (1 - p))

    nothing, everything = np.log(1 / 6), log_odds_of_anger(both)
    first, second = log_odds_of_anger(alone_face) - nothing, everything - log_odds_of_anger(alone_voice)
    assert both.contributions["face"] == pytest.approx((first + second) / 2)


def test_the_order_of_modalities_does_not_matter():
    person = knowing(["sadness", "anger", "anger"])
    results = [fuse(dict(order), person) for order in permutations(THREE.items())]

    assert all((r.probabilities == results[0].probabilities).all() for r in results)
    assert all(r.weights == results[0].weights and r.best_modality == results[0].best_modality for r in results)


def test_the_baselines_are_what_their_names_say():
    two = {"face": FACE, "voice": VOICE}
    mean = (FACE.probabilities + VOICE.probabilities) / 2
    product = FACE.probabilities * VOICE.probabilities

    assert fuse(two, strategy="mean").probabilities == pytest.approx(mean)
    assert fuse(two, strategy="product").probabilities == pytest.approx(product / product.sum())


def test_one_modality_speaks_as_loudly_as_its_quality_allows():
    good, poor = fuse({"voice": estimate("fear", 0.7)}), fuse({"voice": estimate("fear", 0.7, quality=0.3)})

    assert good.probabilities == pytest.approx(estimate("fear", 0.7).probabilities)
    assert poor.emotion == "fear"
    assert poor.confidence < good.confidence
    assert (good.weights, good.best_modality, good.probability_best) == ({"voice": 1.0}, "voice", pytest.approx(1))
    assert good.disparity is None


def test_of_nothing_only_the_prior_is_left_and_no_label_is_shown():
    fused = fuse({})

    assert fused.probabilities == pytest.approx(np.full(7, 1 / 7))
    assert fused.abstained
    assert (fused.weights, fused.contributions, fused.best_modality, fused.probability_best) == ({}, {}, None, None)


def test_qualities_of_zero_leave_the_prior():
    fused = fuse({"face": estimate("fear", 0.9, 0.0), "voice": estimate("anger", 0.9, 0.0)})

    assert fused.probabilities == pytest.approx(np.full(7, 1 / 7))
    assert fused.weights == {"face": 0.5, "voice": 0.5}


def test_an_unsure_result_is_held_back_and_a_sure_one_is_not():
    assert fuse({"face": estimate("fear", 0.35)}).abstained
    assert not fuse({"face": estimate("fear", 0.45)}).abstained


def test_nothing_is_shown_where_every_modality_abstained():
    unsure = estimate("fear", 0.6, abstained=True)
    assert fuse({"face": unsure}).abstained
    assert not fuse({"face": unsure, "voice": estimate("fear", 0.6)}).abstained


def test_disparity_is_zero_for_agreement_and_one_bit_for_opposites():
    certain = [np.eye(7)[0], np.eye(7)[1]]

    assert jensen_shannon(certain[0], certain[1]) == pytest.approx(1)
    assert jensen_shannon(certain[0], certain[0]) == 0
    assert fuse({"face": FACE, "voice": FACE}).disparity == 0
    assert 0.1 < fuse({"face": FACE, "voice": VOICE}).disparity < 0.5


def test_population_parameters_make_overconfident_modalities_calibrated():
    rng = np.random.default_rng(0)
    truth = rng.integers(7, size=3000)
    evidence = {m: rng.normal(0, 1, (3000, 7)) + 1.5 * np.eye(7)[truth] for m in ("face", "voice")}
    honest = {m: np.exp(1.5 * x) / np.exp(1.5 * x).sum(1, keepdims=True) for m, x in evidence.items()}
    boastful = {m: sharpen(p, 2.5) for m, p in honest.items()}

    population = fit_population(boastful, truth, PEOPLE)

    assert population.temperatures == pytest.approx({"face": 2.5, "voice": 2.5}, rel=0.08)
    assert population.fused_temperature == pytest.approx(1, abs=0.08)  # these modalities are independent
    accuracy = np.mean(honest["face"].argmax(1) == truth)
    assert population.reliability.accuracies["face"] == pytest.approx(accuracy)
    assert np.diag(population.reliability.confusion("face")).mean() == pytest.approx(
        np.mean(honest["face"][np.arange(3000), truth]), abs=0.02
    )
    assert population.reliability.confusion_strength >= 64  # these people are all alike


def test_the_same_evidence_twice_is_taken_back_by_the_fused_temperature():
    rng = np.random.default_rng(0)
    truth = rng.integers(7, size=3000)
    logits = 1.5 * (rng.normal(0, 1, (3000, 7)) + 1.5 * np.eye(7)[truth])
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    population = fit_population({"face": honest, "voice": honest}, truth, PEOPLE)

    assert population.fused_temperature == pytest.approx(2, abs=0.15)


def test_people_who_are_misread_each_in_their_own_way_are_found_to_differ():
    """Everybody's face says the next emotion for one of the seven; which one differs from person to person."""
    rng = np.random.default_rng(0)
    truth = rng.integers(7, size=3000)
    said = np.where(truth == PEOPLE % 7, (truth + 1) % 7, truth)
    face = 0.7 * np.eye(7)[said] + 0.3 / 7

    population = fit_population({"face": face}, truth, PEOPLE)

    assert population.reliability.confusion_strength <= 2


def test_temperatures_that_differ_are_kept_apart():
    rng = np.random.default_rng(0)
    truth = rng.integers(7, size=3000)
    logits = 1.5 * (rng.normal(0, 1, (2, 3000, 7)) + 1.5 * np.eye(7)[truth])
    honest = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)

    temperatures = fit_temperatures({"face": honest[0], "voice": sharpen(honest[1], 3)}, truth, PEOPLE)

    assert temperatures == pytest.approx({"face": 1, "voice": 3}, rel=0.06)


def test_values_that_their_errors_explain_become_one_and_others_stay():
    assert drawn_together(np.array([0.0, 0.1]), np.array([0.01, 0.01])) == pytest.approx([0.05, 0.05])
    assert drawn_together(np.array([0.0, 1.0]), np.array([1e-4, 1e-4])) == pytest.approx([0, 1], abs=1e-3)
    assert drawn_together(np.array([0.3]), np.array([0.1])) == pytest.approx([0.3])


def test_a_fused_estimate_is_an_estimate():
    assert isinstance(fuse(THREE), Estimate)
    assert fuse(THREE).emotion == "anger"


def test_systematic_confusions_of_everybody_are_mapped_where_that_foretells_others_and_only_there():
    """A face that says fear for surprise, with everybody; and one that is honest."""
    rng = np.random.default_rng(0)
    truth = rng.integers(7, size=3000)
    said = np.where(truth == 6, 2, truth)
    biased = 0.5 * np.eye(7)[said] + 0.5 * rng.dirichlet(np.ones(7), 3000)

    assert set(fit_population({"face": biased}, truth, PEOPLE).maps) == {"face"}
    logits = rng.normal(0, 1, (3000, 7)) + 1.5 * np.eye(7)[truth]
    honest = np.exp(1.5 * logits) / np.exp(1.5 * logits).sum(1, keepdims=True)
    assert not fit_population({"face": honest}, truth, PEOPLE).maps


def test_modalities_that_repeat_each_other_are_mapped_together_and_count_once():
    """An echo of the face beside it: hearing the same twice adds nothing."""
    rng = np.random.default_rng(0)
    truth = rng.integers(7, size=1500)
    said = np.where(rng.random(1500) < 0.35, rng.integers(7, size=1500), np.where(truth == 6, 2, truth))
    face = 0.6 * np.eye(7)[said] + 0.4 * rng.dirichlet(np.ones(7), 1500)
    own = np.where(rng.random(1500) < 0.4, rng.integers(7, size=1500), truth)
    voice = 0.5 * np.eye(7)[own] + 0.5 * rng.dirichlet(np.ones(7), 1500)

    population = fit_population({"echo": face, "face": face, "voice": voice}, truth, PEOPLE[:1500])
    without = fit_population({"face": face, "voice": voice}, truth, PEOPLE[:1500])
    fear = {"face": Estimate(face[0] * 0 + np.eye(7)[2] * 0.6 + 0.4 / 7, 1.0, "t"), "voice": estimate("anger", 0.6)}
    echoed = fuse({**fear, "echo": fear["face"]}, population=population)

    assert echoed.probabilities == pytest.approx(fuse(fear, population=without).probabilities, abs=0.1)


def test_maps_that_few_people_suggest_are_not_believed():
    """Four people with fifteen clips each: the larger half of their misreadings is chance."""
    rng = np.random.default_rng(1)
    truth = rng.integers(7, size=60)
    logits = rng.normal(0, 1, (60, 7)) + 1.5 * np.eye(7)[truth]
    face = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert not fit_population({"face": face}, truth, np.repeat(np.arange(4), 15)).maps
