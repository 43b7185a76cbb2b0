"""Usability and single items before and after, as a table whose numbers a reader can follow."""

from datetime import timedelta

import pytest
from django.conf import settings

from mhealth.outcomes import services as outcomes
from mhealth.outcomes.instruments import load_instruments
from mhealth.research.cohort import Cohort
from mhealth.research.report import data, experience_sections
from mhealth.research.report.people_sections import Subject
from tests import factories as people
from tests.research.conftest import earlier
from tests.trials import factories

pytestmark = pytest.mark.django_db
SCORED = {50.0: [3] * 10, 75.0: [4, 2] * 5, 100.0: [5, 1] * 5}  # SUS score -> answers, odd items keyed upwards
SCHEDULE = [
    *factories.SCHEDULE,
    {"instrument": "sus", "from": "allocation", "name": "week 3", "day": 21},
    {"instrument": "sus", "from": "allocation", "name": "week 4", "day": 28},
    {"instrument": "trust", "from": "allocation", "name": "week 4", "day": 28},
]
GIVEN = ((50.0, 75.0, 2), (50.0, 100.0, 4), (75.0, 75.0, None), (75.0, None, 5))  # SUS first, SUS last, trust


@pytest.fixture
def trial(study, team):
    load_instruments(settings.BASE_DIR / "fixtures" / "instruments")
    made = factories.running(study, stratify_by=[], slots_per_stratum=8, schedule=SCHEDULE, block_sizes=[4])
    for number, (first, last, trust) in enumerate(GIVEN):
        person = people.participant(team, f"p{number}", zone="UTC")
        enrolment = factories.allocated(person, made)
        earlier(enrolment, timedelta(days=33), "enrolled_at", "allocated_at")
        for occasion in person.occasions.exclude(name="baseline"):
            earlier(occasion, timedelta(days=33), "opens_at", "due_at", "closes_at", "created_at")
        answer(person, "sus", "week 3", SCORED[first])
        answer(person, "sus", "week 4", SCORED.get(last))
        answer(person, "trust", "week 4", trust and [trust])
    return made


def answer(person, slug: str, name: str, answers: list | None) -> None:
    occasion = person.occasions.get(version__instrument__slug=slug, name=name)
    if answers:
        outcomes.answer(occasion=occasion, answers=answers, answered_at=occasion.due_at)


def section(trial):
    cohort = Cohort(trial)
    plan = data.plan_of(cohort, tuple(arm.name for arm in trial.ordered_arms()))
    return experience_sections.section(Subject(data.read(cohort), plan, "dass21"), cohort)


def lines(trial):
    return section(trial).tables[0].rows.set_index(["measure", "arm"])


def test_means_are_those_of_people_with_both(trial):
    sus = lines(trial).loc[("sus usability", "all")]
    assert (sus["n_before"], sus["n_after"], sus["n"], sus["randomised"]) == (4, 3, 3, 4)
    assert sus["mean_before"] == pytest.approx((50 + 50 + 75) / 3)
    assert sus["mean_after"] == pytest.approx((75 + 100 + 75) / 3)
    assert sus["mean_change"] == pytest.approx(25)
    assert sus["sd_change"] == pytest.approx(25)


def test_an_instrument_planned_once_has_its_mean_and_no_change(trial):
    trust = lines(trial).loc[("trust", "all")]
    assert (trust["n"], trust["mean_before"]) == (3, pytest.approx(11 / 3))
    assert trust["after"] == ""
    assert trust[["mean_after", "mean_change"]].isna().all()


def test_arms_add_up_to_all_and_single_items_are_called_so(trial):
    found = lines(trial)
    arms = [arm.name for arm in trial.arms.all()]
    for measure in ("sus usability", "trust"):
        assert sum(found.loc[(measure, arm)]["n"] for arm in arms) == found.loc[(measure, "all")]["n"]
    assert "Single items, not validated scales: Trust (single item)." in section(trial).text[0]


def test_a_trial_of_the_dass_alone_says_so(study, ada):
    factories.load_dass21()
    trial = factories.running(study)
    factories.allocated(ada, trial)
    assert section(trial).text == ["No questionnaire but the outcome was planned."]
