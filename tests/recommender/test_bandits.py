import numpy as np
import pytest

from recommender import bandits, simulator
from recommender.bandits import MixedEffects, Offers
from recommender.draws import thompson_probabilities
from recommender.reward import RewardConfig, RewardHead, Row
from recommender.trials import play

SEED = 43


@pytest.fixture(scope="module")
def world():
    return simulator.load("prompted")


@pytest.mark.parametrize(("likes", "centring"), [(0.0, "law"), (0.07, "law"), (0.07, "all")])
def test_the_posterior_of_everybody_at_once_is_that_of_the_reward_head(world, likes, centring):
    head = RewardHead(world.activities, RewardConfig(blocks=("emotion",), person_activity=likes))
    rng, people, cohort = np.random.default_rng(1), 6, world.cohort(6, SEED)
    engine, rows = MixedEffects(head, people, groups=2, centring=centring), {p: [] for p in range(people)}
    for day in range(5):
        laws = rng.dirichlet(np.ones(24), people)
        chosen, reward = rng.integers(0, 24, people), rng.normal(size=people)
        contexts, none = cohort.contexts(day, np.zeros(people)), np.zeros(people)
        variance = np.full(people, 0.01 * day)
        engine.learn(Offers(day, np.arange(people), contexts, laws, chosen, reward, variance, none, none))
        for p in range(people):
            law = laws[p] if centring == "law" else None
            rows[p].append(Row(contexts[p], int(chosen[p]), reward[p], 0.01 * day, law))
    engine.fit()
    contexts = cohort.contexts(9, np.zeros(people))
    mean, sd = engine.score(contexts, np.arange(people))
    for group in range(2):  # two trials side by side know nothing of each other
        members = range(3 * group, 3 * group + 3)
        head.fit({p: rows[p] for p in members})
        for p in members:
            expected, deviation = head.personal(in_fit=rows[p]).score(contexts[p])
            assert mean[p] == pytest.approx(expected - expected.mean(), abs=1e-9)
            assert sd[p] == pytest.approx(deviation, abs=1e-9)


def test_the_law_is_that_of_the_decision_layer():
    mean, sd = np.array([[0.0, 0.1, 0.3, -0.2]]), np.array([[0.2, 0.1, 0.3, 0.05]])
    found = bandits.thompson(mean, sd, np.random.default_rng(0), draws=20_000)
    assert found[0] == pytest.approx(thompson_probabilities(mean[0], sd[0], 20_000, 1), abs=0.015)


def test_what_clinicians_made_an_activity_for_reaches_everybody_at_once_as_it_reaches_the_reward_head(world):
    rules, cohort = bandits.Rules(world), world.cohort(4, SEED)
    head = RewardHead(world.activities, RewardConfig(blocks=("emotion",), intended_sd=0.03), made_for=rules.made_for)
    engine, contexts = MixedEffects(head, 4), cohort.contexts(3, np.zeros(4))
    mean, sd = engine.score(contexts, np.arange(4))
    for p in range(4):
        expected, deviation = head.score(contexts[p])
        assert engine.features(contexts)[p] == pytest.approx(head.features(contexts[p]))
        assert mean[p] == pytest.approx(expected - expected.mean())
        assert sd[p] == pytest.approx(deviation)
    fits = mean[cohort.seen[:, 3] >= 0] > 1e-9
    assert (fits.sum(axis=1) == 4).all()  # the activities of the technique that the table names
    assert fits.any()


OURS = ("ours", "ours, no rules", "ours, centred on the law")
LEARNERS = (*OURS, "pooled regression", "mixed-effects bandit", "LinTS", "LinUCB", "popularity")


def test_learners_give_away_less_than_chance_and_more_than_the_oracle(world):
    cohort, rewards = world.cohort(60, SEED, days=21), simulator.Rewards(world, people=80)
    lost = {
        name: np.nanmean(play(cohort, bandits.make(name, world, cohort, SEED), rewards).regret("own"))
        for name in (*LEARNERS, "uniform", "oracle")
    }
    for name in LEARNERS:
        assert lost["oracle"] < lost[name] < lost["uniform"], lost


def test_clinicians_rules_follow_what_a_check_in_shows_and_nothing_else(world):
    rules, shown = bandits.Rules(world), np.zeros((2, 29))
    shown[0, bandits.EMOTION] = [0.6, *[-0.1] * 6]
    law = rules.law(0, shown, np.arange(2))
    offered = {world.activities[i].technique for i in np.flatnonzero(law[0])}
    assert offered == {world.rules[0]}
    assert law[1] == pytest.approx(1 / 24)


def test_ease_needs_engagement_before_it_offers_anything_in_particular(world):
    ease, contexts = bandits.EaseGreedy(3, 24), np.zeros((3, 29))
    assert ease.law(0, contexts, np.arange(3)) == pytest.approx(1 / 24)
    ones, chosen = np.ones(3), np.array([1, 1, 2])
    for turn in range(2):
        ease.learn(
            Offers(turn, np.arange(3), contexts, ease.law(1, contexts, np.arange(3)), chosen + turn, *[ones] * 4)
        )
    assert ease.law(7, contexts, np.arange(3))[0].argmax() in (1, 2)
