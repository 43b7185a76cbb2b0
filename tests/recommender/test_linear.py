import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import ndcg_score

from recommender.linear import Ease, Popularity, cross_fitted_weights, ease_weights, folds_of
from recommender.metrics import ranking_metrics


@pytest.fixture
def tastes():
    """Two groups: one takes items 0–4, the other 5–9."""
    rng = np.random.default_rng(0)
    x = np.zeros((60, 10))
    for user, row in enumerate(x):
        row[rng.choice(5, 3, replace=False) + 5 * (user % 2)] = 1
    return x


def test_each_column_of_ease_is_a_ridge_regression_on_the_other_items(tastes):
    weights = Ease(7.0).fit(tastes).weights_
    for item in range(10):
        others = np.delete(np.arange(10), item)
        oracle = Ridge(alpha=7.0, fit_intercept=False).fit(tastes[:, others], tastes[:, item])
        assert weights[others, item] == pytest.approx(oracle.coef_, abs=1e-6)
        assert weights[item, item] == 0.0


def test_items_can_be_shrunk_by_their_popularity(tastes):
    gram, count = tastes.T @ tastes, tastes.sum(axis=0)
    weights, shrunk = ease_weights(gram, 7.0, popularity=0.5), np.diag(7.0 * (count / count.mean()) ** 0.5)
    for item in range(10):
        others = np.delete(np.arange(10), item)
        expected = np.linalg.solve((gram + shrunk)[np.ix_(others, others)], gram[others, item])
        assert weights[others, item] == pytest.approx(expected)
    assert ease_weights(gram, 7.0, popularity=0.0) == pytest.approx(Ease(7.0).fit(tastes).weights_)


def test_ease_recommends_within_the_group_and_popularity_does_not_know_groups(tastes):
    tastes[0] = 0
    tastes[0, [0, 1]] = 1
    scores = Ease(5.0).fit(tastes).score(tastes[:1])[0]
    assert set(np.argsort(-np.delete(scores, [0, 1]))[:3] + 2) == {2, 3, 4}
    assert list(Popularity().fit(tastes).score(tastes[:1])[0]) == list(tastes.sum(axis=0))
    with pytest.raises(ValueError, match="positive"):
        Ease(0.0)


def test_cross_fitted_weights_come_from_the_other_people_alone(tastes):
    fold, weights = cross_fitted_weights(tastes, 5.0, seed=1)
    assert list(fold) == list(folds_of(60, 1))
    for f in range(5):
        assert weights[f] == pytest.approx(Ease(5.0).fit(tastes[fold != f]).weights_, abs=1e-9)
    assert sorted(np.bincount(fold)) == [12] * 5


def test_metrics_have_their_worked_values_and_agree_with_scikit_learn():
    scores = np.array([[9.0, 8.0, 7.0, 6.0, 5.0]])
    seen = np.array([[True, False, False, False, False]])
    wanted = np.array([[False, False, True, False, True]])
    values = ranking_metrics(scores, seen, wanted, ks=(2, 4))
    assert values["recall", 2] == [0.5]
    assert values["ndcg", 2] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    assert values["recall", 4] == [1.0]
    rng = np.random.default_rng(0)
    scores, wanted = rng.random((30, 40)), rng.random((30, 40)) < 0.2
    ours = ranking_metrics(scores, np.zeros_like(wanted), wanted, ks=(10,))["ndcg", 10].mean()
    assert ours == pytest.approx(ndcg_score(wanted, scores, k=10))


def test_people_without_a_target_do_not_count():
    values = ranking_metrics(np.ones((3, 2)), np.zeros((3, 2), bool), np.array([[1, 0], [0, 0], [0, 1]], bool), (1,))
    assert list(values["recall", 1]) == [1.0, 0.0]
