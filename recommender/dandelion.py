"""The dandelion optimizer as an ask/tell object: smaller values are better; it never calls the objective.

`variant="paper"` is the published metaheuristic (`recommender.paper`). `variant="efficient"` (the default) keeps its
three stages as generators of candidates in the unit cube (`recommender.moves`) and lets a Gaussian process choose
among them by expected improvement (`recommender.surrogate`). It can look at many candidates cheaply and continue
the good ones (`rungs`, asynchronous successive halving, Li et al. 2020), and look again at the finalists.

Everything asked is a function of (settings, number of the ask, results told so far): a study resumed from its journal
asks what the uninterrupted one would have asked, and in batches it does not matter how many workers evaluate them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender import paper
from recommender.journal import Journal, JournalMismatch
from recommender.landing import landed
from recommender.moves import POOL, candidates
from recommender.screening import Screen, screen
from recommender.space import InvalidSpace, Space, key
from recommender.surrogate import Kernel, fit_kernel, warped

JOURNAL_FORMAT = 3
REFIT_EVERY = 5  # results between two fits of the kernel, while there are few
LAND_FROM = 4  # results per coordinate
PARTS = ("surrogate", "moves", "landing")  # what an ablation can take away


class SpaceExhausted(Exception):
    """Every configuration of a finite space has been asked."""


class BudgetSpent(Exception):
    """What is left of the budget pays for no further trial."""


class AwaitingResults(Exception):
    """The next trial depends on results that have not been told yet."""


class Unfit(ValueError):
    """The settings fit no study; the message says which."""


@dataclass(frozen=True)
class Trial:
    """One evaluation to make; number counts from 0.

    fidelity: how far to go, in the units of `rungs` (1 without rungs).   seed: 0 in the search, 1, 2, … when a
    finalist is looked at again.   continues: number of the trial whose checkpoint this one goes on from.
    """

    number: int
    config: dict[str, Any]
    fidelity: float = 1.0
    seed: int = 0
    continues: int | None = None


@dataclass(frozen=True)
class Result:
    """A trial that was told; value is None when the evaluation failed."""

    number: int
    config: dict[str, Any]
    value: float | None
    fidelity: float = 1.0
    seed: int = 0


class Dandelion:
    """Ask for trials, tell their values.

    budget: evaluations in all; with rungs, in their units (epochs, say): continuing costs only what is added.
    population: seeds N of `paper`, whose generations T = budget / N.
    rungs: rising fidelities; of each, the best in `eta` go on to the next.
    finalists, repeats: how many of the best are evaluated again, on how many fresh seeds each.
    warm_start: configurations and values of earlier studies; the best are asked first, in place of random ones.
    without: parts of `efficient` to leave out, for ablations (`PARTS`).
    journal: a file of JSON lines that the study appends to and resumes from.
    """

    def __init__(
        self,
        space: Space,
        *,
        variant: str = "efficient",
        budget: float = 100,
        seed: int = 0,
        population: int = 10,
        rungs: Sequence[float] = (1.0,),
        eta: float = 3.0,
        finalists: int = 0,
        repeats: int = 3,
        warm_start: Sequence[tuple[Mapping[str, Any], float]] = (),
        without: Collection[str] = (),
        journal: str | Path | None = None,
    ) -> None:
        self.space, self.variant, self.budget, self.seed = space, variant, budget, seed
        self.population, self.rungs, self.eta = int(min(population, budget)), tuple(map(float, rungs)), eta
        self.finalists, self.repeats, self.without = finalists, repeats, frozenset(without)
        self.warm_start = [(dict(config), float(value)) for config, value in warm_start]
        _check(self, population)
        self.results: list[Result] = []
        self._asked: dict[int, Trial] = {}
        self._pending: dict[int, Trial] = {}
        self._reissue: list[Trial] = []
        self._seen: set[str] = set()
        self._units: dict[int, np.ndarray] = {}  # trial: its point in the cube
        self._spent = 0.0
        self._start = _start_points(space, self._search_budget / self.rungs[0], seed, self.warm_start)
        self._generation: list[np.ndarray] = []
        self._kernel: tuple[int, Kernel | None] = (0, None)
        self._journal = Journal(journal) if journal else None
        if self._journal:
            self._replay(self._journal.open(self._header()))

    @property
    def best(self) -> Result | None:
        """The finalist with the best lower confidence bound of quality; before finals, the best of the highest rung.

        A finalist's value is the mean over its fresh seeds: the one it was chosen for flatters it.
        """
        return self._best_finalist() or min(self._of_highest_rung(), key=_value_of, default=None)

    @property
    def spent(self) -> float:
        """Cost of everything asked so far, in units of the budget."""
        return self._spent

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

    @property
    def _search_budget(self) -> float:
        """What is left for the search once the finals are paid for."""
        return self.budget - self.finalists * self.repeats * self.rungs[-1]

    def _cost(self, trial: Trial) -> float:
        return trial.fidelity - (self._asked[trial.continues].fidelity if trial.continues is not None else 0.0)

    def _ask_new(self) -> Trial:
        trial = self._search_trial() or self._final_trial()
        self._record_ask(trial)
        self._write({"ask": trial.number, **{k: v for k, v in vars(trial).items() if k != "number"}})
        return trial

    def _search_trial(self) -> Trial | None:
        """A promotion where one is due, a new configuration otherwise; None once the search budget is spent."""
        number, left = len(self._asked), self._search_budget - self.spent + 1e-9
        if promoted := self._promotion(number, left):
            return promoted
        if left < self.rungs[0]:
            return None
        try:
            config = self._paper_config(number) if self.variant == "paper" else self._efficient_config(number)
        except SpaceExhausted:
            if self.finalists:
                return None
            raise
        return Trial(number, config, self.rungs[0])

    def _promotion(self, number: int, left: float) -> Trial | None:
        """Continue the best of the highest rung that has one to spare (Li et al. 2020, algorithm 2)."""
        continued = {trial.continues for trial in self._asked.values()}
        for low, high in reversed(list(zip(self.rungs, self.rungs[1:], strict=False))):
            told = sorted((r for r in self.results if r.fidelity == low and r.seed == 0), key=_value_then_number)
            for result in told[: int(len(told) / self.eta)]:
                if result.number not in continued and result.value is not None and high - low <= left:
                    return Trial(number, result.config, high, 0, result.number)
        return None

    def _final_trial(self) -> Trial:
        """The next look at a finalist; who they are is settled once the whole search has been told."""
        if not self.finalists:
            raise BudgetSpent(f"the budget of {self.budget:g} is spent")
        if any(trial.seed == 0 for trial in self._pending.values()):
            raise AwaitingResults("the finals need all results of the search")
        if not self.results and not self._asked:
            raise BudgetSpent("the finals take the whole budget")
        chosen = sorted(self._of_highest_rung(), key=_value_then_number)[: self.finalists]
        for seed in range(1, self.repeats + 1):
            for result in chosen:
                if _identity(result.config, self.rungs[-1], seed) not in self._seen:
                    return Trial(len(self._asked), result.config, self.rungs[-1], seed)
        raise BudgetSpent("every finalist was looked at again")

    def _of_highest_rung(self) -> list[Result]:
        """Search results of the highest fidelity that has any."""
        told = [result for result in self.results if result.value is not None and result.seed == 0]
        top = max((result.fidelity for result in told), default=0.0)
        return [result for result in told if result.fidelity == top]

    def _best_finalist(self) -> Result | None:
        """Smallest mean + standard error over fresh seeds, the spread pooled over the finalists."""
        looks: dict[str, list[Result]] = {}
        for result in self.results:
            if result.seed and result.value is not None:
                looks.setdefault(key(result.config), []).append(result)
        if not looks:
            return None
        values = {name: np.array([look.value for look in seen], dtype=float) for name, seen in looks.items()}
        spread = math.sqrt(np.mean([v.var(ddof=1) for v in values.values() if len(v) > 1] or [0.0]))
        best = min(values, key=lambda name: values[name].mean() + spread / math.sqrt(len(values[name])))
        first = looks[best][0]
        return Result(first.number, first.config, float(values[best].mean()), first.fidelity, first.seed)

    def _record_ask(self, trial: Trial) -> None:
        self._spent += self._cost(trial)
        self._asked[trial.number] = self._pending[trial.number] = trial
        self._units[trial.number] = self.space.encode(trial.config)
        self._seen.add(_identity(trial.config, trial.fidelity, trial.seed))

    def _record_tell(self, number: int, value: float | None) -> None:
        trial = self._pending.pop(number)
        self.results.append(Result(number, trial.config, value, trial.fidelity, trial.seed))

    def _efficient_config(self, number: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, number])
        told = [result for result in self.results if result.value is not None]
        started = sum(trial.continues is None for trial in self._asked.values())
        if started < len(self._start) or len(told) < 2:
            proposed = np.vstack([*self._start[started : started + 1], rng.random((POOL, self.space.dimension))])
        else:
            proposed = self._screened(told, rng)
        for point in proposed:
            config = self.space.decode(point)
            if _identity(config, self.rungs[0], 0) not in self._seen:
                return config
        return self._any_unseen()

    def _any_unseen(self) -> dict[str, Any]:
        if self.space.finite:
            for config in self.space.all_configurations():
                if _identity(config, self.rungs[0], 0) not in self._seen:
                    return config
        raise SpaceExhausted("every configuration of the space was asked")

    def _screened(self, told: list[Result], rng: np.random.Generator) -> np.ndarray:
        """Return candidates in the order to try them, (m, D).

        By falling expected improvement where the surrogate foresees results better than chance; at random otherwise:
        it would prefer the far corners, of which it knows least, and find out nothing.
        """
        seen, values = self._with_pending(told)
        points, d = seen[:, : self.space.dimension], self.space.dimension
        belief = None if "surrogate" in self.without else screen(seen, values, d, self._fitted_kernel(), self.seed)
        standing = belief.means if belief else values
        if belief and belief.smooth and self._lands(len(points)):
            near = landed(points, values, int(standing.argmin()), rng)
            if near is not None:
                return np.vstack([near, rng.random((POOL, d))])
        pool = rng.random((POOL, d))
        if "moves" not in self.without:
            left = 1 - self.spent / self._search_budget
            pool = candidates(points, np.argsort(standing, kind="stable"), left, rng)
        return self._ordered(pool, belief) if belief else rng.permutation(pool)

    def _lands(self, n: int) -> bool:
        """Every second ask, once the best has neighbours; not with rungs, whose values are not alike."""
        ready = len(self.rungs) == 1 and n >= LAND_FROM * self.space.dimension
        return ready and len(self._asked) % 2 == 1 and "landing" not in self.without

    def _ordered(self, pool: np.ndarray, belief: Screen) -> np.ndarray:
        """By falling expected improvement."""
        pool = self.space.canonical(pool)
        return pool[np.argsort(-belief.gain(pool), kind="stable")]

    def _with_pending(self, told: list[Result]) -> tuple[np.ndarray, np.ndarray]:
        """Points and values; pending trials count as the best so far (constant liar: Ginsbourger et al. 2010)."""
        pending = list(self._pending.values())
        values = [result.value for result in told if result.value is not None]
        values += [min(values)] * len(pending)
        return self._encoded([*told, *pending]), np.array(values, dtype=float)

    def _encoded(self, trials: Sequence[Trial | Result]) -> np.ndarray:
        """Points in the cube, (n, D); with rungs, (n, D + 1) with the logarithm of the fidelity in [0, 1]."""
        points = np.array([self._units[trial.number] for trial in trials]).reshape(-1, self.space.dimension)
        if len(self.rungs) == 1:
            return points
        low, high = math.log(self.rungs[0]), math.log(self.rungs[-1])
        level = [(math.log(trial.fidelity) - low) / (high - low) for trial in trials]
        return np.column_stack([points, level])

    def _fitted_kernel(self) -> Kernel:
        """The kernel fitted to the first m results, m a function of their number: the same after a resume.

        Refitted every 5 results at first, every fifth of their number later: a fit costs its cube.
        """
        every = REFIT_EVERY * max(len(self.results) // 25, 1)
        m = max(len(self.results) // every * every, 2)
        if self._kernel[0] != m or self._kernel[1] is None:
            told = [result for result in self.results[:m] if result.value is not None]
            y = np.array([result.value for result in told], dtype=float)
            self._kernel = m, fit_kernel(self._encoded(told), warped(y) if len(y) else y)
        assert self._kernel[1] is not None
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
            best = min(told, key=_value_then_number).number
            elite = self._generation[best // n][best % n]
        generations = max(math.ceil(self.budget / n), 2)
        return paper.iteration(self._generation[t - 1], elite, t + 1, generations, low, high, rng)

    def _header(self) -> dict[str, Any]:
        plain = ("variant", "budget", "seed", "population", "rungs", "eta", "finalists", "repeats", "warm_start")
        settings = {name: getattr(self, name) for name in plain}
        return {
            "journal": JOURNAL_FORMAT,
            "space": self.space.to_dict(),
            **settings,
            "without": sorted(self.without),
        }

    def _replay(self, lines: list[dict[str, Any]]) -> None:
        try:
            for line in lines:
                if "ask" in line:
                    fields = {name: line[name] for name in ("config", "fidelity", "seed", "continues")}
                    self._record_ask(Trial(line["ask"], **fields))
                else:
                    self._record_tell(line["tell"], line["value"])
        except (KeyError, TypeError) as error:
            raise JournalMismatch(f"the journal cannot be read: {error}") from error
        self._reissue = list(self._pending.values())

    def _write(self, line: dict[str, Any]) -> None:
        if self._journal:
            self._journal.write(line)


def _check(study: Dandelion, population: int) -> None:
    """Raise Unfit for settings that fit no study."""
    if study.variant not in ("efficient", "paper"):
        raise Unfit(f"variant must be efficient or paper, got {study.variant!r}")
    if study.budget < 1 or population < 2:
        raise Unfit("budget must be at least 1 and population at least 2")
    rising = all(a < b for a, b in zip(study.rungs, study.rungs[1:], strict=False))
    if not study.rungs or not rising or study.rungs[0] <= 0 or not study.eta > 1:
        raise Unfit("rungs must be positive and rise, and eta must be more than 1")
    if study.variant == "paper" and (len(study.rungs) > 1 or study.finalists or study.without):
        raise Unfit("the published optimizer has no rungs, finalists or parts to leave out")
    if study.finalists < 0 or study.repeats < 1 or study._search_budget < study.rungs[0]:
        raise Unfit("the budget must pay for the finals and for at least one trial before them")
    if unknown := study.without - set(PARTS):
        raise Unfit(f"no part of the optimizer: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")


def _identity(config: Mapping[str, Any], fidelity: float, seed: int) -> str:
    return f"{fidelity:g}/{seed}/{key(config)}"


def _value_of(result: Result) -> float:
    return math.inf if result.value is None else result.value


def _value_then_number(result: Result) -> tuple[float, int]:
    return _value_of(result), result.number


def _start_points(space: Space, trials: float, seed: int, warm_start) -> list[np.ndarray]:
    """The best of earlier studies, then random points; at most a quarter of the trials."""
    count = max(min(space.dimension + 2, int(trials) // 4), 4)
    earlier = []
    for config, _ in sorted(warm_start, key=lambda pair: pair[1]):
        try:
            earlier.append(space.encode(config))
        except InvalidSpace:  # the space has changed since: that configuration exists no more
            continue
    earlier, rng = earlier[: count // 2], np.random.default_rng(seed)
    return [*earlier, *rng.random((count - len(earlier), space.dimension))]
