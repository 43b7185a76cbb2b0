"""The benches of the decision layer measure what they say, on slices small enough for a test."""

from pathlib import Path

import numpy as np
import pytest

from recommender import bandits, simulator
from recommender.bench import BENCHES, cold_start, faithfulness, null, ope, regret, wcls
from recommender.bench.cells import Cell
from recommender.bench.served import Served
from recommender.catalogue import Delivery, Outcome
from recommender.context import Context
from recommender.network import VaeConfig
from recommender.trials import play

NOWHERE = Path("/nowhere")


@pytest.fixture(scope="module")
def world():
    return simulator.load("null")


def test_every_bench_names_its_cells_once_and_the_quick_slice_is_no_larger():
    for bench in (wcls, null, regret, ope, cold_start, faithfulness):
        all_, quick = bench.cells(False), bench.cells(True)
        assert len({cell.key for cell in all_}) == len(all_) >= len(quick) > 0
        assert all(cell.bench in BENCHES for cell in all_)


def test_sends_and_moods_of_a_trial_are_the_same_whatever_the_policy_learns(world):
    cohort = world.cohort(20, 5, days=20)
    sent, mood = null.prompts(cohort)
    rewards = simulator.Rewards(world, people=30)
    for policy in (bandits.Uniform(24), bandits.make("ours", world, cohort, 1, config=null.HEAD)):
        played = play(cohort, policy, rewards)
        assert (played.sent == sent).all()
        assert played.mood == pytest.approx(mood)


def test_the_contrast_of_the_null_bench_finds_an_effect_where_one_is_put():
    world = simulator.load("prompted")
    cohort = world.cohort(150, 5)
    sent, mood = null.prompts(cohort)
    plain, _ = null.contrast(cohort, sent, mood, slice(0, 150))
    shifted, p = null.contrast(cohort, sent, mood + 0.5 * sent, slice(0, 150))
    assert shifted - plain == pytest.approx(0.5, abs=0.01)
    assert p < 1e-6


def test_the_whole_model_as_a_policy_hears_what_its_own_offers_brought_and_learns_from_it():
    world = simulator.load("linear-small")
    cohort, rewards = world.cohort(60, 43, days=21), simulator.Rewards(world, people=60)
    policy = Served(cohort, 1, VaeConfig(epochs=2, latent=4, width=8))
    played = play(cohort, policy, rewards)
    assert len(policy.trainings) == 3  # on the second evening, then every seventh
    for person, history in enumerate(policy.histories):
        days = np.flatnonzero(played.sent[person])
        assert [d.activity for d in history] == [world.activities[i].id for i in played.chosen[person, days]]
        assert [d.outcome.completed for d in history] == [bool(done) for done in played.done[person, days]]
        for day, delivery in zip(days, history, strict=True):
            dose = played.sent[:, max(0, day - 7) : day].sum(axis=1)
            assert delivery.context.vector() == pytest.approx(cohort.contexts(int(day), dose)[person], abs=1e-9)
    chance = play(cohort, bandits.Uniform(24), rewards)
    assert np.nanmean(played.regret("own")) < np.nanmean(chance.regret("own"))


def test_popularity_loses_nothing_against_itself(world):
    cohort = world.cohort(30, 5, days=15)
    played = play(cohort, bandits.Uniform(24), simulator.Rewards(world, people=30))
    lost = null.loss(cohort, played, 30)
    assert lost["uniform"] == pytest.approx(0, abs=1e-9)
    played.value = null._popular(cohort, played, 30)
    assert null.loss(cohort, played, 30)["popularity"] == pytest.approx(0, abs=1e-9)


def test_probabilities_of_the_coverage_bench_are_those_that_were_drawn_from():
    for policy in wcls.POLICIES:
        y, a, p = wcls.simulate(np.random.default_rng(3), 4, 20, policy)
        assert ((p >= 0.2) & (p <= 0.8)).all()
        assert a.mean() == pytest.approx(p.mean(), abs=0.03)
        assert y.shape == (4, 20, wcls.DECISIONS)


def test_a_right_interval_covers_and_a_shifted_one_does_not():
    found = np.array([[0.1, 0.0, 0.2], [0.3, 0.25, 0.4]])
    assert wcls._summary(found)["coverage"] == 0.5


def test_regret_of_the_oracle_is_the_price_of_chance_alone(monkeypatch):
    monkeypatch.setattr(regret, "PEOPLE", 40)
    found = {m: regret.work(Cell("regret", m, "linear-wild", 0), NOWHERE) for m in ("oracle", "uniform")}
    assert found["oracle"]["learnt"] == 0
    assert found["oracle"]["regret"] == pytest.approx(0.18 * found["uniform"]["regret"], rel=0.01)


def test_the_table_of_regret_compares_the_same_people_only():
    line = {"data": "drifting", "regret": 0.2, "learnt": 0.2, "worst_quarter": 0.2, "completed": 0.4}
    lines = [line | {"method": "ours", "seed": 0}, line | {"method": "uniform", "seed": 0}]
    lines.append(line | {"method": "uniform", "seed": 1, "regret": 0.9})
    assert regret._mean(lines, "uniform", "drifting", "regret") == 0.2
    assert np.isnan(regret._mean(lines, "EASE", "drifting", "regret"))
    assert regret._seeds([*lines, line | {"method": "EASE", "seed": 1}], "drifting") == set()


def test_half_open_gates_never_let_a_closed_activity_through(monkeypatch):
    monkeypatch.setattr(faithfulness, "CHECKS_IN_A_CELL", 4000)
    found = faithfulness._gates(Cell("faithfulness", "gates", "", 1))
    assert found["violations"] == 0 < found["sent"]


def test_parts_of_an_explanation_are_gathered_by_the_input_they_come_from():
    parts = {
        "past:a1": 0.1,
        "context:emotion_fear": 0.02,
        "attribute:effort*emotion_anger": 0.03,
        "attribute:effort*depression": -0.01,
        "attribute:effort": 0.5,
        "latent": 0.2,
    }
    assert faithfulness.inputs_of(parts) == pytest.approx({"past:a1": 0.1, "emotion": 0.05, "dass": -0.01})


def test_contexts_made_for_the_model_are_those_that_policies_see(world):
    cohort = world.cohort(5, 9, days=10)
    for person in range(5):
        seen = faithfulness.context_of(cohort, person, 7, 2.0).vector()
        assert cohort.contexts(7, np.full(5, 2.0))[person] == pytest.approx(seen)


def test_a_simulated_log_holds_the_probabilities_of_its_offers(monkeypatch):
    monkeypatch.setattr(ope, "PEOPLE", 30)
    world = simulator.load("prompted")
    logged, contexts, laws = ope.simulated_log(world, simulator.Rewards(world, people=30), 3)
    assert len(logged.reward) == len(contexts) == len(laws["clinician rules"])
    assert logged.probability.min() == pytest.approx(0.5 / 24)
    assert (1 / logged.probability).mean() == pytest.approx(24, rel=0.1)  # inverse weights count the activities


def test_a_perfect_ranking_scores_one_and_the_worst_scores_what_its_first_five_are_worth():
    gain = np.arange(8.0)
    assert cold_start.ndcg(gain, gain) == pytest.approx(1)
    discount = 1 / np.log2(np.arange(2, 7))
    assert cold_start.ndcg(-gain, gain) == pytest.approx(gain[:5] @ discount / (gain[::-1][:5] @ discount))


def test_new_activities_were_never_offered_to_the_head_that_ranks_them(world):
    log, _ = faithfulness.offers(world, 12, 5)
    model, new = simulator.Rewards(world, people=30).model, cold_start.new_ones(world)
    head = cold_start.fitted(world, log, model, without=new)
    assert {a.technique for a in world.activities if a.id in new} == set(world.techniques)
    assert not new & set(head.ids)
    scores, sd = head.score(Context().vector(), world.activities)
    unknown = [i for i, activity in enumerate(world.activities) if activity.id in new]
    known = [i for i in range(24) if i not in unknown]
    assert np.isfinite(scores).all()
    assert sd[unknown].mean() > sd[known].mean()


def test_popularity_is_the_mean_reward_shrunken_by_one_average_offer(world):
    activity = world.activities[0]
    log = [[Delivery(activity.id, simulator.START, Outcome(True, 5, 1.0))] * 3]
    model = simulator.Rewards(world, people=30).model
    reward, _ = model.reward(activity.technique, Outcome(True, 5, 1.0))
    found = cold_start.popularity(world, log, model)
    assert found[0] == pytest.approx(3 * reward / 4)
    assert (found[1:] == 0).all()
