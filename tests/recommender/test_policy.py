import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from recommender import policy
from recommender.draws import POSTERIOR, drawn, raw_uniforms, thompson_probabilities
from recommender.policy import Candidate, InvalidDecision, PolicyConfig, UnreplayableRecord

CONFIG = PolicyConfig()


def candidates(n, closed=()):
    return [Candidate(f"a{i}", closed_by=("risk_state",) if i in closed else ()) for i in range(n)]


def choose(n=5, closed=(), seed=1, config=CONFIG, scores=None, sd=0.3):
    scores = np.linspace(0, 1, n) if scores is None else scores
    return policy.decide(candidates=candidates(n, closed), scores=scores, scores_sd=[sd] * n, seed=seed, config=config)


def through_json(choice):
    return json.loads(json.dumps(choice.record(), allow_nan=False))


def test_thompson_probabilities_are_those_of_the_normal_posterior():
    mean, sd = np.array([0.0, 0.5, 0.6]), np.array([1.0, 0.5, 0.1])

    def density_of_winning(x, i):
        others = [stats.norm.cdf(x, mean[j], sd[j]) for j in range(3) if j != i]
        return stats.norm.pdf(x, mean[i], sd[i]) * np.prod(others)

    exact = [integrate.quad(density_of_winning, -6, 7, args=(i,), limit=200)[0] for i in range(3)]
    estimate = thompson_probabilities(mean, sd, draws=200_000, seed=3)
    assert estimate == pytest.approx(exact, abs=0.005)
    assert estimate.sum() == pytest.approx(1)


def test_every_eligible_activity_keeps_its_share_of_epsilon_and_closed_ones_are_zero():
    choice = choose(n=4, closed=(3,), scores=[0.0, 0.0, 9.0, 99.0])
    assert choice.probabilities == pytest.approx([0.06, 0.06, 0.88, 0.0])
    assert choice.probabilities[3] == 0.0
    assert choice.record()["candidates"][3]["closed_by"] == ["risk_state"]


def test_draws_follow_exactly_the_stored_vector_and_the_stored_send_probability():
    law = choose(seed=0, config=replace(CONFIG, epsilon=1.0)).probabilities  # uniform: the same for every seed
    choices = [choose(seed=seed, config=replace(CONFIG, epsilon=1.0)) for seed in range(1500)]
    sent = [choice for choice in choices if choice.activity]
    assert stats.binomtest(len(sent), len(choices), 0.6).pvalue > 0.001
    counts = Counter(choice.index for choice in sent)
    assert stats.chisquare([counts[i] for i in range(5)], np.array(law) * len(sent)).pvalue > 0.001


def test_the_draw_inverts_the_cumulative_law_and_never_lands_on_zero():
    law = [0.0, 0.25, 0.0, 0.75, 0.0]
    assert [drawn(law, u) for u in (0.0, 0.2499, 0.25, 0.9999999999999999)] == [1, 1, 3, 3]
    assert drawn([0.3, 0.3, 0.0], 0.99) == 1


def test_the_propensity_is_the_probability_of_what_happened():
    choices = [choose(seed=seed) for seed in range(40)]
    assert {choice.reason for choice in choices} == {"sent", "held_back"}
    for choice in choices:
        expected = 0.6 * choice.probabilities[choice.index] if choice.activity else 1 - 0.6
        assert choice.propensity == expected


@pytest.mark.parametrize(("asked", "given"), [(0.01, 0.2), (0.5, 0.5), (0.99, 0.8)])
def test_the_send_probability_stays_within_its_bounds(asked, given):
    assert choose(config=replace(CONFIG, send_probability=asked)).send_probability == given


def test_what_a_person_asked_for_is_always_sent_and_says_so():
    config = replace(CONFIG, always_send=True)
    choices = [choose(seed=seed, config=config) for seed in range(30)]
    assert all(choice.activity and choice.send_probability == 1.0 for choice in choices)


def test_nothing_eligible_means_nothing_with_the_reason():
    choice = choose(n=3, closed=(0, 1, 2))
    assert (choice.activity, choice.reason, choice.propensity) == (None, "no_eligible_activity", 1.0)
    assert choice.probabilities == (0.0, 0.0, 0.0)
    assert policy.differences(through_json(choice)) == []
    assert choose(n=0).reason == "no_eligible_activity"


def test_a_single_eligible_activity_has_probability_one():
    choice = choose(n=3, closed=(0, 2), config=replace(CONFIG, always_send=True))
    assert (choice.activity, choice.probabilities) == ("a1", (0.0, 1.0, 0.0))


def test_three_hundred_candidates_are_decided_and_replayed():
    choice = choose(n=300, closed=range(0, 300, 7))
    assert sum(choice.probabilities) == pytest.approx(1)
    assert min(p for p, open_ in zip(choice.probabilities, choice.eligible, strict=True) if open_) > 0
    assert policy.differences(through_json(choice)) == []


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**63, 2**200])
def test_every_policy_replays_bit_for_bit_from_json(seed):
    given = candidates(6, closed=(2,))
    order = ["a4", "a2", "a0", "a5"]
    unscored = [0.1, 0.3, float("nan"), -0.2, 0.7, 0.7]
    choices = [
        policy.decide(candidates=given, scores=unscored, scores_sd=[0.2] * 6, seed=seed, config=CONFIG),
        policy.clinician_order(candidates=given, order=order, seed=seed, config=CONFIG),
        policy.fixed_sequence(candidates=given, order=order, done=["a4"], seed=seed, config=CONFIG),
    ]
    for choice in choices:
        record = through_json(choice)
        assert policy.replay(record) == choice
        assert policy.replay(record).record() == record


def test_a_decision_made_on_another_day_still_comes_out_the_same():
    choice = choose(seed=20261121)
    assert (choice.activity, choice.reason) == ("a2", "sent")
    assert choice.probabilities == (0.036, 0.036, 0.036, 0.036, 0.8560000000000001)


def test_a_decision_made_before_draws_had_a_spread_still_comes_out_the_same():
    record = through_json(choose(seed=20261121, config=replace(CONFIG, spread=1.0)))
    assert record["activity"] == "a1"
    law = [0.03682, 0.047479999999999994, 0.08684, 0.22132000000000002, 0.6075400000000001]  # as written in format 1
    former = {**record, "format": 1, "config": {k: v for k, v in record["config"].items() if k != "spread"}}
    assert former["probabilities"] == law
    assert policy.differences(former) == []
    assert policy.differences({**former, "probabilities": law[::-1]}) == ["probabilities"]
    assert PolicyConfig.from_dict(former["config"]).spread == 1.0


def test_a_smaller_spread_takes_more_of_the_best_and_leaves_everybody_their_share_of_chance():
    wide, narrow, greedy = (choose(config=replace(CONFIG, spread=s)).probabilities for s in (1.0, 0.3, 0.0))
    assert wide[-1] < narrow[-1] < greedy[-1] == pytest.approx(0.82 + 0.18 / 5)
    assert min(greedy) == pytest.approx(0.18 / 5)
    order = ["a4", "a2"]
    unmoved = [
        policy.clinician_order(candidates=candidates(5), order=order, seed=1, config=replace(CONFIG, spread=s))
        for s in (1.0, 0.3)
    ]
    assert unmoved[0].probabilities == unmoved[1].probabilities


def test_an_altered_record_is_found_out():
    record = through_json(choose(seed=1))
    assert policy.differences(record) == []
    record["probabilities"][0] += 1e-12
    assert policy.differences(record) == ["probabilities"]


@pytest.mark.parametrize(
    "damage", [{"format": 3}, {"policy": "oracle"}, {"config": None}, {"scores": [1.0]}, {"seed": -1}]
)
def test_a_record_that_cannot_be_decided_again_is_refused(damage):
    with pytest.raises(UnreplayableRecord):
        policy.replay({**through_json(choose()), **damage})


def test_unusable_inputs_are_refused():
    two = candidates(2)
    for scores, sd in (([1.0], [1.0]), ([1.0, np.nan], [1.0, 1.0]), ([1.0, 1.0], [1.0, -1.0])):
        with pytest.raises(InvalidDecision):
            policy.decide(candidates=two, scores=scores, scores_sd=sd, seed=1, config=CONFIG)
    with pytest.raises(InvalidDecision, match="more than once"):
        policy.decide(candidates=two[:1] * 2, scores=[1, 1], scores_sd=[1, 1], seed=1, config=CONFIG)
    for setting in ({"epsilon": 0.0}, {"send_low": 0.0}, {"update_rule": "whenever"}, {"draws": 0}, {"spread": -1.0}):
        with pytest.raises(InvalidDecision):
            PolicyConfig(**setting)


def test_the_fixed_sequence_takes_the_next_activity_not_done_and_then_starts_again():
    given, order = candidates(4, closed=(1,)), ["a2", "a1", "a0"]
    always = replace(CONFIG, always_send=True)

    def next_after(done):
        return policy.fixed_sequence(candidates=given, order=order, done=done, seed=5, config=always)

    assert next_after([]).activity == "a2"
    assert next_after(["a2"]).activity == "a0"  # a1 is closed
    assert next_after(["a0", "a2"]).activity == "a2"
    assert next_after([]).candidates[3].closed_by == ("not_in_sequence",)
    assert next_after([]).probabilities == (0.0, 0.0, 1.0, 0.0)


def test_both_arms_of_a_masked_trial_receive_something_at_the_same_moments():
    for seed in range(50):
        control = policy.fixed_sequence(candidates=candidates(5), order=["a3", "a1"], done=[], seed=seed, config=CONFIG)
        assert control.reason == choose(seed=seed).reason


def test_the_clinicians_order_is_followed_softly_and_named():
    given = candidates(4)
    choice = policy.clinician_order(candidates=given, order=["a3", "a1", "a0"], seed=2, config=CONFIG)
    assert choice.policy == "clinician_order"
    assert choice.scores == pytest.approx((1 / 3, 2 / 3, 0, 1))
    ranked = sorted(range(4), key=lambda i: -choice.probabilities[i])
    assert ranked[:2] == [3, 1]


def test_alternatives_are_the_next_best_and_never_closed():
    choice = choose(n=5, closed=(3,), config=replace(CONFIG, always_send=True, epsilon=0.001), sd=0.2, seed=4)
    assert choice.activity == "a4"
    assert choice.alternatives(2) == ["a2", "a1"]


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.1, 1.0])
@pytest.mark.parametrize(("m", "draws"), [(1, 3), (5, 101), (47, 1000), (46, 7)])
def test_leaving_out_who_cannot_win_changes_no_probability_by_a_bit(m, draws, spread):
    """Against drawing for everybody, written plainly; odd numbers of draws split a pair over two activities."""
    rng, n = np.random.default_rng(m * draws), m * draws
    mean, sd = rng.normal(0, 0.1, m), spread * rng.random(m)
    u = raw_uniforms(9, POSTERIOR, n + n % 2)
    radius, angle = np.sqrt(-2 * np.log1p(-u[: len(u) // 2])), 2 * np.pi * u[len(u) // 2 :]
    normals = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:n].reshape(draws, m)
    samples = mean + sd * normals
    best = samples == samples.max(axis=1, keepdims=True)
    expected = (best / best.sum(axis=1, keepdims=True)).sum(axis=0) / draws
    assert thompson_probabilities(mean, sd, draws, 9).tolist() == expected.tolist()


def test_the_policy_needs_neither_torch_nor_django():
    code = (
        "import sys, recommender.policy, recommender.reward;"
        "sys.exit(any(m.split('.')[0] in ('torch', 'django') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
