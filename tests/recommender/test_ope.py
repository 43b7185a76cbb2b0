import numpy as np
import pytest

from recommender import ope
from recommender.ope import InvalidLog, Logged, TooLittleOverlap


def log(people=40, each=30, seed=0):
    """Two actions, 1 better than 0 by 0.4 where x > 0; logged at .7/.3; people differ in level."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), each)
    x = rng.normal(size=people * each)
    action = (rng.random(len(x)) < 0.3).astype(int)
    reward = rng.normal(size=people)[person] + action * 0.4 * (x > 0) + 0.5 * rng.normal(size=len(x))
    return Logged(reward, action, np.where(action == 1, 0.3, 0.7), person), x


def wanted(x):
    """Action 1 where x > 0, else 0, with a slip of .1."""
    one = np.where(x > 0, 0.9, 0.1)
    return np.column_stack([1 - one, one])


def test_the_estimators_are_their_formulas_decision_by_decision():
    logged, x = log(people=5, each=4)
    law, q = wanted(x), np.column_stack([x, x + 1])
    ips = snips_over = snips_under = dr = 0.0
    for i in range(20):
        a, r = logged.action[i], logged.reward[i]
        w = law[i, a] / logged.probability[i]
        ips += w * r / 20
        snips_over, snips_under = snips_over + w * r, snips_under + w
        dr += (law[i, 0] * q[i, 0] + law[i, 1] * q[i, 1] + w * (r - q[i, a])) / 20
    found = {m: ope.estimate(logged, law, m, expected=q, least_sample=1).value for m in ope.METHODS}
    assert found == pytest.approx({"IPS": ips, "SNIPS": snips_over / snips_under, "DR": dr}, abs=1e-10)


def test_the_policy_that_logged_is_worth_what_was_earned():
    logged, x = log()
    law = np.tile([0.7, 0.3], (len(x), 1))
    for method in ("IPS", "SNIPS"):
        assert ope.estimate(logged, law, method).value == pytest.approx(logged.reward.mean())


def test_every_method_finds_a_better_policy():
    logged, x = log(people=400)
    q = ope.cross_fitted((x > 0).astype(float)[:, None], logged, 2)
    truth, level = 0.9 * 0.4 * 0.5, np.mean(logged.reward - logged.action * 0.4 * (x > 0))
    for method in ope.METHODS:
        found = ope.estimate(logged, wanted(x), method, expected=q)
        assert found.low < truth + level < found.high
        assert found.low > logged.reward.mean() - 0.2


def test_a_model_of_the_reward_makes_the_interval_shorter():
    logged, x = log(people=200)
    x_only = np.column_stack([(x > 0), x])
    ips, dr = (ope.estimate(logged, wanted(x), m, expected=ope.cross_fitted(x_only, logged, 2)) for m in ("IPS", "DR"))
    assert dr.high - dr.low < ips.high - ips.low


def test_people_are_resampled_not_their_decisions():
    rng = np.random.default_rng(3)
    level = rng.normal(size=30)
    reward = np.repeat(level, 50)  # fifty equal decisions each: thirty facts, not fifteen hundred
    logged = Logged(reward, np.zeros(1500, int), np.full(1500, 1.0), np.repeat(np.arange(30), 50))
    found = ope.estimate(logged, np.ones((1500, 1)), "IPS")
    assert found.high - found.low == pytest.approx(2 * 2.05 * level.std(ddof=1) / np.sqrt(30), rel=0.15)


def test_too_little_overlap_is_refused_beside_a_log_that_suffices():
    logged, x = log(people=20, each=10)
    with pytest.raises(TooLittleOverlap, match="of 200 decisions, 100 needed"):
        ope.estimate(logged, np.tile([0.0, 1.0], (200, 1)))
    assert ope.estimate(logged, np.tile([0.7, 0.3], (200, 1))).effective_sample == pytest.approx(200)


def test_a_log_that_cannot_be_is_refused():
    logged, x = log(people=4)
    law = wanted(x)
    for wrong in (law * 2, law[:-1], law * [1, -1]):
        with pytest.raises(InvalidLog, match="one distribution"):
            ope.estimate(logged, wrong)
    with pytest.raises(InvalidLog, match="DR needs"):
        ope.estimate(logged, law, "DR")
    with pytest.raises(InvalidLog, match="lie in"):
        Logged(np.zeros(1), np.zeros(1, int), np.zeros(1), np.zeros(1))
