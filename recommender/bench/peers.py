"""Optimizers beside ours, each as `search(f, d, budget, seed)`: it calls f on points of the unit cube, (d,).

`f` raises `Spent` when the budget is used up, which ends any of them. Optuna, CMA-ES come from their own packages
(`pip install .[bench]`); differential evolution from SciPy; the others are written here after their papers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.optimize import differential_evolution
from scipy.stats import qmc

from recommender.dandelion import BudgetSpent, Dandelion
from recommender.space import Float, Space
from recommender.surrogate import Process, climbed, fit_kernel, log_improvement, warped

Objective = Callable[[np.ndarray], float]


class Spent(Exception):
    """All evaluations are used up."""


class Recorder:
    """An objective that keeps what it was asked: points_ and values_."""

    def __init__(self, f: Objective, budget: int) -> None:
        self.f, self.budget = f, budget
        self.points_: list[np.ndarray] = []
        self.values_: list[float] = []

    def __call__(self, x: np.ndarray) -> float:
        if len(self.values_) >= self.budget:
            raise Spent
        self.points_.append(np.clip(np.array(x, dtype=float), 0, 1))
        self.values_.append(float(self.f(self.points_[-1])))
        return self.values_[-1]


def run(method: str, f: Objective, d: int, budget: int, seed: int) -> Recorder:
    """Spend the budget with the named method."""
    recorder = Recorder(f, budget)
    with contextlib.suppress(Spent, BudgetSpent):
        METHODS[method](recorder, d, budget, seed)
    return recorder


def dandelion(f: Objective, d: int, budget: int, seed: int, **settings) -> None:
    study = Dandelion(Space({f"x{i}": Float(0, 1) for i in range(d)}), budget=budget, seed=seed, **settings)
    while True:
        for trial in study.ask(study.population if study.variant == "paper" else 1):
            study.tell(trial.number, f(np.array(list(trial.config.values()))))


def random(f: Objective, d: int, budget: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    while True:
        f(rng.random(d))


def sobol(f: Objective, d: int, budget: int, seed: int) -> None:
    points = qmc.Sobol(d, scramble=True, rng=np.random.default_rng(seed)).random_base2(math.ceil(math.log2(budget)))
    for point in points:
        f(point)


def gp_ei(f: Objective, d: int, budget: int, seed: int, restarts: int = 8) -> None:
    """The same Gaussian process as ours; log EI climbed by L-BFGS from the best of 512 points.

    A quarter of these lie around the best point so far, as is usual: without them it stalls in narrow valleys.
    """
    rng = np.random.default_rng(seed)
    start = qmc.Sobol(d, scramble=True, rng=rng).random_base2(math.ceil(math.log2(2 * d)))
    points, values, kernel = list(start), [f(point) for point in start], None
    while True:
        seen, y = np.array(points), warped(np.array(values))
        if kernel is None or len(y) % 5 == 0:
            kernel = fit_kernel(seen, y)
        process = Process(kernel, seen, y)
        means = process.predict(seen)[0]
        near = np.clip(seen[means.argmin()] + 0.05 * rng.standard_normal((128, d)), 0, 1)
        pool = np.vstack([rng.random((384, d)), near])
        gain = log_improvement(*process.predict(pool), float(means.min()))
        tops = [climbed(process, float(means.min()), x, steps=50) for x in pool[np.argsort(-gain)[:restarts]]]
        points.append(min(tops, key=lambda pair: pair[0])[1])
        values.append(f(points[-1]))


def optuna(f: Objective, d: int, budget: int, seed: int, sampler: str) -> None:
    import warnings

    import optuna as package

    package.logging.set_verbosity(package.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = package.create_study(sampler=getattr(package.samplers, sampler)(seed=seed))
        study.optimize(lambda t: f(np.array([t.suggest_float(f"x{i}", 0, 1) for i in range(d)])), n_trials=budget)


def cma_es(f: Objective, d: int, budget: int, seed: int) -> None:
    """From the middle of the cube with a step of a quarter of its edge; restarted from a random point when it stops."""
    from cmaes import CMA

    rng, mean, bounds = np.random.default_rng(seed), np.full(d, 0.5), np.tile([0.0, 1.0], (d, 1))
    while True:
        optimizer = CMA(mean=mean, sigma=0.25, bounds=bounds, seed=int(rng.integers(2**31)))
        while not optimizer.should_stop():
            asked = [optimizer.ask() for _ in range(optimizer.population_size)]
            optimizer.tell([(x, f(x)) for x in asked])
        mean = rng.random(d)


def differential(f: Objective, d: int, budget: int, seed: int) -> None:
    """SciPy's, with its smallest population of five per coordinate."""
    rng = np.random.default_rng(seed)
    differential_evolution(f, [(0, 1)] * d, popsize=5, maxiter=10_000, polish=False, tol=0, rng=rng)


def particle_swarm(f: Objective, d: int, budget: int, seed: int, n: int = 20) -> None:
    """Global best with constriction (Clerc & Kennedy 2002): chi 0.7298, both pulls 1.49618; walls absorb."""
    rng = np.random.default_rng(seed)
    x, v = rng.random((n, d)), rng.uniform(-0.5, 0.5, (n, d))
    own, own_value = x.copy(), np.array([f(point) for point in x])
    while True:
        leader = own[own_value.argmin()]
        v = 0.7298 * v + 1.49618 * (rng.random((n, d)) * (own - x) + rng.random((n, d)) * (leader - x))
        moved = np.clip(x + v, 0, 1)
        v, x = np.where(moved == x + v, v, 0.0), moved
        for i, point in enumerate(x):
            value = f(point)
            if value < own_value[i]:
                own[i], own_value[i] = point, value


def l_shade(f: Objective, d: int, budget: int, seed: int, memory: int = 6) -> None:
    """Tanabe & Fukunaga (2014): current-to-pbest/1 with an archive, F and CR learnt from success, shrinking numbers.

    The first population is budget / 4 instead of 18 D, at least 10: the paper's would be all of these budgets.
    """
    rng = np.random.default_rng(seed)
    first = max(10, min(18 * d, budget // 4))
    x = rng.random((first, d))
    values, spent = np.array([f(point) for point in x]), first
    archive = np.empty((0, d))
    mean_f, mean_cr, place = np.full(memory, 0.5), np.full(memory, 0.5), 0
    while True:
        n, slot = len(x), rng.integers(memory, size=len(x))
        cr = np.clip(rng.normal(mean_cr[slot], 0.1), 0, 1)
        scale = _cauchy_scales(mean_f[slot], rng)
        best = np.argsort(values)[rng.integers(max(2, round(0.11 * n)), size=n)]
        one = rng.integers(n, size=n)
        pool = np.vstack([x, archive])
        trial = x + scale[:, None] * (x[best] - x + x[one] - pool[rng.integers(len(pool), size=n)])
        trial = np.where(trial < 0, x / 2, np.where(trial > 1, (1 + x) / 2, trial))
        crossed = rng.random((n, d)) < cr[:, None]
        crossed[np.arange(n), rng.integers(d, size=n)] = True
        trial = np.where(crossed, trial, x)
        new = np.array([f(point) for point in trial])
        spent += n
        better = new < values
        if better.any():
            weight = (values - new)[better] / (values - new)[better].sum()
            s, c = scale[better], cr[better]
            mean_f[place] = (weight @ s**2) / (weight @ s)
            mean_cr[place] = (weight @ c**2) / max(weight @ c, 1e-12)
            place = (place + 1) % memory
            archive = rng.permutation(np.vstack([archive, x[better]]))[: round(2.6 * n)]
        x, values = np.where(better[:, None], trial, x), np.where(better, new, values)
        kept = np.argsort(values)[: max(4, round(first + (4 - first) * min(spent / budget, 1.0)))]
        x, values = x[kept], values[kept]


def _cauchy_scales(middle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scale = middle + 0.1 * rng.standard_cauchy(len(middle))
    while (scale <= 0).any():
        scale = np.where(scale <= 0, middle + 0.1 * rng.standard_cauchy(len(middle)), scale)
    return np.minimum(scale, 1.0)


METHODS: dict[str, Callable[..., None]] = {
    "dandelion": dandelion,
    "dandelion, no surrogate": partial(dandelion, without=("surrogate",)),
    "dandelion, no moves": partial(dandelion, without=("moves",)),
    "dandelion, no landing": partial(dandelion, without=("landing",)),
    "dandelion (paper)": partial(dandelion, variant="paper"),
    "GP with L-BFGS EI": gp_ei,
    "Optuna TPE": partial(optuna, sampler="TPESampler"),
    "Optuna GP": partial(optuna, sampler="GPSampler"),
    "CMA-ES": cma_es,
    "DE": differential,
    "PSO": particle_swarm,
    "L-SHADE": l_shade,
    "Sobol": sobol,
    "random": random,
}
