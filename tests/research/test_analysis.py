"""The statistics of a trial against formulas written out, tables of others and truths that were put into the data."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mhealth.research.analysis import course, groups, missing
from mhealth.research.analysis.ancova import ancova, interaction_p
from mhealth.research.analysis.effects import (
    Effect,
    NotIdentified,
    hedges_g,
    holm,
    pooled_sd,
    small_sample_factor,
    wilson,
)
from mhealth.research.analysis.mixed import mixed_model

STRATA = ("site", "severity")


def people(n: int = 200, effect: float = -3.0, seed: int = 1) -> pd.DataFrame:
    """Two arms, two sites, two weeks of follow-up; `after` follows the baseline with slope .6."""
    rng = np.random.default_rng(seed)
    before = rng.normal(20, 6, n)
    arm = np.where(rng.permutation(n) % 2, "A", "B")
    person = rng.normal(0, 3, n)
    frame = pd.DataFrame({"person": [f"P{i:03}" for i in range(n)], "arm": arm, "before": before})
    frame["site"] = np.where(rng.random(n) < 0.4, "north", "south")
    frame["severity"] = np.where(before >= 20, "high", "low")
    for name, share in (("week 2", 0.5), ("week 4", 1.0)):
        shift = share * effect * (arm == "A") + 2 * (frame["site"] == "north")
        frame[name] = 8 + 0.6 * before + shift + person + rng.normal(0, 4, n)
    return frame


def long(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.melt(
        ["person", "arm", "before", *STRATA], ["week 2", "week 4"], var_name="occasion", value_name="score"
    )


def least_squares(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Coefficients, standard errors and degrees of freedom by the normal equations."""
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ y
    df = len(y) - x.shape[1]
    return beta, np.sqrt(np.diag(inverse) * ((y - x @ beta) ** 2).sum() / df), df


class TestAncova:
    def test_it_is_closed_form_least_squares(self):
        frame = people()
        effect = ancova(frame, outcome="week 4", baseline="before", strata=STRATA, reference="B")[0]
        dummies = [frame["site"] == "south", frame["severity"] == "low", frame["arm"] == "A"]
        x = np.column_stack([np.ones(len(frame)), frame["before"], *dummies]).astype(float)
        beta, se, df = least_squares(frame["week 4"].to_numpy(), x)
        assert (effect.estimate, effect.se, effect.df) == (pytest.approx(beta[-1]), pytest.approx(se[-1]), df)
        half = stats.t.ppf(0.975, df) * se[-1]
        assert (effect.low, effect.high) == (pytest.approx(beta[-1] - half), pytest.approx(beta[-1] + half))
        assert effect.p == pytest.approx(2 * stats.t.sf(abs(beta[-1] / se[-1]), df))

    def test_without_covariates_it_is_the_t_test(self):
        frame = people(60)
        effect = ancova(frame, outcome="week 4", baseline=None, reference="B")[0]
        a, b = (frame.loc[frame["arm"] == arm, "week 4"] for arm in "AB")
        assert effect.p == pytest.approx(stats.ttest_ind(a, b).pvalue)
        assert effect.estimate == pytest.approx(a.mean() - b.mean())

    def test_an_effect_without_noise_is_found_exactly(self):
        frame = people(40).assign(after=lambda f: 3 + 0.5 * f["before"] - 2.5 * (f["arm"] == "A"))
        assert ancova(frame, outcome="after", baseline="before", reference="B")[0].estimate == pytest.approx(-2.5)

    def test_turning_the_comparison_round_turns_the_sign(self):
        about = {"outcome": "week 4", "baseline": "before", "strata": STRATA}
        one, other = (ancova(people(), reference=arm, **about)[0] for arm in "AB")
        assert one.estimate == pytest.approx(-other.estimate)
        assert one.p == pytest.approx(other.p)

    def test_people_without_an_outcome_are_left_out_and_counted_out(self):
        frame = people()
        frame.loc[frame.index[:30], "week 4"] = np.nan
        effect = ancova(frame, outcome="week 4", baseline="before", reference="B")[0]
        assert effect.n_arm + effect.n_reference == 170

    def test_a_stratum_that_says_the_same_as_another_changes_nothing(self):
        frame = people().assign(again=lambda f: f["site"])
        about = {"outcome": "week 4", "baseline": "before", "reference": "B"}
        once, twice = (ancova(frame, strata=s, **about)[0] for s in (("site",), ("site", "again")))
        assert (once.estimate, once.se, once.df) == (pytest.approx(twice.estimate), pytest.approx(twice.se), twice.df)

    def test_an_arm_that_is_a_stratum_is_not_identified(self):
        with pytest.raises(NotIdentified, match="cannot be told"):
            ancova(
                people().assign(site=lambda f: f["arm"]),
                outcome="week 4",
                baseline="before",
                strata=["site"],
                reference="B",
            )

    def test_one_arm_alone_is_not_identified(self):
        with pytest.raises(NotIdentified, match="two arms"):
            ancova(people().query("arm == 'A'"), outcome="week 4", baseline="before", reference="B")

    def test_three_arms_give_two_effects_against_the_reference(self):
        frame = people()
        frame.loc[frame.index[::3], "arm"] = "C"
        effects = ancova(frame, outcome="week 4", baseline="before", reference="B")
        assert [effect.arm for effect in effects] == ["A", "C"]

    def test_the_interaction_is_the_f_test_of_two_nested_models(self):
        frame = people()
        about = {"outcome": "week 4", "baseline": "before", "strata": (), "reference": "B"}
        found = interaction_p(frame, factor="site", **about)
        arm, site = frame["arm"] == "A", frame["site"] == "south"
        small = np.column_stack([np.ones(len(frame)), frame["before"], site, arm]).astype(float)
        large = np.column_stack([small, arm & site])
        y = frame["week 4"].to_numpy()
        rss = [((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2).sum() for x in (small, large)]
        f = (rss[0] - rss[1]) / (rss[1] / (len(y) - 5))
        assert found == pytest.approx(stats.f.sf(f, 1, len(y) - 5))


class TestMixedModel:
    def test_with_complete_data_its_differences_are_those_of_least_squares_at_each_visit(self):
        frame = people()
        model = mixed_model(
            long(frame), outcome="score", baseline="before", occasions=["week 2", "week 4"], reference="B"
        )
        arm = (frame["arm"] == "A").astype(float)
        for occasion, (effect,) in model.effects.items():
            raw = frame.groupby("arm")[occasion].mean()
            others = frame[["week 2", "week 4"]].mean(axis=1)
            slope = np.linalg.lstsq(np.column_stack([np.ones(len(frame)), frame["before"], arm]), others, rcond=None)[
                0
            ][1]  # one slope for both visits: that of their mean
            shift = slope * np.diff(frame.groupby("arm")["before"].mean()[["B", "A"]])[0]
            assert effect.estimate == pytest.approx(raw["A"] - raw["B"] - shift, abs=1e-6)
        assert (model.n_people, model.n_observations) == (200, 400)

    def test_it_finds_the_spread_and_the_effect_that_were_put_in(self):
        frame = people(1000, effect=-3.0, seed=3)
        model = mixed_model(
            long(frame),
            outcome="score",
            baseline="before",
            occasions=["week 2", "week 4"],
            strata=["site"],
            reference="B",
        )
        assert model.fit.sd_person == pytest.approx(3, abs=0.35)
        assert model.fit.sd_residual == pytest.approx(4, abs=0.25)
        assert model.effects["week 2"][0].estimate == pytest.approx(-1.5, abs=0.95)
        assert model.effects["week 4"][0].estimate == pytest.approx(-3.0, abs=0.95)

    def test_people_with_one_visit_stay_in(self):
        frame = people()
        frame.loc[frame.index[:40], "week 4"] = np.nan
        model = mixed_model(
            long(frame), outcome="score", baseline="before", occasions=["week 2", "week 4"], reference="B"
        )
        assert (model.n_people, model.n_observations) == (200, 360)


class TestStandardised:
    EFFECT = Effect("A", "B", 10, 10, estimate=-2.0, se=0.5, df=17)

    def test_hedges_g_is_the_difference_over_the_baseline_spread_with_its_correction(self):
        arms = pd.Series(["A"] * 10 + ["B"] * 10)
        baseline = pd.Series([*range(10), *range(100, 110)], dtype=float)  # within arms the SD of 0..9
        sd = np.std(range(10), ddof=1)
        found = hedges_g(self.EFFECT, baseline, arms)
        j = math.gamma(9) / (math.sqrt(9) * math.gamma(8.5))
        assert found.g == pytest.approx(-2 / sd * j)
        assert found.se == pytest.approx(j * math.sqrt((0.5 / sd) ** 2 + (2 / sd) ** 2 / 36))
        assert (found.low + found.high) / 2 == pytest.approx(found.g)

    def test_the_correction_is_exact_and_near_the_usual_approximation(self):
        assert small_sample_factor(2) == pytest.approx(1 / math.sqrt(math.pi))
        assert small_sample_factor(10) == pytest.approx(24 / (math.sqrt(5) * math.gamma(4.5)))
        assert small_sample_factor(98) == pytest.approx(1 - 3 / (4 * 98 - 1), abs=1e-5)

    def test_the_pooled_spread_is_that_of_the_t_test(self):
        arms, values = pd.Series(list("AAABB")), pd.Series([1.0, 2, 6, 4, 5])
        assert pooled_sd(values, arms) == (pytest.approx(math.sqrt((14 + 0.5) / 3)), 3)

    def test_no_spread_is_not_identified(self):
        with pytest.raises(NotIdentified):
            pooled_sd(pd.Series([1.0, 1, 1, 1]), pd.Series(list("AABB")))


def test_holm_is_the_worked_example_and_leaves_untested_out():
    # Holm's procedure on .01 .04 .03 .005, as R's p.adjust documents it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    adjusted = holm([0.02, math.nan, 0.04])
    assert adjusted[0] == pytest.approx(0.04)
    assert math.isnan(adjusted[1])
    assert holm([0.9, 0.8]) == [1, 1]


def test_wilsons_interval_is_scipys():
    for successes, n, level in ((0, 10, 0.95), (3, 20, 0.95), (100, 2000, 0.99)):
        other = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
        assert wilson(successes, n, level) == pytest.approx((other.low, other.high))
    assert wilson(0, 0) == (0, 1)


class TestMissing:
    QUESTION = missing.Question(("week 2", "week 4"), "before", STRATA, "B")

    def with_holes(self, n: int = 2000, seed: int = 5) -> pd.DataFrame:
        """The worse week 2, the likelier is week 4 missing, more so in arm A: random given what is known."""
        frame = people(n, seed=seed)
        rng = np.random.default_rng(9)
        risk = 1 / (1 + np.exp(-(frame["week 2"] - 24) / 3)) * np.where(frame["arm"] == "A", 0.9, 0.4)
        return frame.assign(**{"week 4": frame["week 4"].where(rng.random(n) > risk)})

    def at_random(self, frame: pd.DataFrame, **asked) -> list[Effect]:
        return missing.delta_adjusted(frame, self.QUESTION, [0.0], **asked)[0.0]

    def test_the_table_counts_what_is_missing(self):
        frame = people(100)
        frame.loc[frame.index[frame["arm"] == "A"][:10], "week 4"] = np.nan
        table = missing.missingness(frame, ["week 2", "week 4"]).set_index(["outcome", "arm"])
        assert table.loc[("week 4", "A"), ["n", "scored", "missing", "missing_share"]].tolist() == [50, 40, 10, 0.2]
        assert table["missing"].sum() == 10

    def test_rubins_rules_by_hand(self):
        found = missing.pooled([Effect("A", "B", 50, 50, e, 2.0, 97) for e in (1.0, 2.0, 3.0)])
        total = 4 + (1 + 1 / 3) * 1.0  # within + (1 + 1/m) between
        share = (4 / 3) / total
        observed = 98 / 100 * 97 * (1 - share)
        assert (found.estimate, found.se) == (2.0, pytest.approx(math.sqrt(total)))
        assert found.df == pytest.approx(1 / (share**2 / 2 + 1 / observed))

    def test_with_nothing_missing_imputation_is_the_ancova(self):
        frame = people()
        found = self.at_random(frame, n_imputations=3)[0]
        plain = ancova(frame, outcome="week 4", baseline="before", strata=STRATA, reference="B")[0]
        assert (found.estimate, found.se, found.df) == (
            pytest.approx(plain.estimate),
            pytest.approx(plain.se),
            plain.df,
        )

    def test_it_pools_the_ancovas_of_the_filled_copies(self):
        frame = self.with_holes(300)
        copies = [frame.assign(**{"week 4": f[:, -1]}) for f in missing.imputed(frame, self.QUESTION, 3, seed=4)]
        each = [ancova(c, outcome="week 4", baseline="before", strata=STRATA, reference="B")[0] for c in copies]
        found = self.at_random(frame, n_imputations=3, seed=4)[0]
        assert found.estimate == pytest.approx(np.mean([effect.estimate for effect in each]))
        assert found.se == pytest.approx(missing.pooled(each).se)

    def test_it_mends_a_bias_that_complete_cases_have(self):
        frame = self.with_holes(6000)
        plain = ancova(frame, outcome="week 4", baseline="before", strata=STRATA, reference="B")[0]
        mended = self.at_random(frame, n_imputations=10)[0]
        assert abs(plain.estimate + 3) > 3 * abs(mended.estimate + 3)
        assert mended.estimate == pytest.approx(-3, abs=0.35)

    def test_imputing_keeps_what_was_answered_and_the_spread_of_what_was_not(self):
        frame = self.with_holes()
        filled = missing.imputed(frame, self.QUESTION, 1, seed=1)[0, :, -1]
        known = frame["week 4"].notna().to_numpy()
        assert (filled[known] == frame.loc[known, "week 4"]).all()
        truth = people(2000, seed=5)["week 4"]
        assert filled[~known].mean() == pytest.approx(truth[~known].mean(), abs=0.6)
        assert filled[~known].std() == pytest.approx(truth[~known].std(), rel=0.1)

    def test_the_same_seed_gives_the_same_numbers_and_another_others(self):
        frame = self.with_holes(300)
        one, same, other = (self.at_random(frame, n_imputations=3, seed=s)[0] for s in (1, 1, 2))
        assert one == same != other

    def test_delta_moves_the_effect_by_delta_times_the_share_missing(self):
        frame = people(400)
        holes = frame.index[frame["arm"] == "A"][:50]
        frame.loc[holes, "week 4"] = np.nan
        found = missing.delta_adjusted(frame, self.QUESTION, [0, 4], n_imputations=5)
        moved = found[4][0].estimate - found[0][0].estimate
        assert moved == pytest.approx(4 * 50 / 200, abs=0.25)  # up to the chance imbalance of the covariates

    def test_the_tipping_point_is_the_first_delta_whose_interval_holds_nothing(self):
        effects = {d: [Effect("A", "B", 50, 50, -3 + d, 1.0, math.inf)] for d in (0, 1, 2, 3)}
        assert missing.tipping_point(effects, "A") == 2  # -1 +- 1.96
        assert missing.tipping_point({0: effects[0]}, "A") is None

    def test_too_few_answers_are_not_identified(self):
        frame = people(20)
        frame.loc[frame.index[4:], "week 4"] = np.nan
        with pytest.raises(NotIdentified, match="too few"):
            self.at_random(frame, n_imputations=2)


class TestTables:
    def test_subgroups_hold_the_ancova_of_each_level_and_leave_small_ones_without(self):
        frame = people(200)
        frame["sex"] = ["female"] * 180 + ["other"] * 20
        frame.loc[frame.index[-20:], "arm"] = ["A"] * 15 + ["B"] * 5
        found = groups.subgroups(
            frame, outcome="week 4", baseline="before", strata=(), factors=["sex"], reference="B"
        ).set_index("level")
        alone = ancova(frame[frame["sex"] == "female"], outcome="week 4", baseline="before", reference="B")[0]
        assert found.loc["female", "estimate"] == pytest.approx(alone.estimate)
        assert np.isnan(found.loc["other", "estimate"])
        assert 0 <= found.loc["female", "interaction_p"] <= 1

    def test_reliable_changes_are_counted_by_verdict(self):
        rows = pd.DataFrame(
            {
                "occasion": "week 4",
                "arm": ["A"] * 4 + ["B"] * 2,
                "depression_change": ["improved", "improved", "unchanged", None, "deteriorated", "unchanged"],
            }
        )
        table = groups.reliable_changes(rows, ["depression"], ["week 4"]).set_index(["arm", "verdict"])
        assert table.loc[("A", "improved"), ["n", "people"]].tolist() == [3, 2]
        assert table.loc[("B", "deteriorated"), "share"] == 0.5

    def test_baseline_numbers_are_those_of_pandas(self):
        frame = people(50)
        table = groups.baseline_numbers(frame, ["before"]).set_index("arm")
        for arm in "AB":
            values = frame.loc[frame["arm"] == arm, "before"]
            assert table.loc[arm, ["mean", "sd"]].tolist() == pytest.approx([values.mean(), values.std()])
        assert table.loc["all", "n"] == 50

    def test_fairness_counts_what_was_right_by_the_persons_own_word_and_hides_few(self):
        persons = pd.DataFrame({"person": list("abcdefg"), "sex": ["female"] * 5 + ["male"] * 2})
        rows = pd.DataFrame(
            {
                "person": list("abcdefg"),
                "status": ["done"] * 4 + ["unusable"] + ["done"] * 2,
                "abstained": [False, False, False, True, None, False, False],
                "p_happiness": [0.9, 0.8, 0.1, 0.5, np.nan, 0.9, 0.9],
                "p_sadness": [0.1, 0.2, 0.9, 0.5, np.nan, 0.1, 0.1],
                "corrected_to": ["happiness", "sadness", "fear+sadness", None, None, "happiness", None],
            }
        )
        table = groups.fairness(persons, rows, ["happiness", "sadness"], ["sex"]).set_index("level")
        shown = table.loc["female", ["people", "check_ins", "read", "abstained", "corrected", "right"]].tolist()
        assert shown == [5, 5, 0.8, 0.25, 3, pytest.approx(2 / 3)]
        assert table.loc["male"].drop("factor").isna().all()


class TestCourse:
    def test_the_flow_adds_up(self):
        entered = pd.DataFrame(
            {
                "arm": ["A", "A", "A", "B", "B", None],
                "left": [None, "stop", "erase_all", None, None, None],
                "offered": [True, True, False, True, False, False],
                "analysed": [True, True, False, True, False, False],
            }
        )
        table = course.flow(entered, ["A", "B"]).set_index("arm")
        assert table.loc["A"].tolist() == [3, 2, 2, 1, 0, 1, 0, 1, 2]
        parts = table[["stayed_without_outcome", "withdrew_without_outcome", "analysed"]].sum(axis=1)
        assert (parts == table["allocated"]).all()

    def test_staying_is_kaplan_and_meiers(self):
        frame = pd.DataFrame({"arm": "A", "withdrawal_day": [5, np.nan, 10, np.nan], "known_day": [5, 7, 10, 30]})
        table = course.staying(frame, last_day=28).set_index("day")
        assert table["share"].to_dict() == {0: 1.0, 5: 0.75, 10: 0.375}  # one was only followed to day 7

    def test_bands_are_the_t_interval_of_the_mean(self):
        rows = pd.DataFrame({"occasion": "week 4", "arm": "A", "planned_day": 28, "score": [10.0, 12, 17, np.nan]})
        line = course.trajectories(rows, ["score"], ["week 4"]).iloc[0]
        low, high = stats.t.interval(0.95, 2, 13, stats.sem([10, 12, 17]))
        assert (line["n"], line["mean"], line["low"], line["high"]) == (3, 13, pytest.approx(low), pytest.approx(high))

    def test_a_half_lived_week_counts_as_half(self):
        rows = pd.DataFrame({"person": ["a", "b"], "arm": "A", "week": 0, "days": [7, 7], "check_ins": [3, 1]})
        part = pd.DataFrame({"person": ["a"], "arm": "A", "week": 1, "days": [2], "check_ins": [2]})
        table = course.weekly(pd.concat([rows, part]), ["check_ins"]).set_index("week")
        assert table["check_ins"].to_dict() == {0: 2.0, 1: 7.0}
