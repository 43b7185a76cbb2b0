import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression

from recommender.wcls import UnusableTrial, effect, wcls


def trial(n=12, t=30, seed=0, effect_size=0.5, moderated=0.0):
    """People whose sending probability depends on a state that also changes the effect."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n), t)
    state = rng.choice([-1.0, 1.0], n * t)
    probability = np.where(state > 0, 0.8, 0.3)
    action = (rng.random(n * t) < probability).astype(float)
    level = rng.normal(size=n)[person]
    noise = rng.normal(size=n * t)
    outcome = level + state + action * (effect_size + moderated * state) + noise
    available = rng.random(n * t) < 0.7
    return {
        "outcome": outcome,
        "action": action,
        "probability": probability,
        "person": person,
        "available": available,
        "controls": state,
    }


def written_out(data, numerator=0.5):
    """Weighted regression by scikit-learn and Mancl and DeRouen's formula with whole residual matrices."""
    keep = data["available"]
    y, a, p, s, person = (data[k][keep] for k in ("outcome", "action", "probability", "controls", "person"))
    w = np.where(a == 1, numerator / p, (1 - numerator) / (1 - p))
    x = np.column_stack([np.ones(len(y)), s, a - numerator])
    coefficients = LinearRegression(fit_intercept=False).fit(x, y, sample_weight=w).coef_
    residual, bread, meat = y - x @ coefficients, np.linalg.inv(x.T @ np.diag(w) @ x), np.zeros((3, 3))
    for i in np.unique(person):
        xi, wi, ri = x[person == i], np.diag(w[person == i]), residual[person == i]
        mended = np.linalg.solve(np.eye(len(ri)) - xi @ bread @ xi.T @ wi, ri)
        u = xi.T @ wi @ mended
        meat += np.outer(u, u)
    return coefficients, bread @ meat @ bread


def test_the_estimate_and_its_variance_are_those_of_the_formulas_written_out():
    data = trial()
    coefficients, covariance = written_out(data)
    found = wcls(**data, numerator=np.full(len(data["outcome"]), 0.5))
    assert found.coefficients == pytest.approx(coefficients, abs=1e-10)
    assert found.covariance[0, 0] == pytest.approx(covariance[2, 2], abs=1e-10)


def test_below_fifty_people_students_t_holds_and_from_fifty_on_the_normal_law():
    few, many = wcls(**trial(n=20)), wcls(**trial(n=50))
    assert few.degrees == 20 - 3
    width = few.interval()[0, 1] - few.estimate[0]
    assert width == pytest.approx(stats.t(17).ppf(0.975) * few.se[0])
    assert few.p_value[0] == pytest.approx(2 * stats.t(17).sf(abs(few.estimate[0] / few.se[0])))
    assert many.interval()[0, 1] - many.estimate[0] == pytest.approx(stats.norm.ppf(0.975) * many.se[0])


def test_weights_and_centring_find_the_marginal_effect_where_plain_regression_does_not():
    data = trial(n=300, t=60, effect_size=0.2, moderated=0.5) | {"controls": None}
    found = wcls(**data, numerator=np.full(len(data["outcome"]), 0.5))
    assert found.estimate[0] == pytest.approx(0.2, abs=4 * found.se[0])
    keep, y, a = data["available"], data["outcome"], data["action"]
    plain = y[keep & (a == 1)].mean() - y[keep & (a == 0)].mean()
    assert abs(plain - 0.2) > 0.5


def test_a_moderator_gets_its_own_effect():
    data = trial(n=300, t=60, effect_size=0.2, moderated=0.5)
    found = wcls(**data | {"controls": None}, moderators=data["controls"])
    assert found.estimate == pytest.approx([0.2, 0.5], abs=4 * found.se.max())


def test_what_was_not_available_does_not_count():
    data = trial()
    changed = data | {"outcome": np.where(data["available"], data["outcome"], 1e6)}
    assert wcls(**changed).estimate == pytest.approx(wcls(**data).estimate)
    assert wcls(**changed | {"available": None}).estimate != pytest.approx(wcls(**data).estimate)


def test_many_data_sets_at_once_give_what_each_gives_alone():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(3, 8, 40, 2)), rng.normal(size=(3, 8, 40))
    gram, cross = np.swapaxes(x, -1, -2) @ x, np.einsum("rntk,rnt->rnk", x, y)
    together = effect(gram, cross, 1)
    for r in range(3):
        alone = effect(gram[r], cross[r], 1)
        assert (together.estimate[r], together.se[r]) == (pytest.approx(alone.estimate), pytest.approx(alone.se))


def test_a_trial_that_tells_nothing_is_refused():
    data = trial()
    for change, says in (
        ({"probability": np.ones(len(data["outcome"]))}, "strictly between"),
        ({"action": np.ones(len(data["outcome"]))}, "always, or never"),
        ({"person": np.zeros(len(data["outcome"]))}, "1 people"),
    ):
        with pytest.raises(UnusableTrial, match=says):
            wcls(**data | change)
