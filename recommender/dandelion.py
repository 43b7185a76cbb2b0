"""The dandelion optimizer as an ask/tell object: smaller values are better.

`variant="paper"` follows Zhao, Zhang, Ma & Chen (2022), "Dandelion Optimizer: a nature-inspired metaheuristic
algorithm for engineering applications", Eng. Appl. of AI 114:105075. Public implementations disagree in seven
places. Our reading:

    q (rainy day)      1 + ((t - 1)/(T - 1))^2
    lnY                the density of lognormal(0, 1) at y ~ N(0, 1), 0 for y < 0; not its logarithm
    theta, y           once per seed, not per coordinate
    weather, alpha     once per seed, not per iteration
    levy               Mantegna's steps times s = 0.01, as printed
    selection          every seed is replaced; the elite is kept apart
    clipping           to the box after each of the three stages

It searches the native box and depends on where zero lies in it; `variant="efficient"` (the default) does not.
That one keeps the three stages as generators of candidates in the unit cube and lets a Gaussian process choose
among them by expected improvement.

Every evaluation is complete and counts once: there are no rungs of growing fidelity, and no second look at finalists.

Both are functions of (seed, number of the ask, results told so far): a study resumed from its journal asks what the
uninterrupted one would have asked, and in batches it does not matter how many workers evaluate them.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr
from scipy.stats import qmc

from recommender.space import InvalidSpace, Space, key

JOURNAL_FORMAT = 1
REFIT_EVERY = 5  # results between two fits of the kernel
FOREST_BEYOND = 300  # results; a Gaussian process costs their cube
POOL = 512  # candidates screened per ask


class SpaceExhausted(Exception):
    """Every configuration of a finite space has been asked."""


class BudgetSpent(Exception):
    """As many configurations were asked as the study may evaluate."""


class AwaitingResults(Exception):
    """The next generation needs results that have not been told yet."""


class JournalMismatch(ValueError):
    """The journal belongs to a study with other settings, or cannot be read."""


@dataclass(frozen=True)
class Trial:
    """One configuration to evaluate; number counts from 0."""

    number: int
    config: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """A trial that was told; value is None when the evaluation failed."""

    number: int
    config: dict[str, Any]
    value: float | None


class Dandelion:
    """Ask for configurations, tell their values.

    budget: evaluations in all; the search narrows as it is spent.
    population: seeds N of `paper`, whose generations T = budget / N.
    warm_start: configurations and values of earlier studies; the best are asked first, in place of random ones.
    journal: a file of JSON lines that the study appends to and resumes from.
    """

    def __init__(
        self,
        space: Space,
        *,
        variant: str = "efficient",
        budget: int = 100,
        seed: int = 0,
        population: int = 10,
        warm_start: Sequence[tuple[Mapping[str, Any], float]] = (),
        journal: str | Path | None = None,
    ) -> None:
        if variant not in ("efficient", "paper"):
            raise ValueError(f"variant must be efficient or paper, got {variant!r}")
        if budget < 1 or population < 2:
            raise ValueError("budget must be at least 1 and population at least 2")
        self.space, self.variant, self.budget, self.seed = space, variant, budget, seed
        self.population = min(population, budget)
        self.warm_start = [(dict(config), float(value)) for config, value in warm_start]
        self.results: list[Result] = []
        self._asked: dict[int, Trial] = {}
        self._pending: dict[int, Trial] = {}
        self._reissue: list[Trial] = []
        self._seen: set[str] = set()
        self._start = _start_points(space, budget, seed, self.warm_start)
        self._generation: list[np.ndarray] = []
        self._kernel: tuple[int, Any] = (0, None)
        self._journal = Path(journal) if journal else None
        if self._journal:
            self._open_journal()

    @property
    def best(self) -> Result | None:
        """The best result so far, the earliest of equals."""
        told = [result for result in self.results if result.value is not None]
        return min(told, key=_value_of, default=None)

    def ask(self, n: int = 1) -> list[Trial]:
        """Return up to n trials; fewer at the end of the budget, of the space or of a generation.

        Trials that a resumed study had asked but never heard of come first.
        Raises BudgetSpent, SpaceExhausted or AwaitingResults when there is none.
        """
        trials, self._reissue = self._reissue[:n], self._reissue[n:]
        while len(trials) < n:
            try:
                trials.append(self._ask_new())
            except (BudgetSpent, SpaceExhausted, AwaitingResults):
                if not trials:
                    raise
                break
        return trials

    def tell(self, number: int, value: float | None) -> None:
        """Record the value of a trial; None or a number that is not finite says that it failed."""
        if number not in self._pending:
            raise ValueError(f"trial {number} was not asked or has been told already")
        value = float(value) if value is not None and math.isfinite(value) else None
        self._record_tell(number, value)
        self._write({"tell": number, "value": value})

    def _ask_new(self) -> Trial:
        if len(self._asked) >= self.budget:
            raise BudgetSpent(f"all {self.budget} evaluations were asked")
        number = len(self._asked)
        config = self._paper_config(number) if self.variant == "paper" else self._efficient_config(number)
        trial = Trial(number, config)
        self._record_ask(trial)
        self._write({"ask": number, "config": config})
        return trial

    def _record_ask(self, trial: Trial) -> None:
        self._asked[trial.number] = self._pending[trial.number] = trial
        self._seen.add(key(trial.config))

    def _record_tell(self, number: int, value: float | None) -> None:
        self.results.append(Result(number, self._pending.pop(number).config, value))

    def _efficient_config(self, number: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, number])
        told = [result for result in self.results if result.value is not None]
        if number < len(self._start) or len(told) < 2:
            candidates = np.vstack([*self._start[number : number + 1], rng.random((POOL, self.space.dimension))])
        else:
            candidates = self._screened(told, number, rng)
        for candidate in candidates:
            config = self.space.decode(candidate)
            if key(config) not in self._seen:
                return config
        return self._any_unseen()

    def _any_unseen(self) -> dict[str, Any]:
        if self.space.finite:
            for config in self.space.all_configurations():
                if key(config) not in self._seen:
                    return config
        raise SpaceExhausted("every configuration of the space was asked")

    def _screened(self, told: list[Result], number: int, rng: np.random.Generator) -> np.ndarray:
        """Return candidates by falling expected improvement, (POOL, D)."""
        points = np.array([self.space.encode(result.config) for result in told])
        values = np.array([result.value for result in told], dtype=float)
        pool = candidates_of(points, values, 1 - number / self.budget, rng)
        canonical = self.space.canonical(pool)
        gain = self._improvement(points, warped(values), canonical)
        return canonical[np.argsort(-gain, kind="stable")]

    def _improvement(self, points: np.ndarray, y: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Expected improvement of each candidate, (POOL,), pending trials counted as no better than the best."""
        pending = [self.space.encode(trial.config) for trial in self._pending.values()]
        if pending:  # constant liar (Ginsbourger, Le Riche & Carraro 2010)
            points = np.vstack([points, pending])
            y = np.concatenate([y, np.full(len(pending), y.min())])
        if len(y) > FOREST_BEYOND:
            mean, sd = _forest(points, y, candidates, self.seed)
        else:
            mean, sd = _gaussian_process(self._fitted_kernel(), points, y, candidates)
        z = (y.min() - mean) / sd
        return (y.min() - mean) * ndtr(z) + sd * np.exp(-z * z / 2) / math.sqrt(math.tau)

    def _fitted_kernel(self) -> Any:
        """The kernel fitted to the first m results, m the last multiple of REFIT_EVERY: the same after a resume."""
        m = max(len(self.results) // REFIT_EVERY * REFIT_EVERY, 2)
        if self._kernel[0] != m:
            told = [result for result in self.results[:m] if result.value is not None]
            points = np.array([self.space.encode(result.config) for result in told]).reshape(-1, self.space.dimension)
            values = np.array([result.value for result in told], dtype=float)
            self._kernel = m, _fit_kernel(points, warped(values), self.space.dimension)
        return self._kernel[1]

    def _paper_config(self, number: int) -> dict[str, Any]:
        generation, place = divmod(number, self.population)
        while len(self._generation) <= generation:
            self._generation.append(self._next_generation(len(self._generation)))
        return self.space.decode(self.space.from_native(self._generation[generation][place]))

    def _next_generation(self, t: int) -> np.ndarray:
        """Native positions of generation t (from 0), (N, D); needs every result of those before it."""
        rng = np.random.default_rng([self.seed, t])
        low, high, n = self.space.low, self.space.high, self.population
        if t == 0:
            return low + rng.random((n, self.space.dimension)) * (high - low)
        if len(self.results) < t * n:
            raise AwaitingResults(f"generation {t + 1} needs all results of generation {t}")
        told = [result for result in self.results if result.number < t * n and result.value is not None]
        elite = self._generation[0][0]
        if told:
            best = min(told, key=lambda result: (_value_of(result), result.number)).number
            elite = self._generation[best // n][best % n]
        generations = max(math.ceil(self.budget / n), 2)
        return paper_iteration(self._generation[t - 1], elite, t + 1, generations, low, high, rng)

    def _header(self) -> dict[str, Any]:
        return {
            "journal": JOURNAL_FORMAT,
            "space": self.space.to_dict(),
            "variant": self.variant,
            "budget": self.budget,
            "seed": self.seed,
            "population": self.population,
            "warm_start": json.loads(json.dumps(self.warm_start)),
        }

    def _open_journal(self) -> None:
        assert self._journal
        if not self._journal.exists() or self._journal.stat().st_size == 0:
            self._write(self._header())
            return
        try:
            text = self._journal.read_text()
            complete = text[: text.rfind("\n") + 1]  # a crash may have cut the last line
            lines = [json.loads(line) for line in complete.splitlines()]
            if not lines or lines[0] != self._header():
                raise JournalMismatch(f"{self._journal} belongs to a study with other settings")
            for line in lines[1:]:
                if "ask" in line:
                    self._record_ask(Trial(line["ask"], line["config"]))
                else:
                    self._record_tell(line["tell"], line["value"])
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise JournalMismatch(f"{self._journal} is not a journal: {error}") from error
        if complete != text:
            self._journal.write_text(complete)
        self._reissue = list(self._pending.values())

    def _write(self, line: dict[str, Any]) -> None:
        if self._journal:
            with self._journal.open("a") as file:
                file.write(json.dumps(line) + "\n")


def _value_of(result: Result) -> float:
    return math.inf if result.value is None else result.value


def paper_iteration(
    x: np.ndarray,
    elite: np.ndarray,
    t: int,
    generations: int,
    low: np.ndarray,
    high: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """One iteration of the published optimizer: rise, descend, land.

    x: (N, D) seeds in the box [low, high].   elite: (D,) best so far.   t: 1 to `generations`.   Returns (N, D).
    """
    n, d = x.shape
    alpha = rng.random((n, 1)) * (t / generations - 1) ** 2  # eq. 8
    theta = rng.uniform(-np.pi, np.pi, (n, 1))
    radius = np.exp(-theta)
    vx, vy = radius * np.cos(theta), radius * np.sin(theta)  # eq. 9
    y = rng.standard_normal((n, 1))
    seeds = low + rng.random((n, d)) * (high - low)
    clear = x + alpha * vx * vy * _lognormal_density(y) * (seeds - x)  # eq. 5
    q = 1 + ((t - 1) / (generations - 1)) ** 2  # eq. 11, our reading
    rainy = x * (1 - rng.random((n, 1)) * q)  # eq. 10
    x = np.clip(np.where(rng.standard_normal((n, 1)) < 1.5, clear, rainy), low, high)
    brownian = rng.standard_normal((n, d))
    x = np.clip(x - alpha * brownian * (x.mean(axis=0) - alpha * brownian * x), low, high)  # eq. 13
    delta = 2 * t / generations
    x = elite + 0.01 * mantegna((n, d), rng) * alpha * (elite - x * delta)  # eq. 15
    return np.clip(x, low, high)


def mantegna(shape: tuple[int, ...], rng: np.random.Generator, beta: float = 1.5) -> np.ndarray:
    """Levy-stable steps by the algorithm of Mantegna (1994)."""
    top = math.gamma(1 + beta) * math.sin(math.pi * beta / 2)
    sigma = (top / (math.gamma((1 + beta) / 2) * beta * 2 ** ((beta - 1) / 2))) ** (1 / beta)
    return rng.normal(0, sigma, shape) / np.abs(rng.standard_normal(shape)) ** (1 / beta)


def candidates_of(points: np.ndarray, values: np.ndarray, left: float, rng: np.random.Generator) -> np.ndarray:
    """Return candidates made by the three moves, a quarter of them fresh, (POOL, D) in the unit cube.

    points: (n, D) evaluated, values: (n,).   left: share of the budget still unspent, in [0, 1].
    Every move is a step between or around points: shifting the objective shifts the candidates with it.
    """
    n, d = POOL // 4, points.shape[1]
    order = np.argsort(values, kind="stable")
    elites = points[order[: max(3, math.ceil(len(order) / 5))]]
    parents = elites[rng.integers(len(elites), size=n)]
    step = rng.lognormal(-1.0, 1.0, (n, 1)) * (rng.random((n, d)) < 0.5)
    rise = parents + step * (rng.random((n, d)) - parents)
    spread = np.maximum(elites.std(axis=0), 0.01)
    descend = elites[rng.integers(len(elites), size=n)] + rng.standard_normal((n, d)) * spread
    sparse = rng.random((n, d)) < max(2 / d, 0.3)
    reach = 0.002 + 0.1 * left**2 * rng.random((n, 1))
    land = points[order[0]] + reach * mantegna((n, d), rng) * sparse
    return reflected(np.vstack([rise, descend, land, rng.random((n, d))]))


def reflected(points: np.ndarray) -> np.ndarray:
    """Fold any real coordinates back into [0, 1] at its bounds."""
    folded = np.abs(points) % 2
    return np.where(folded > 1, 2 - folded, folded)


def warped(values: np.ndarray) -> np.ndarray:
    """Return targets with mean 0 and variance 1: the logarithm of the distance to just below the best.

    What matters is telling good from very good; the few enormous values of a bad corner must not set the scale.
    """
    values = np.asarray(values, dtype=float)
    spread = np.median(values) - values.min()
    y = np.log(values - values.min() + (0.1 * spread if spread > 0 else 1.0))
    deviation = y.std()
    return (y - y.mean()) / (deviation if deviation > 0 else 1.0)


def _start_points(space: Space, budget: int, seed: int, warm_start) -> list[np.ndarray]:
    """The best of earlier studies, then scrambled Sobol points; at most a quarter of the budget."""
    count = max(min(2 * space.dimension, budget // 4), 4)
    earlier = []
    for config, _ in sorted(warm_start, key=lambda pair: pair[1]):
        try:
            earlier.append(space.encode(config))
        except InvalidSpace:  # the space has changed since: that configuration exists no more
            continue
    earlier = earlier[: count // 2]
    sobol = qmc.Sobol(space.dimension, scramble=True, rng=np.random.default_rng(seed))
    fresh = sobol.random_base2(math.ceil(math.log2(count)))[: count - len(earlier)]
    return [*earlier, *fresh]


def _lognormal_density(y: np.ndarray) -> np.ndarray:
    safe = np.where(y > 0, y, 1.0)
    return np.where(y > 0, np.exp(-(np.log(safe) ** 2) / 2) / (safe * math.sqrt(math.tau)), 0.0)  # eq. 7


def _fit_kernel(points: np.ndarray, y: np.ndarray, dimension: int) -> Any:
    """Matern 5/2 with a length per coordinate and noise, by maximal marginal likelihood."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    lengths = np.full(dimension, 0.5)
    kernel = ConstantKernel(1.0, (0.05, 20)) * Matern(lengths, (0.05, 10), nu=2.5) + WhiteKernel(1e-3, (1e-6, 0.3))
    if len(y) < 3:
        return kernel
    with warnings.catch_warnings():  # a length at its bound is an answer, not a failure
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianProcessRegressor(kernel, n_restarts_optimizer=0, random_state=0).fit(points, y).kernel_


def _gaussian_process(kernel: Any, points, y, candidates) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.gaussian_process import GaussianProcessRegressor

    model = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-8).fit(points, y)
    with warnings.catch_warnings():  # "predicted variances smaller than 0": at points already evaluated
        warnings.simplefilter("ignore", UserWarning)
        mean, sd = model.predict(candidates, return_std=True)
    return mean, np.maximum(sd, 1e-9)


def _forest(points, y, candidates, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(100, min_samples_leaf=2, random_state=seed, n_jobs=1).fit(points, y)
    trees = np.array([tree.predict(candidates) for tree in model.estimators_])
    return trees.mean(axis=0), np.maximum(trees.std(axis=0), 1e-6)
