"""Thousands of simulated trials straight into the analysis of the report, counted against the truth. Pure."""

from dataclasses import asdict, dataclass

import numpy as np

from mhealth.research.analysis.ancova import ancova
from mhealth.research.analysis.effects import wilson
from mhealth.research.simulation import generator
from mhealth.research.simulation.generator import SD_RAW, VISITS, Recipe
from mhealth.trials import randomisation

ALPHA = 0.05
LEVEL = 0.99  # of the intervals that the targets must lie in
OUTCOME, BASELINE = f"dass21_depression at {VISITS[-1]}", "dass21_depression_before"
STRATA = ("site", "severity_group")


@dataclass(frozen=True)
class Tally:
    """Of `n` data sets: rejected at 5 %, interval covered the truth; sums of the estimate and its square."""

    n: int = 0
    rejected: int = 0
    covered: int = 0
    total: float = 0.0
    squares: float = 0.0
    completers: int = 0  # per arm, summed over data sets and arms

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True)))

    @property
    def mean(self) -> float:
        return self.total / self.n

    @property
    def rejected_between(self) -> tuple[float, float]:
        return wilson(self.rejected, self.n, LEVEL)

    @property
    def covered_between(self) -> tuple[float, float]:
        return wilson(self.covered, self.n, LEVEL)


def estimate(recipe: Recipe, seed: int):
    """The primary analysis of one simulated trial."""
    found = generator.people(recipe, seed)
    table = generator.frame(found, recipe, generator.allocated(found, seed))
    return ancova(table, outcome=OUTCOME, baseline=BASELINE, strata=STRATA, reference="control")[0]


def truth(recipe: Recipe) -> float:
    """The effect on the doubled score, before rounding and the ends of the scale take a little of it."""
    return -2 * SD_RAW * recipe.effect


def tally(recipe: Recipe, seeds: range) -> Tally:
    counted, true = Tally(), truth(recipe)
    for seed in seeds:
        effect = estimate(recipe, seed)
        covered = effect.low <= true <= effect.high
        squares, completers = effect.estimate**2, effect.n_arm + effect.n_reference
        counted += Tally(1, int(effect.p < ALPHA), int(covered), effect.estimate, squares, completers)
    return counted


def balance(n_slots: int, seeds: range) -> dict[str, float]:
    """Of as many lists: how far the arms drift apart, whether a place favours an arm, how often a guess is right.

    The guess of the next arm is the one with fewer people so far in the stratum, a coin's where they are equal
    (Blackwell & Hodges 1957, Ann Math Stat 28:449).
    """
    design = randomisation.Design((1, 1), (4, 6), ("all",), n_slots)
    lists = np.array([randomisation.allocation_list(seed, design)["all"] for seed in seeds])
    lead = np.cumsum(np.where(lists == 0, 1, -1), axis=1)
    before = np.hstack([np.zeros((len(lists), 1), int), lead[:, :-1]])
    guess = np.where(before == 0, 0.5, np.where((before > 0) == (lists == 1), 1.0, 0.0))
    share = (lists == 0).mean(axis=0)
    return {
        "lists": len(lists),
        "slots": n_slots,
        "largest_difference": int(abs(lead).max()),
        "mean_final_difference": float(abs(lead[:, -1]).mean()),
        "share_first_arm": float((lists == 0).mean()),
        "largest_z_of_a_place": float(abs(share - 0.5).max() / (0.5 / np.sqrt(len(lists)))),
        "guessed_right": float(guess.mean()),
        "distinct_lists": len({arms.tobytes() for arms in lists}),
    }
