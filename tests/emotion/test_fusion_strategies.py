"""Each strategy against numbers worked out by hand, on two or three classes."""

import numpy as np
import pytest

from emotion.fusion import STRATEGIES, Reading, contributions
from emotion.fusion.q_learning import QLearning

AB = ("calm", "tense")
FACE, VOICE = np.array([0.9, 0.1]), np.array([0.4, 0.6])
BOTH = {"face": Reading(FACE), "voice": Reading(VOICE)}
# Four people with one clip each: the face is right of three, the voice of two; one voice is missing.
TRUTH, PEOPLE = np.array([0, 0, 1, 1]), np.array(["a", "b", "c", "d"])
POSTERIORS = {
    "face": np.array([[0.8, 0.2], [0.7, 0.3], [0.4, 0.6], [0.6, 0.4]]),
    "voice": np.array([[0.6, 0.4], [0.2, 0.8], [0.1, 0.9], [np.nan, np.nan]]),
}


def fitted(name):
    return STRATEGIES[name](AB).fit(POSTERIORS, TRUTH, PEOPLE)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_gives_distributions_weights_and_contributions_for_whatever_is_there(name):
    strategy = fitted(name)
    for readings in (BOTH, {"voice": Reading(VOICE)}):
        fused = strategy.pool(readings, strategy.start())
        assert (fused >= 0).all()
        assert fused.sum() == pytest.approx(1)
        assert sum(strategy.weights(readings, strategy.start()).values()) == pytest.approx(1)
        winner = int(fused.argmax())
        total = np.log(fused[winner] / (1 - fused[winner]))  # the prior of two classes has log-odds 0
        assert sum(contributions(strategy, readings, strategy.start()).values()) == pytest.approx(total)
    assert strategy.pool({}) == pytest.approx([0.5, 0.5])


def test_mean_product_and_best_single():
    assert fitted("mean").pool(BOTH) == pytest.approx([0.65, 0.35])
    assert fitted("product").pool(BOTH) == pytest.approx([0.36 / 0.42, 0.06 / 0.42])
    assert fitted("best_single").pool(BOTH) == pytest.approx(FACE)  # right of 3 in 4, the voice of 2 in 3
    assert fitted("best_single").weights(BOTH) == {"face": 1.0, "voice": 0.0}
    assert fitted("best_single").pool({"voice": Reading(VOICE)}) == pytest.approx(VOICE)


def test_detection_ratio_as_printed():
    """Face: TP 2 of calm and 1 of tense in 4 clips, so W = (1/2, 3/4). Voice: 1 and 1 in 3, W = (2/3, 2/3)."""
    calm = 0.5 * 0.9 + 2 / 3 * 0.4
    tense = 0.75 * 0.1 + 2 / 3 * 0.6
    assert fitted("detection_ratio").pool(BOTH) == pytest.approx(np.array([calm, tense]) / (calm + tense))


def test_detection_ratio_lowers_the_voice_of_the_modality_that_detects_more():
    """What the printed formula does: a face that is always right is heard less than one that never is."""
    truth = np.array([0, 1] * 10)
    right, wrong = np.eye(2)[truth] * 0.8 + 0.1, np.eye(2)[1 - truth] * 0.8 + 0.1
    strategy = STRATEGIES["detection_ratio"](AB).fit({"face": right, "voice": wrong}, truth, np.arange(20))
    assert strategy.weights({"face": Reading(FACE), "voice": Reading(FACE)})["face"] == pytest.approx(1 / 3)


def test_attention_listens_to_the_modality_that_knows():
    """The face says the truth; the voice is as sure and says nothing."""
    rng = np.random.default_rng(0)
    truth, noise = rng.integers(2, size=200), rng.integers(2, size=200)
    posteriors = {"face": np.eye(2)[truth] * 0.8 + 0.1, "voice": np.eye(2)[noise] * 0.8 + 0.1}
    strategy = STRATEGIES["attention"](AB).fit(posteriors, truth, np.arange(200))
    weights = strategy.weights(BOTH)
    assert weights["face"] > 0.9
    assert strategy.pool(BOTH) == pytest.approx(weights["face"] * FACE + weights["voice"] * VOICE)
    assert STRATEGIES["attention"](AB).pool(BOTH) == pytest.approx([0.65, 0.35])  # unfitted: the mean


def test_stacking_finds_that_a_modality_says_the_opposite():
    rng = np.random.default_rng(0)
    truth, noise = rng.integers(2, size=200), rng.integers(2, size=200)
    posteriors = {"face": np.eye(2)[1 - truth] * 0.8 + 0.1, "voice": np.eye(2)[noise] * 0.8 + 0.1}
    strategy = STRATEGIES["stacked"](AB).fit(posteriors, truth, np.arange(200) // 20)
    assert strategy.pool(BOTH).argmax() == 1
    assert strategy.weights(BOTH)["face"] > 0.8
    assert STRATEGIES["stacked"](AB).pool(BOTH) == pytest.approx([0.36 / 0.42, 0.06 / 0.42])  # unfitted: the product


def test_q_learning_updates_as_its_equation_says():
    strategy = QLearning(AB, seed=1)
    first = strategy.learn(strategy.start(), BOTH, truth=0)
    (state, (modality, step), reward) = first.waiting
    assert reward == 1  # the mean says calm whichever weight moves by .05
    assert state == (False, (("face", 2), ("voice", 1)), 0)  # they disagree; terciles; no feedback before
    moved = {"face": 0.5, "voice": 0.5}
    moved[modality] += step
    assert first.weights == pytest.approx({m: w / sum(moved.values()) for m, w in moved.items()})
    assert first.table == {}

    second = strategy.learn(first, BOTH, truth=1)
    assert second.table == {(state, (modality, step)): pytest.approx(0.05 * (1 + 0.9 * 0 - 0))}
    assert second.waiting[0] == (False, (("face", 2), ("voice", 1)), 1)  # the last feedback was good
    assert second.feedback == -1


def test_q_learning_comes_to_trust_the_modality_that_is_right():
    """The face is always right and the voice always wrong; each is heard as surely as the other."""
    strategy, ends = QLearning(AB, seed=0), []
    for _ in range(10):
        person = strategy.start()
        for step in range(200):
            truth = step % 2
            readings = {
                "face": Reading(np.eye(2)[truth] * 0.8 + 0.1),
                "voice": Reading(np.eye(2)[1 - truth] * 0.8 + 0.1),
            }
            person = strategy.learn(person, readings, truth)
        ends.append(person.weights["face"])
    assert np.mean(ends) > 0.6


def test_two_people_explore_differently_and_the_same_seed_explores_alike():
    def path(strategy):
        people = [strategy.start(), strategy.start()]
        for _ in range(6):
            people = [strategy.learn(p, BOTH, 0) for p in people]
        return [p.weights["face"] for p in people]

    assert path(QLearning(AB, seed=3)) == path(QLearning(AB, seed=3))
    one, other = path(QLearning(AB, seed=3))
    assert one != other


def test_best_modality_learns_how_a_person_is_misread():
    """Everybody's tense face reads tense; this person's reads calm."""
    rng = np.random.default_rng(0)
    people, truth = np.repeat(np.arange(20), 20), rng.integers(2, size=400)
    odd = people % 4 == 0
    said = np.where(odd & (truth == 1) & (rng.random(400) < 0.9), 0, truth)
    voice = np.where(rng.random(400) < 0.7, truth, 1 - truth)
    posteriors = {"face": np.eye(2)[said] * 0.7 + 0.15, "voice": np.eye(2)[voice] * 0.4 + 0.3}
    strategy = STRATEGIES["best_modality"](AB).fit(posteriors, truth, people)
    readings = {"face": Reading(np.array([0.85, 0.15])), "voice": Reading(np.array([0.3, 0.7]))}

    known = strategy.start()
    assert strategy.pool(readings, known).argmax() == 0
    for _ in range(8):
        known = strategy.learn(known, readings, 1)
    assert strategy.pool(readings, known).argmax() == 1
