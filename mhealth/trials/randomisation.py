"""Permuted blocks of random size in each stratum: the whole allocation list from one seed.

Pure: no database, no keys. An arm is its index in the trial's order of arms.
Source: Matts & Lachin (1988), Controlled Clinical Trials 9, 327-344.
"""

import itertools
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

# NumPy keeps the stream of PCG64 but may change what `choice` and `permutation` make of it (NEP 19):
# a list that does not verify under another release is re-derived under the one named here.
RECIPE = f"permuted-blocks/1 numpy/{np.__version__}"


class BadDesign(ValueError):
    """Shares, block sizes, strata and slots do not make a list."""


@dataclass(frozen=True)
class Design:
    """ratio: people per arm in the smallest balanced block; block_sizes: people, multiples of sum(ratio)."""

    ratio: tuple[int, ...]
    block_sizes: tuple[int, ...]
    strata: tuple[str, ...]
    slots_per_stratum: int

    def __post_init__(self) -> None:
        if len(self.ratio) < 2 or min(self.ratio) < 1:
            raise BadDesign("a trial needs two or more arms, each with a share of at least 1")
        if not self.block_sizes or any(size < 1 or size % sum(self.ratio) for size in self.block_sizes):
            raise BadDesign(f"block sizes must be multiples of {sum(self.ratio)}, the sum of the arms' shares")
        if not self.strata or len(set(self.strata)) != len(self.strata):
            raise BadDesign("strata must be named, each once")
        if self.slots_per_stratum < 1:
            raise BadDesign("each stratum needs at least one slot")


def allocation_list(seed: int, design: Design) -> dict[str, tuple[int, ...]]:
    """Return the arm of every slot, by stratum and position.

    Each stratum draws from its own child of the seed, so that neither a longer list nor a
    stratum added at the end changes what is already there. The last block may be cut: every
    stratum has the same number of slots, which tells nothing of the block sizes drawn.
    """
    return {
        stratum: tuple(itertools.islice(itertools.chain.from_iterable(blocks), design.slots_per_stratum))
        for stratum, blocks in ((stratum, permuted_blocks(seed, design, stratum)) for stratum in design.strata)
    }


def permuted_blocks(seed: int, design: Design, stratum: str) -> Iterator[tuple[int, ...]]:
    """Yield the blocks of one stratum without end; in each, every arm has exactly its share."""
    generator = _generator(seed, 1 + design.strata.index(stratum))
    smallest = np.repeat(np.arange(len(design.ratio)), design.ratio)
    while True:
        size = int(generator.choice(design.block_sizes))
        block = np.tile(smallest, size // len(smallest))
        yield tuple(int(arm) for arm in generator.permutation(block))


def masked_labels(seed: int, n_arms: int) -> tuple[str, ...]:
    """The letter of each arm, shuffled: label A says nothing about which arm came first."""
    letters = string.ascii_uppercase[:n_arms]
    return tuple(letters[i] for i in _generator(seed, 0).permutation(n_arms))


def strata_of(levels: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Every combination of the factors' levels, "north|high|female"; without factors one stratum "all"."""
    return tuple("|".join(combination) for combination in itertools.product(*levels)) if levels else ("all",)


def severity_group(score: float, cuts: Sequence[float]) -> str:
    """The group of a doubled score; a cut is the lowest score of the group above it."""
    names = {0: ("all",), 1: ("low", "high"), 2: ("low", "middle", "high")}[len(cuts)]
    return names[sum(score >= cut for cut in cuts)]


def differences(expected: dict[str, tuple[int, ...]], held: dict[tuple[str, int], int]) -> list[tuple[str, int]]:
    """Places, (stratum, position), where the held list and the expected one are not the same, or one lacks a row."""
    wanted = {(stratum, i): arm for stratum, arms in expected.items() for i, arm in enumerate(arms)}
    return sorted(place for place in wanted.keys() | held.keys() if wanted.get(place) != held.get(place))


def _generator(seed: int, child: int) -> Generator:
    return Generator(PCG64(SeedSequence(seed, spawn_key=(child,))))
