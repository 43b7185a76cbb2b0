import itertools
from collections import Counter

import pytest

from mhealth.trials import randomisation
from mhealth.trials.randomisation import BadDesign, Design

DESIGNS = [
    Design(ratio=(1, 1), block_sizes=(2, 4, 6), strata=("north", "south"), slots_per_stratum=61),
    Design(ratio=(2, 1), block_sizes=(3, 6), strata=("all",), slots_per_stratum=60),
    Design(ratio=(1, 1, 2), block_sizes=(4, 8), strata=("low", "high"), slots_per_stratum=40),
]


@pytest.mark.parametrize("design", DESIGNS)
def test_every_complete_block_is_balanced(design):
    for seed, stratum in itertools.product(range(200), design.strata):
        for block in itertools.islice(randomisation.permuted_blocks(seed, design, stratum), 10):
            repeats = len(block) // sum(design.ratio)
            assert [block.count(arm) for arm in range(len(design.ratio))] == [r * repeats for r in design.ratio]


@pytest.mark.parametrize("design", DESIGNS)
def test_no_prefix_strays_further_than_one_block_allows(design):
    """Within a block of b people an arm of share p can be at most b p (1 - p) people ahead or behind."""
    for seed in range(200):
        for arms in randomisation.allocation_list(seed, design).values():
            for arm, ratio in enumerate(design.ratio):
                share = ratio / sum(design.ratio)
                bound = max(design.block_sizes) * share * (1 - share)
                ahead = [arms[:n].count(arm) - n * share for n in range(len(arms) + 1)]
                assert max(map(abs, ahead)) <= bound + 1e-9


def test_two_to_one_gives_two_to_one():
    design = Design(ratio=(2, 1), block_sizes=(6,), strata=("all",), slots_per_stratum=60)
    assert Counter(randomisation.allocation_list(5, design)["all"]) == {0: 40, 1: 20}


def test_a_seed_gives_one_list_and_another_seed_another():
    design = DESIGNS[0]
    assert randomisation.allocation_list(7, design) == randomisation.allocation_list(7, design)
    assert randomisation.allocation_list(7, design) != randomisation.allocation_list(8, design)


def test_strata_draw_independently():
    lists = randomisation.allocation_list(7, DESIGNS[0])
    assert lists["north"] != lists["south"]
    joint = Counter(
        (first["north"][0], first["south"][0])
        for first in (randomisation.allocation_list(seed, DESIGNS[0]) for seed in range(1000))
    )
    assert all(200 < count < 300 for count in joint.values())


def test_a_longer_list_and_a_stratum_added_at_the_end_keep_what_is_there():
    short = Design(ratio=(1, 1), block_sizes=(4, 6), strata=("north",), slots_per_stratum=11)
    long = Design(ratio=(1, 1), block_sizes=(4, 6), strata=("north", "south"), slots_per_stratum=50)
    assert randomisation.allocation_list(3, long)["north"][:11] == randomisation.allocation_list(3, short)["north"]


def test_the_list_of_a_known_seed_is_still_the_one_drawn_in_2026():
    """A NumPy that makes another list of the same seed must not go unnoticed: sealed lists would not verify."""
    design = Design(ratio=(1, 1), block_sizes=(4, 6), strata=("north", "south"), slots_per_stratum=12)
    assert randomisation.allocation_list(20261121, design) == {
        "north": (0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1),
        "south": (0, 0, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0),
    }


def test_labels_are_shuffled_fairly():
    labels = Counter(randomisation.masked_labels(seed, 2) for seed in range(1000))
    assert set(labels) == {("A", "B"), ("B", "A")}
    assert 440 < labels["A", "B"] < 560


def test_strata_are_every_combination():
    assert randomisation.strata_of([["north", "south"], ["low", "high"]]) == (
        "north|low",
        "north|high",
        "south|low",
        "south|high",
    )
    assert randomisation.strata_of([]) == ("all",)


def test_a_score_on_the_cut_belongs_to_the_group_above():
    assert [randomisation.severity_group(score, [14, 21]) for score in (13.9, 14, 20, 21)] == [
        "low",
        "middle",
        "middle",
        "high",
    ]
    assert [randomisation.severity_group(score, [14]) for score in (13, 14)] == ["low", "high"]


def test_the_comparison_finds_a_changed_a_missing_and_an_extra_row():
    expected = {"all": (0, 1, 1, 0)}
    held = {("all", i): arm for i, arm in enumerate(expected["all"])}
    assert randomisation.differences(expected, held) == []
    assert randomisation.differences(expected, held | {("all", 2): 0}) == [("all", 2)]
    assert randomisation.differences(expected, held | {("all", 4): 0}) == [("all", 4)]
    del held["all", 0]
    assert randomisation.differences(expected, held) == [("all", 0)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ratio": (1,)}, "two or more arms"),
        ({"ratio": (2, 0)}, "share of at least 1"),
        ({"block_sizes": (4, 5)}, "multiples of 2"),
        ({"block_sizes": ()}, "multiples of 2"),
        ({"strata": ("all", "all")}, "each once"),
        ({"slots_per_stratum": 0}, "at least one slot"),
    ],
)
def test_a_design_that_cannot_work_is_refused_by_name(change, says):
    good = {"ratio": (1, 1), "block_sizes": (4,), "strata": ("all",), "slots_per_stratum": 4}
    Design(**good)
    with pytest.raises(BadDesign, match=says):
        Design(**(good | change))
