"""Simulated trials: what the generator promises, that services change nothing of it, and that real data are safe."""

import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from mhealth.outcomes import scoring
from mhealth.outcomes.models import InstrumentVersion
from mhealth.people.models import Study
from mhealth.research.report import outcome_sections
from mhealth.research.simulation import __main__ as process
from mhealth.research.simulation import direct, generator, lines, played
from mhealth.research.simulation.generator import CONTROL, SD_RAW, TREATED, Recipe
from tests.trials import factories

MANY = Recipe(people=20_000, effect=0.5, attrition=0.2)


class TestGenerator:
    def test_effect_spread_and_correlation_are_those_asked_for(self):
        found = generator.people(MANY, seed=1)
        untreated = found.raw(np.full(MANY.people, CONTROL), MANY.effect)
        treated = found.raw(np.full(MANY.people, TREATED), MANY.effect)
        for scale in range(3):
            spread = untreated[:, 2, scale].std()
            assert spread == pytest.approx(SD_RAW, rel=0.02)
            moved = (untreated[:, :, scale].mean(axis=0) - treated[:, :, scale].mean(axis=0)) / spread
            assert moved == pytest.approx([0, 0.25, 0.5], abs=0.02)
            assert np.corrcoef(untreated[:, 0, scale], untreated[:, 2, scale])[0, 1] == pytest.approx(0.5, abs=0.02)

    def test_the_same_share_leaves_each_arm_and_half_of_them_early(self):
        arms = np.repeat([TREATED, CONTROL], 50)
        leaves = generator.people(Recipe(100, 0, 0.2), seed=2).leaving(arms, 0.2)
        for arm in (TREATED, CONTROL):
            assert np.bincount(leaves[arms == arm], minlength=4).tolist() == [0, 5, 5, 40]

    @pytest.mark.django_db
    def test_answers_have_the_sums_wanted(self):
        factories.load_dass21()
        rules = InstrumentVersion.objects.get().rules
        items = {scale.slug: scale.items for scale in rules.scales}
        rng = np.random.default_rng(3)
        for raw in ([0, 7, 21], [1, 13, 20], [10, 11, 12]):
            given = generator.answers(np.array(raw), items, rng)
            assert [scoring.score(rules, given)[scale].raw for scale in generator.SCALES] == raw

    def test_the_same_seed_gives_the_same_trial(self):
        one, same, other = (direct.estimate(Recipe(60, 0.5, 0.1), seed) for seed in (5, 5, 6))
        assert one == same != other


class TestDirect:
    def test_an_enormous_effect_is_always_found_and_none_seldom(self):
        found = direct.tally(Recipe(60, 2.0, 0.0), range(20))
        nothing = direct.tally(Recipe(60, 0.0, 0.0), range(20))
        assert (found.n, found.rejected) == (20, 20)
        assert nothing.rejected <= 5  # chance: 1 in 3,000 of more
        assert found.mean == pytest.approx(-2 * SD_RAW * 2.0, abs=1)
        assert found.completers == 60 * 20

    def test_tallies_add_up(self):
        recipe = Recipe(60, 0.5, 0.2)
        parts = direct.tally(recipe, range(3)) + direct.tally(recipe, range(3, 6))
        whole = direct.tally(recipe, range(6))
        assert parts.rejected == whole.rejected
        assert parts.total == pytest.approx(whole.total)

    def test_the_expected_power_is_the_published_one(self):
        # Borm et al. (2007): (1 - r^2) times the 63.77 per arm of a t test (G*Power: d .5, alpha .05, power .80)
        assert lines.expected_power(Recipe(94, 0.5, 0.0)) == pytest.approx(0.79, abs=0.005)
        assert lines.expected_power(Recipe(128, 0.5, 0.0, correlation=0.0)) == pytest.approx(0.80, abs=0.005)

    def test_lists_are_balanced(self):
        found = direct.balance(40, range(300))
        assert found["largest_difference"] <= 3  # half of the largest block
        assert found["share_first_arm"] == pytest.approx(0.5, abs=0.01)
        assert found["largest_z_of_a_place"] < 5
        assert found["distinct_lists"] == 300


class TestPlayed:
    @pytest.fixture(autouse=True)
    def few_imputations(self, monkeypatch):
        monkeypatch.setattr(outcome_sections, "N_IMPUTATIONS", 2)

    @pytest.mark.django_db
    def test_a_trial_through_the_services_says_what_the_generator_says(self, tmp_path):
        factories.load_dass21()
        found = played.play(Recipe(24, 1.0, 0.2), seed=7, folder=tmp_path / "files")
        assert found["allocated_as_listed"]
        assert found["exported_as_generated"]
        assert found["estimate"] == pytest.approx(found["expected"], rel=1e-4)
        assert found["same"]

    def test_it_keeps_away_from_a_database_that_holds_a_study(self, study, tmp_path):
        with pytest.raises(played.RealPeople):
            played.play(Recipe(24, 1.0, 0.2), seed=7, folder=tmp_path)
        assert Study.objects.count() == 1

    def test_the_process_refuses_any_database_but_its_own(self, tmp_path):
        with pytest.raises(SystemExit, match="a database of its own"):
            process._refuse_other_databases(tmp_path)


class TestLines:
    RECIPE = Recipe(60, 0.5, 0.2)

    def test_what_is_there_is_not_computed_again_and_half_a_line_is(self, tmp_path, monkeypatch):
        path, computed = tmp_path / process.LINES, []
        cells = lines.cells(self.RECIPE, n_played=0, n_data_sets=200, n_lists=0)
        lines.append(path, cells[0].key | {"tally": {}})
        with open(path, "a") as file:
            file.write('{"kind": "data se')  # cut off
        monkeypatch.setattr(process, "_result", lambda cell, folder: computed.append(cell) or {"tally": {}})
        process._run(cells, tmp_path, lambda cost: None)
        assert computed == cells[1:]
        process._run(cells, tmp_path, lambda cost: None)
        assert len(computed) == 3
        whole = [line for line in path.read_text().splitlines() if line.endswith("}")]
        assert len([json.loads(line) for line in whole]) == 4

    def test_another_recipe_is_another_line(self, tmp_path):
        cell, other = (lines.Cell("played", Recipe(n, 0.5, 0.2), 0, 1) for n in (60, 80))
        lines.append(tmp_path / "lines", cell.key)
        assert lines.of(cell, lines.stored(tmp_path / "lines"))
        assert not lines.of(other, lines.stored(tmp_path / "lines"))

    def test_the_summary_says_where_a_target_is_missed(self):
        cell = lines.cells(self.RECIPE, 0, 100, 0)[0]
        tally = {"n": 2000, "rejected": 100, "covered": 1900, "total": 0.0, "squares": 1.0, "completers": 96_000}
        assert "holds 0.05" in lines.summary(self.RECIPE, [cell.key | {"tally": tally}])[0]
        assert "MISSES 0.05" in lines.summary(self.RECIPE, [cell.key | {"tally": tally | {"rejected": 140}}])[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"people": 4}, "--people"),
        ({"attrition": 1.5}, "--attrition"),
        ({"effect": 9.0}, "--effect"),
        ({"seeds": -1}, "--seeds"),
    ],
)
def test_numbers_that_make_no_trial_are_refused_in_one_line(options, said, tmp_path):
    with pytest.raises(CommandError, match=said) as problem:
        call_command("simulate_trial", out=tmp_path, **options)
    assert problem.value.returncode == 2


def test_the_command_runs_in_a_database_of_its_own(tmp_path, capfd):
    call_command("simulate_trial", people=20, effect=1.0, attrition=0.0, seeds=0, data_sets=2, lists=2, out=tmp_path)
    assert "type-1 error" in capfd.readouterr().out
    assert [json.loads(line)["kind"] for line in (tmp_path / "lines.jsonl").read_text().splitlines()] == [
        "lists",
        "data sets",
        "data sets",
    ]
