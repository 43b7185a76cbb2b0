"""DASS-21, SUS and single items, against values worked out by hand from the manuals."""

import itertools

import pytest

from mhealth.outcomes import scoring
from tests.outcomes import instruments
from tests.outcomes.instruments import BANDS, ITEMS, answers

DASS21 = scoring.parse(instruments.dass21())
SUS = scoring.parse(instruments.sus())
SCALES = ["depression", "anxiety", "stress"]


def only(scale: str, value: int) -> list[int | None]:
    return [value if number in ITEMS[scale] else 0 for number in range(1, 22)]


def with_sum(scale: str, total: int) -> list[int | None]:
    """Answers whose items of one scale add up to `total`, the others 0."""
    row: list[int | None] = [0] * 21
    for item in ITEMS[scale]:
        row[item - 1] = min(3, total)
        total -= row[item - 1]
    assert total == 0
    return row


@pytest.mark.parametrize("scale", SCALES)
def test_answers_on_one_subscale_score_on_that_subscale_alone(scale):
    scores = scoring.score(DASS21, only(scale, 3))
    assert {slug: score.doubled for slug, score in scores.items()} == {s: 42 if s == scale else 0 for s in SCALES}
    assert scores[scale].raw == 21
    assert scores[scale].band == "extremely severe"


def test_a_single_item_counts_twice_on_its_own_scale_and_nowhere_else():
    for scale, item in [(name, item) for name in SCALES for item in ITEMS[name]]:
        scores = scoring.score(DASS21, answers(**{f"q{item}": 1}))
        assert {slug for slug, score in scores.items() if score.doubled == 2} == {scale}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("total", range(22))
def test_every_sum_falls_into_the_band_of_the_manual(scale, total):
    score = scoring.score(DASS21, with_sum(scale, total))[scale]
    expected = [name for name, lower in BANDS[scale].items() if 2 * total >= lower][-1]
    assert (score.doubled, score.band, score.prorated, score.n_missing) == (2 * total, expected, False, 0)


def test_bands_begin_exactly_at_their_lower_bound():
    depression = DASS21.scale("depression")
    edges = {
        9.999: "normal",
        10: "mild",
        13.99: "mild",
        14: "moderate",
        20.99: "moderate",
        21: "severe",
        27.9: "severe",
    }
    assert {value: depression.band_of(value) for value in edges} == edges
    assert DASS21.scale("stress").band_of(33.99) == "severe"
    assert DASS21.scale("stress").band_of(34) == "extremely severe"


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("total", range(19))
def test_one_missing_item_is_prorated_by_seven_sixths_whichever_it_is(scale, total):
    for missing in ITEMS[scale]:
        row, left = answers(**{f"q{missing}": None}), total
        for item in ITEMS[scale]:
            if item != missing:
                row[item - 1] = min(3, left)
                left -= row[item - 1]
        score = scoring.score(DASS21, row)[scale]
        assert (score.n_missing, score.prorated) == (1, True)
        assert score.raw == pytest.approx(total * 7 / 6, abs=1e-12)
        assert score.doubled == pytest.approx(total * 7 / 3, abs=1e-12)
        # 3 * doubled is whole, so the expected band needs no fractions.
        assert score.band == [name for name, lower in BANDS[scale].items() if 7 * total >= 3 * lower][-1]


def test_fractions_from_proration_fall_right_at_the_band_edges():
    """Six answers that add up to 9 double to exactly 21 (severe); to 8, to 18.67 (moderate, not rounded up)."""
    rows = {9: answers(q3=None, q5=3, q10=3, q13=3), 8: answers(q3=None, q5=3, q10=3, q13=2)}
    severe, moderate = (scoring.score(DASS21, rows[total])["depression"] for total in (9, 8))
    assert (severe.doubled, severe.band) == (21, "severe")
    assert moderate.doubled == pytest.approx(18.6667, abs=1e-4)
    assert moderate.band == "moderate"
    stress = scoring.score(DASS21, answers(q1=None, q6=3, q8=3, q11=2))["stress"]
    assert stress.doubled == pytest.approx(18.6667, abs=1e-4)
    assert stress.band == "mild", "18.67 lies between mild (15) and moderate (19)"


@pytest.mark.parametrize("scale", SCALES)
def test_two_or_more_missing_items_leave_a_scale_unscored_and_the_others_alone(scale):
    for count in range(2, 8):
        for missing in itertools.combinations(ITEMS[scale], count):
            row = [None if number in missing else 1 for number in range(1, 22)]
            scores = scoring.score(DASS21, row)
            assert scores[scale] == scoring.Score(scale, None, None, "", count, False, "dass21/test")
            assert {scores[other].doubled for other in SCALES if other != scale} == {14}


def test_one_item_missing_in_each_scale_prorates_each():
    scores = scoring.score(DASS21, [None if number in (3, 2, 1) else 1 for number in range(1, 22)])
    assert [(s.doubled, s.n_missing, s.prorated) for s in scores.values()] == [(14, 1, True)] * 3


@pytest.mark.parametrize("bad", [4, -1, 1.0, "2", True])
def test_a_value_outside_the_range_is_refused_with_its_item(bad):
    with pytest.raises(scoring.InvalidAnswers) as refusal:
        scoring.score(DASS21, answers(q7=bad))
    assert refusal.value.item == 7
    assert scoring.score(DASS21, answers(q7=3))["anxiety"].doubled == 6


def test_too_few_answers_are_refused():
    with pytest.raises(scoring.InvalidAnswers, match="21 answers"):
        scoring.score(DASS21, [0] * 20)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([5, 1] * 5, 100),
        ([1, 5] * 5, 0),
        ([3] * 10, 50),
        ([4, 2, 5, 1, 4, 3, 4, 2, 5, 2], 80),  # odd items give 3+4+3+3+4 = 17, even ones 3+4+2+3+3 = 15; 32 * 2.5
    ],
)
def test_sus_keys_its_items_alternately_and_runs_from_0_to_100(row, expected):
    assert scoring.score(SUS, row)["usability"].value == expected


def test_sus_with_a_missing_item_is_not_scored():
    assert scoring.score(SUS, [None] + [3] * 9)["usability"].value is None


def test_a_single_item_scores_as_it_was_answered():
    trust = scoring.parse(instruments.single("trust", 1, 5))
    assert scoring.score(trust, [4])["trust"].value == 4
    assert scoring.score(trust, [None])["trust"].value is None
    with pytest.raises(scoring.InvalidAnswers):
        scoring.score(trust, [0])


def test_reliable_change_uses_the_published_norms():
    """SE of the difference, depression: 7.74 * sqrt(2 * (1 - .88)) = 3.7918; beyond 7.43 points is reliable."""
    depression = DASS21.scale("depression")
    assert scoring.reliable_change(depression, 20, 12)[0] == pytest.approx(-8 / 3.79181, abs=1e-4)
    assert scoring.reliable_change(depression, 20, 12)[1] == "improved"
    assert scoring.reliable_change(depression, 20, 13)[1] == "unchanged"
    assert scoring.reliable_change(depression, 12, 20)[1] == "deteriorated"


def test_reliable_change_of_a_scale_where_more_is_better_is_turned_round():
    scale = scoring.Scale("u", (1,), higher_is_worse=False, norm=scoring.Norm(sd=10, reliability=0.9, source="test"))
    assert scoring.reliable_change(scale, 50, 80)[1] == "improved"
    assert scoring.reliable_change(scale, 80, 50)[1] == "deteriorated"


def test_without_norms_there_is_no_reliable_change():
    with pytest.raises(ValueError, match="no norms"):
        scoring.reliable_change(SUS.scale("usability"), 50, 90)


def test_a_pre_post_table_counts_people_with_both_values_only():
    table = scoring.pre_post([(10, 4), (20, 12), (30, None), (None, 8)])
    assert (table.n, table.mean_before, table.mean_after, table.mean_change) == (2, 15, 8, -7)
    assert table.sd_before == pytest.approx(7.0711, abs=1e-4)
    assert table.sd_change == pytest.approx(1.4142, abs=1e-4)
    assert scoring.pre_post([]) == scoring.PrePost(0, None, None, None, None, None, None)


def test_cronbach_alpha_of_parallel_items_is_one_and_of_a_worked_table_is_known():
    assert scoring.cronbach_alpha([[1, 1], [2, 2], [3, 3]]) == pytest.approx(1)
    # Item variances 1 and 1, total scores 3, 3, 6 with variance 3: 2 * (1 - 2 / 3).
    assert scoring.cronbach_alpha([[1, 2], [2, 1], [3, 3]]) == pytest.approx(2 / 3)


def test_a_definition_that_names_items_it_does_not_have_is_refused():
    broken = instruments.dass21()
    broken["scales"]["stress"]["items"] = [1, 22]
    with pytest.raises(ValueError, match="stress"):
        scoring.parse(broken)
