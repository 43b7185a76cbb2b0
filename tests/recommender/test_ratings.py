"""All peers on data whose right answer is known, and each against its own definition."""

import numpy as np
import pytest

from recommender.bench.films import corrected_t, held_out
from recommender.linear import Ease, Popularity
from recommender.metrics import ranking_metrics, top
from recommender.ratings import ImplicitAls, ItemKnn, MultVae, RecVae, Slim


def two_tastes(users=80, items=16, seed=0):
    """Even people like the first half of the items, odd ones the second."""
    rng = np.random.default_rng(seed)
    likes = np.repeat([[0.6, 0.05], [0.05, 0.6]], items // 2, axis=1).reshape(2, items)
    return (rng.random((users, items)) < likes[np.arange(users) % 2]).astype(float)


@pytest.mark.parametrize(
    "model",
    [
        Ease(5.0),
        ItemKnn(5, 1.0),
        Slim(0.5, 5.0),
        ImplicitAls(4),
        MultVae(16, 4, epochs=60, learning_rate=0.01, batch=20),
        RecVae(hidden=16, latent=4, epochs=20, learning_rate=0.01, batch=20),
    ],
    ids=["ease", "knn", "slim", "ials", "mult-vae", "rec-vae"],
)
def test_people_who_were_not_fitted_get_what_their_like_took_up(model):
    model.fit(two_tastes())
    shown = np.zeros((2, 16))
    shown[0, :3], shown[1, 8:11] = 1, 1
    scores = np.where(shown > 0, -np.inf, model.score(shown))
    assert set(np.argsort(-scores[0])[:5]) == set(range(3, 8))
    assert set(np.argsort(-scores[1])[:5]) == set(range(11, 16))
    assert not np.array_equal(Popularity().fit(two_tastes()).score(shown)[0], scores[0])


def test_alternating_least_squares_finds_the_optimum_of_its_own_loss():
    x = two_tastes(30, 8)
    model = ImplicitAls(2, unobserved=0.2, regularisation=0.05, sweeps=40).fit(x)
    people = model._solved(_sparse(x), model.items_)

    def loss(p, q):
        penalty = lambda f, n, other: 0.05 * ((n + 0.2 * other)[:, None] * f**2).sum()  # noqa: E731
        fit = (x * (1 - p @ q.T) ** 2).sum() + 0.2 * ((p @ q.T) ** 2).sum()
        return fit + penalty(p, x.sum(axis=1), np.full(30, 8)) + penalty(q, x.sum(axis=0), np.full(8, 30))

    least, rng = loss(people, model.items_), np.random.default_rng(0)
    for _ in range(20):
        assert loss(people + 0.01 * rng.standard_normal(people.shape), model.items_) > least
        assert loss(people, model.items_ + 0.01 * rng.standard_normal(model.items_.shape)) > least


def _sparse(x):
    import scipy.sparse

    return scipy.sparse.csr_array(x.astype(np.float32))


def test_slim_without_its_penalty_on_size_is_a_lasso():
    from sklearn.linear_model import Lasso

    x = two_tastes(60, 6)
    ours = Slim(l1=3.0, l2=1e-6, sweeps=200).fit(x).weights_
    others = np.delete(x, 2, axis=1)
    lasso = Lasso(alpha=3.0 / len(x), positive=True, fit_intercept=False, tol=1e-8).fit(others, x[:, 2])
    assert np.delete(ours[:, 2], 2) == pytest.approx(lasso.coef_, abs=1e-3)


def test_the_best_of_a_row_are_those_of_a_full_sort_ties_by_position():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (50, 30)).astype(float)
    scores[0, :] = -np.inf
    for depth in (1, 7, 30):
        assert (top(scores, depth) == np.argsort(-scores, axis=1, kind="stable")[:, :depth]).all()


def test_metrics_of_a_worked_example():
    scores = np.array([[0.9, 0.8, 0.7, 0.6, 0.5]])
    seen, wanted = np.array([[True, False, False, False, False]]), np.array([[False, True, False, True, False]])
    found = ranking_metrics(scores, seen, wanted, ks=(2, 3))
    assert found["recall", 2] == pytest.approx([0.5])
    assert found["ndcg", 3] == pytest.approx([(1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3))])


def test_people_of_the_strong_split_are_disjoint_and_a_fifth_of_theirs_is_wanted():
    liked = two_tastes(938, 60) > 0
    liked[:, :8] = True
    data = held_out(liked, seed=3)
    assert (len(data.fitted), len(data.valid_shown), len(data.test_shown)) == (638, 150, 150)
    assert not (data.test_shown * data.test_wanted).any()
    assert data.test_wanted.sum() / (data.test_shown.sum() + data.test_wanted.sum()) == pytest.approx(0.2, abs=0.02)
    assert data.test_wanted.any(axis=1).all()


def test_the_corrected_t_test_doubts_more_than_the_plain_one():
    from scipy import stats

    differences = np.array([0.01, 0.02, 0.015, 0.005, 0.012, 0.018, 0.009, 0.011, 0.016, 0.013])
    plain = stats.ttest_1samp(differences, 0).pvalue
    t = differences.mean() / (differences.std(ddof=1) * np.sqrt(1 / 10 + 150 / 638))
    assert corrected_t(differences) == pytest.approx(2 * stats.t.sf(t, 9))
    assert corrected_t(differences) > plain
