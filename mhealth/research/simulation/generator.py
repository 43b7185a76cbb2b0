"""Simulated people with DASS-21 answers at baseline and two follow-ups. Pure: no Django.

Latent scores are normal with compound symmetry over time (correlation `correlation` between any two occasions) and a
correlation of .6 between scales. Raw sums are 10.5 + 3.5 z, rounded and kept within 0 to 21; the treated arm is
`effect` SD lower at the last follow-up and half of that at the first. Who drops out is by chance (MCAR).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mhealth.trials import randomisation

SCALES = ("depression", "anxiety", "stress")
VISITS = ("week 4", "week 8")
SITES = ("north", "south")
MEAN_RAW, SD_RAW, MAX_RAW = 10.5, 3.5, 21
BETWEEN_SCALES = 0.6
SEVERITY_CUT = 21  # doubled depression score: the middle
TREATED, CONTROL = 0, 1  # places of the arms in a trial
TREATED_SHARE = (0.0, 0.5, 1.0)  # of the effect, by occasion


@dataclass(frozen=True)
class Recipe:
    """people: randomised; effect: Cohen's d on the SD of the outcome, above 0 helps; attrition: share of each arm."""

    people: int
    effect: float
    attrition: float
    correlation: float = 0.5


@dataclass(frozen=True)
class People:
    """latent: (n, 3 occasions, 3 scales), untreated, in SD; sites: (n,); stays: (n,) rank, the lowest leave first."""

    latent: np.ndarray
    sites: np.ndarray
    stays: np.ndarray

    @property
    def baseline(self) -> np.ndarray:
        """Raw sums before anybody is treated, (n, 3 scales)."""
        return _raw(self.latent[:, 0])

    @property
    def severity(self) -> np.ndarray:
        """Group of each person by the doubled baseline depression, as the trial's strata name it."""
        return np.array([randomisation.severity_group(2 * raw, [SEVERITY_CUT]) for raw in self.baseline[:, 0]])

    def raw(self, arms: np.ndarray, effect: float) -> np.ndarray:
        """Raw sums under these arms, (n, 3 occasions, 3 scales)."""
        treated = (np.asarray(arms) == TREATED)[:, None, None]
        return _raw(self.latent - effect * treated * np.array(TREATED_SHARE)[None, :, None])

    def leaving(self, arms: np.ndarray, attrition: float) -> np.ndarray:
        """The visit from which on nothing comes, (n,): 1 or 2, and 3 for people who stay to the end.

        The same number leaves each arm, up to rounding; every other of them before the first visit.
        """
        leaves = np.full(len(arms), 3)
        for arm in np.unique(arms):
            own = np.flatnonzero(arms == arm)
            gone = own[np.argsort(self.stays[own])][: round(attrition * len(own))]
            leaves[gone[::2]], leaves[gone[1::2]] = 1, 2
        return leaves


def people(recipe: Recipe, seed: int) -> People:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    n = recipe.people
    own = _correlated(rng, (n, 1))
    passing = _correlated(rng, (n, 1 + len(VISITS)))
    latent = np.sqrt(recipe.correlation) * own + np.sqrt(1 - recipe.correlation) * passing
    return People(latent, rng.choice(SITES, n), rng.permutation(n))


def _correlated(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Standard normal, (*shape, scales), correlated over the scales."""
    shared, single = rng.standard_normal((*shape, 1)), rng.standard_normal((*shape, len(SCALES)))
    return np.sqrt(BETWEEN_SCALES) * shared + np.sqrt(1 - BETWEEN_SCALES) * single


def _raw(z: np.ndarray) -> np.ndarray:
    return np.rint(MEAN_RAW + SD_RAW * z).clip(0, MAX_RAW).astype(int)


def answers(raw: np.ndarray, items: dict[str, tuple[int, ...]], rng: np.random.Generator) -> list[int]:
    """21 answers from 0 to 3 whose sums are `raw`, (3 scales,): as even as they can be, the odd ones by chance.

    items: 1-based numbers of the items of each scale.
    """
    given = [0] * 21
    for total, scale in zip(raw, SCALES, strict=True):
        numbers = items[scale]
        spread = np.full(len(numbers), total // len(numbers))
        spread[rng.permutation(len(numbers))[: total % len(numbers)]] += 1
        for number, answer in zip(numbers, spread, strict=True):
            given[number - 1] = int(answer)
    return given


def allocated(found: People, seed: int) -> np.ndarray:
    """The arm of each person in the order they come, from the trial's own kind of list."""
    strata = randomisation.strata_of([SITES, ("low", "high")])
    design = randomisation.Design((1, 1), (4, 6), strata, len(found.sites))
    slots = {stratum: iter(arms) for stratum, arms in randomisation.allocation_list(seed, design).items()}
    return np.array([next(slots[f"{site}|{group}"]) for site, group in zip(found.sites, found.severity, strict=True)])


def frame(found: People, recipe: Recipe, arms: np.ndarray) -> pd.DataFrame:
    """One row per person, as the report's analysis takes it: scores doubled, NaN where nothing came."""
    raw, leaves = found.raw(arms, recipe.effect), found.leaving(arms, recipe.attrition)
    table = pd.DataFrame({"person": np.arange(len(arms)), "arm": np.where(arms == TREATED, "treated", "control")})
    table["site"], table["severity_group"] = found.sites, found.severity
    for place, scale in enumerate(SCALES):
        table[f"dass21_{scale}_before"] = 2.0 * raw[:, 0, place]
        for visit, occasion in enumerate(VISITS, start=1):
            table[f"dass21_{scale} at {occasion}"] = np.where(leaves > visit, 2.0 * raw[:, visit, place], np.nan)
    return table
