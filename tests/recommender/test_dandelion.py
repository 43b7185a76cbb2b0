import json

import numpy as np
import pytest
from scipy import stats

from recommender import paper, surrogate
from recommender.bench import noise, optimizer, peers
from recommender.bench.functions import function
from recommender.dandelion import (
    AwaitingResults,
    BudgetSpent,
    Dandelion,
    SpaceExhausted,
    Unfit,
)
from recommender.journal import JournalMismatch
from recommender.moves import mantegna, reflected
from recommender.space import Categorical, Float, Int, InvalidSpace, Log, Space, key
from recommender.tuning import minimise

MIXED = Space(
    {
        "model": Categorical(("linear", "deep")),
        "rate": Log(1e-4, 1.0),
        "layers": Int(1, 4, when=("model", ("deep",))),
        "share": Float(0.0, 1.0),
    }
)


def box(d, half):
    return Space({f"x{i}": Float(-half, half) for i in range(d)})


def shifted(name, d, half, seed):
    """A test function with its minimum of 0 at a random place away from the middle of the box."""
    rng = np.random.default_rng([seed, 7])
    centre = rng.uniform(0.3, 0.7, d) * rng.choice([-1, 1], d) * half
    functions = {
        "sphere": lambda x: float((x**2).sum()),
        "rastrigin": lambda x: float((x**2 - 10 * np.cos(2 * np.pi * x) + 10).sum()),
    }
    return lambda config: functions[name](np.array(list(config.values())) - centre)


def best_of(variant, objective, space, budget, seed):
    return minimise(objective, space, budget=budget, seed=seed, variant=variant).best.value


def best_of_random(objective, space, budget, seed):
    rng = np.random.default_rng(seed)
    return min(objective(space.decode(rng.random(space.dimension))) for _ in range(budget))


@pytest.mark.parametrize(("name", "half"), [("sphere", 100.0), ("rastrigin", 5.12)])
def test_efficient_beats_random_search_and_the_paper_on_shifted_functions_in_100_evaluations(name, half):
    space, ranks = box(5, half), []
    for seed in range(2):
        f = shifted(name, 5, half, seed)
        efficient = best_of("efficient", f, space, 100, seed)
        others = best_of("paper", f, space, 100, seed), best_of_random(f, space, 100, seed)
        ranks.append(efficient < min(others))
    assert np.array(ranks).all()


def test_the_paper_needs_the_optimum_at_the_origin_and_efficient_does_not():
    """15,000 evaluations of the paper's 30 seeds in ten dimensions; 60 of ours in four."""
    centred, moved = ([distance_reached(place, seed) for seed in range(7)] for place in (0.0, 40.0))
    assert np.median(moved) > 1e6 * np.median(centred)
    ours = [best_of("efficient", shifted_by(place), box(4, 100.0), 60, 0) for place in (0.0, 40.0)]
    assert max(ours) < 0.05 * best_of_random(shifted_by(40.0), box(4, 100.0), 60, 0)


def distance_reached(place, seed, n=30, d=10, generations=500):
    rng, low, high = np.random.default_rng(seed), np.full(d, -100.0), np.full(d, 100.0)
    x, best, elite = rng.uniform(low, high, (n, d)), np.inf, None
    for t in range(2, generations + 2):
        values = ((x - place) ** 2).sum(axis=1)
        if values.min() < best:
            best, elite = values.min(), x[values.argmin()]
        x = paper.iteration(x, elite, min(t, generations), generations, low, high, rng)
    return best


def shifted_by(place):
    return lambda config: float(((np.array(list(config.values())) - place) ** 2).sum())


def test_one_paper_iteration_has_its_worked_value_at_the_end_of_time():
    """At t = T alpha is 0: every seed lands on the elite."""
    rng = np.random.default_rng(0)
    x, elite = rng.uniform(-5, 5, (6, 3)), np.array([1.0, 2.0, 3.0])
    landed = paper.iteration(x, elite, 10, 10, np.full(3, -5.0), np.full(3, 5.0), rng)
    assert landed == pytest.approx(np.tile(elite, (6, 1)))
    early = paper.iteration(x, elite, 2, 10, np.full(3, -5.0), np.full(3, 5.0), rng)
    assert (np.abs(early) <= 5).all()
    assert not np.allclose(early, elite)


def test_levy_steps_have_mantegnas_scale_and_heavy_tails():
    steps = mantegna((200_000,), np.random.default_rng(0))
    sigma = 0.696575  # Mantegna (1994) for beta = 1.5
    u, v = np.random.default_rng(1).normal(size=(2, 200_000))
    assert stats.ks_2samp(steps, sigma * u / np.abs(v) ** (1 / 1.5)).pvalue > 0.001
    assert (np.abs(steps) > 10).mean() > 100 * stats.norm.sf(10)


def test_the_paper_replaces_a_whole_generation_and_waits_for_its_results():
    study = Dandelion(box(2, 1.0), variant="paper", budget=12, population=4)
    first = study.ask(99)
    assert len(first) == 4
    with pytest.raises(AwaitingResults):
        study.ask()
    for trial in first:
        study.tell(trial.number, 1.0)
    assert len(study.ask(99)) == 4


def run(study, until, objective, batch=1):
    asked = []
    while len(study.results) < until:
        for trial in study.ask(batch):
            asked.append(trial.config)
            study.tell(trial.number, objective(trial.config))
    return asked


def score_mixed(config):
    shape = 1.0 if config["model"] == "linear" else config["layers"] / 9
    return (np.log10(config["rate"]) + 2) ** 2 + config["share"] + shape


@pytest.mark.parametrize("variant", ["efficient", "paper"])
def test_a_study_resumed_from_its_journal_asks_what_it_would_have_asked(variant, tmp_path):
    settings = {"variant": variant, "budget": 24, "seed": 5, "population": 6}
    whole = run(Dandelion(MIXED, **settings), 24, score_mixed, batch=3)
    journal = tmp_path / "study.jsonl"
    run(Dandelion(MIXED, journal=journal, **settings), 12, score_mixed, batch=3)
    stopped = Dandelion(MIXED, journal=journal, **settings)
    lost = stopped.ask(3)  # asked, never told: the process dies here
    stopped.tell(lost[0].number, score_mixed(lost[0].config))
    with journal.open("a") as file:
        file.write('{"tell": 13, "val')  # and in the middle of a line
    resumed = Dandelion(MIXED, journal=journal, **settings)
    assert [trial.config for trial in resumed.ask(2)] == [trial.config for trial in lost[1:]] == whole[13:15]
    for trial in lost[1:]:
        resumed.tell(trial.number, score_mixed(trial.config))
    assert run(resumed, 24, score_mixed, batch=3) == whole[15:]
    with pytest.raises(BudgetSpent):
        resumed.ask()


def test_a_journal_of_another_study_is_refused(tmp_path):
    journal = tmp_path / "study.jsonl"
    Dandelion(MIXED, journal=journal, seed=1)
    Dandelion(MIXED, journal=journal, seed=1)
    with pytest.raises(JournalMismatch, match="other settings"):
        Dandelion(MIXED, journal=journal, seed=2)
    journal.write_text("no journal\n")
    with pytest.raises(JournalMismatch):
        Dandelion(MIXED, journal=journal, seed=1)


def test_one_worker_and_four_find_the_same():
    studies = [minimise(score_mixed, MIXED, budget=24, batch=4, workers=workers, seed=3) for workers in (1, 4)]
    assert studies[0].results == studies[1].results
    assert minimise(score_mixed, MIXED, budget=24, batch=4, seed=4).results != studies[0].results


def test_a_finite_space_is_walked_once_and_then_exhausted():
    space = Space({"a": Int(0, 2), "b": Categorical(("x", "y")), "c": Int(1, 2, when=("b", ("y",)))})
    study = Dandelion(space, budget=100, seed=0)
    asked = [key(config) for config in run(study, 9, lambda config: float(len(study.results)))]
    with pytest.raises(SpaceExhausted):
        study.ask()
    assert len(asked) == len(set(asked)) == 9
    assert set(asked) == {key(config) for config in space.all_configurations()}


def test_failed_trials_are_avoided_not_fatal():
    study = minimise(lambda c: None if c["x0"] > 0 else c["x0"] ** 2, box(1, 1.0), budget=20, seed=0)
    assert study.best.config["x0"] <= 0
    assert any(result.value is None for result in study.results)
    nothing = minimise(lambda c: float("nan"), box(1, 1.0), budget=6, seed=0)
    assert (nothing.best, len(nothing.results)) == (None, 6)


def test_a_trial_is_told_once():
    study = Dandelion(box(1, 1.0), budget=5)
    trial = study.ask()[0]
    study.tell(trial.number, 1.0)
    for number in (trial.number, 77):
        with pytest.raises(ValueError, match="not asked"):
            study.tell(number, 1.0)


def test_a_warm_start_asks_the_best_of_earlier_studies_first():
    earlier = [({"x0": 0.9, "x1": 0.9}, 5.0), ({"x0": 0.1, "x1": -0.2}, 1.0), ({"gone": 3}, 0.0)]
    study = Dandelion(box(2, 1.0), budget=20, warm_start=earlier)
    first, second = study.ask(2)
    assert list(first.config.values()) == pytest.approx([0.1, -0.2])
    assert list(second.config.values()) == pytest.approx([0.9, 0.9])


def test_reflection_folds_at_the_bounds():
    assert reflected(np.array([-0.25, 0.5, 1.25, 2.25, -1.5])) == pytest.approx([0.25, 0.5, 0.75, 0.25, 0.5])


def test_encode_inverts_decode_and_conditions_switch_settings_off():
    rng = np.random.default_rng(0)
    for unit in rng.random((200, MIXED.dimension)):
        config = MIXED.decode(unit)
        again = MIXED.decode(MIXED.encode(config))
        assert ("layers" in config) == (config["model"] == "deep")
        assert list(again) == list(config)
        assert again["rate"] == pytest.approx(config["rate"])
    assert MIXED.encode({"model": "linear", "rate": 0.01, "share": 0.25}) == pytest.approx([1, 0, 0.5, 0.5, 0.25])
    assert Space.from_dict(json.loads(json.dumps(MIXED.to_dict()))).to_dict() == MIXED.to_dict()


def test_whole_numbers_have_equal_shares():
    space = Space({"n": Int(1, 4)})
    drawn = [space.decode(u)["n"] for u in np.random.default_rng(0).random((4000, 1))]
    assert stats.chisquare(np.bincount(drawn)[1:]).pvalue > 0.001


@pytest.mark.parametrize(
    "description",
    [
        {},
        [],
        {"x": {"type": "float", "low": 2, "high": 1}},
        {"x": {"type": "log", "low": 0, "high": 1}},
        {"x": {"type": "int", "low": 0.5, "high": 2}},
        {"x": {"type": "categorical", "choices": []}},
        {"x": {"type": "circle"}},
        {"x": {"type": "float", "low": 0}},
        {"x": {"type": "float", "low": 0, "high": 1, "when": {"later": [1]}}},
    ],
)
def test_a_description_that_is_no_space_is_refused(description):
    with pytest.raises(InvalidSpace):
        Space.from_dict(description)


def test_a_configuration_outside_the_space_is_refused():
    MIXED.encode({"model": "linear", "rate": 0.01, "share": 0.25})
    good = {"model": "linear", "rate": 0.01, "share": 0.25}
    wrong = [{"model": "linear", "rate": 0.01}, {**good, "model": "tree"}, {**good, "rate": 2.0}, {**good, "layers": 2}]
    for config in wrong:
        with pytest.raises(InvalidSpace):
            MIXED.encode(config)


def learning_curve(config, trial, trained=None):
    """A loss that falls with the epochs towards what the setting is worth; `trained` collects what was paid for."""
    if trained is not None:
        trained.append((trial.number, trial.fidelity, trial.continues))
    return (config["x0"] - 0.3) ** 2 + 1 / trial.fidelity


def test_rungs_continue_the_best_third_and_pay_only_for_what_is_added():
    trained = []
    objective = lambda config, trial: learning_curve(config, trial, trained)  # noqa: E731
    study = minimise(objective, box(1, 1.0), budget=60, rungs=(1, 3, 9), seed=0)
    by_number = {result.number: result for result in study.results}
    continued = [(number, parent) for number, _, parent in trained if parent is not None]
    assert len(continued) == len({parent for _, parent in continued}) >= 5
    for number, parent in continued:
        assert by_number[number].config == by_number[parent].config
        assert {1: 3, 3: 9}[by_number[parent].fidelity] == by_number[number].fidelity
    cost = sum(fidelity - (by_number[parent].fidelity if parent is not None else 0) for _, fidelity, parent in trained)
    assert cost == study.spent <= 60
    assert study.best.fidelity == 9
    assert study.best.config["x0"] == pytest.approx(0.3, abs=0.1)  # the space is 2 wide
    assert len(trained) > 60 / 9 * 2  # without rungs the budget pays for six


def test_finalists_are_looked_at_again_on_fresh_seeds_and_the_lucky_one_loses():
    """One setting was lucky once: its search value is the best, its fresh ones are not."""

    def noisy(config, trial):
        if trial.seed == 0 and config["n"] == 7:
            return -5.0
        return abs(config["n"] - 3) + 0.1 * trial.seed

    study = minimise(noisy, Space({"n": Int(0, 9)}), budget=16, finalists=3, repeats=2, seed=1)
    looks = [(result.config["n"], result.seed) for result in study.results if result.seed]
    assert sorted(looks) == sorted((n, seed) for n in {n for n, _ in looks} for seed in (1, 2))
    assert 7 in {n for n, _ in looks}
    assert study.best.config == {"n": 3}
    assert study.best.value == pytest.approx(0.15)
    assert len({(r.config["n"], r.fidelity, r.seed) for r in study.results}) == len(study.results) == 16


def test_rungs_and_finals_resume_from_the_journal_and_do_not_mind_four_workers(tmp_path):
    settings = {"budget": 40, "rungs": (1, 3), "finalists": 2, "repeats": 2, "seed": 2, "batch": 4}
    whole = minimise(learning_curve, box(2, 1.0), workers=4, **settings)
    assert whole.results == minimise(learning_curve, box(2, 1.0), workers=1, **settings).results

    def dies(config, trial):
        if trial.number >= 11:
            raise KeyboardInterrupt
        return learning_curve(config, trial)

    journal = tmp_path / "j"
    with pytest.raises(KeyboardInterrupt):
        minimise(dies, box(2, 1.0), journal=journal, **settings)
    resumed = minimise(learning_curve, box(2, 1.0), journal=journal, **settings)
    assert [(r.number, r.value) for r in resumed.results] == [(r.number, r.value) for r in whole.results]
    assert resumed.best == whole.best


@pytest.mark.parametrize(
    "unfit",
    [
        {"variant": "moth"},
        {"rungs": (3, 1)},
        {"rungs": ()},
        {"finalists": 40, "repeats": 3},
        {"variant": "paper", "rungs": (1, 3)},
        {"without": ("luck",)},
    ],
    ids=["variant", "falling", "none", "finals", "paper", "part"],
)
def test_settings_that_fit_no_study_are_refused(unfit):
    Dandelion(box(1, 1.0), budget=100)
    with pytest.raises(Unfit):
        Dandelion(box(1, 1.0), budget=100, **unfit)


def test_beyond_many_results_a_forest_takes_over_and_still_beats_chance(monkeypatch):
    monkeypatch.setattr("recommender.screening.FOREST_BEYOND", 12)
    study = minimise(shifted_by(40.0), box(2, 100.0), budget=22, seed=0)
    assert study.best.value < best_of_random(shifted_by(40.0), box(2, 100.0), 22, 0)
    monkeypatch.setattr("recommender.screening.FOREST_BEYOND", 300)
    other = minimise(shifted_by(40.0), box(2, 100.0), budget=22, seed=0)
    assert other.results[:13] == study.results[:13]
    assert other.results[14:] != study.results[14:]


def test_the_process_is_scikit_learns_and_its_gradients_are_right():
    from scipy.optimize import check_grad
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    rng = np.random.default_rng(0)
    x = rng.random((30, 3))
    y = surrogate.warped(((x - 0.6) ** 2).sum(axis=1))
    kernel = surrogate.fit_kernel(x, y)
    ours, asked = surrogate.Process(kernel, x, y), rng.random((20, 3))
    theirs = GaussianProcessRegressor(
        ConstantKernel(kernel.signal) * Matern(kernel.lengths, nu=2.5),
        alpha=kernel.noise + surrogate.JITTER,
        optimizer=None,
    )
    theirs.fit(x, y)
    for mine, other in zip(ours.predict(asked), theirs.predict(asked, return_std=True), strict=True):
        assert mine == pytest.approx(other, abs=1e-6)
    left_out = [
        surrogate.Process(kernel, np.delete(x, i, 0), np.delete(y, i)).predict(x[i : i + 1])[0][0] for i in (0, 9)
    ]
    assert ours.left_out(y)[[0, 9]] == pytest.approx(left_out)
    squares, at = (x[:, None] - x[None]) ** 2, np.log([1.2, 0.4, 0.8, 1.5, 0.02])
    loss = lambda q, i: surrogate._negative_log_posterior(q, squares, y)[i]  # noqa: E731
    assert check_grad(lambda q: loss(q, 0), lambda q: loss(q, 1), at) < 1e-4


def test_log_improvement_is_the_textbook_one_and_finite_far_out():
    mean, sd = np.linspace(-3, 3, 7), np.full(7, 0.4)
    z = (0.1 - mean) / sd
    textbook = (0.1 - mean) * stats.norm.cdf(z) + sd * stats.norm.pdf(z)
    assert surrogate.log_improvement(mean, sd, 0.1) == pytest.approx(np.log(textbook), abs=1e-6)
    far = surrogate.log_improvement(np.array([50.0, 60.0]), np.full(2, 0.4), 0.1)
    assert np.isfinite(far).all()
    assert far[0] > far[1]


def test_under_pure_noise_the_surrogate_is_not_asked_and_nothing_is_favoured():
    """Five runs, 60 evaluations in eight dimensions: a twentieth of all coordinates in the outer twentieth."""
    shares = [np.mean(np.abs(noise.one_run("dandelion", seed)[0] - 0.5) > 0.475) for seed in range(5)]
    assert np.mean(shares) == pytest.approx(0.05, abs=0.025)
    greedy = [np.mean(np.abs(noise.one_run("PSO", seed)[0] - 0.5) > 0.475) for seed in range(5)]
    assert np.mean(greedy) > 0.1


def test_holms_correction_and_the_critical_difference_have_their_published_values():
    assert noise.holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert optimizer.critical_difference(5, 30) == pytest.approx(2.728 * np.sqrt(30 / 180), abs=2e-3)  # Demsar, table 5


@pytest.mark.parametrize("method", ["CMA-ES", "DE", "PSO", "L-SHADE", "GP with L-BFGS EI"])
def test_every_peer_beats_random_search_on_a_sphere_and_keeps_to_its_budget(method):
    sphere = function("sphere", 4, 3)
    found = [peers.run(name, sphere, 4, 120 if "GP" not in name else 40, 1) for name in (method, "random")]
    assert len(found[0].values_) == (40 if "GP" in method else 120)
    assert min(found[0].values_) < min(found[1].values_)
