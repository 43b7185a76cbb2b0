"""What DASS-21 answers raise: severe, prompt and routine, with their evidence and nothing else."""

from datetime import UTC, datetime, timedelta

import pytest

from mhealth.outcomes import risk, services
from mhealth.outcomes.models import ScaleScore
from mhealth.safety import services as safety
from mhealth.safety.models import RiskEvent
from tests.outcomes.instruments import ITEMS, answers

pytestmark = pytest.mark.django_db


def say(person, row, days_ago: int = 0):
    """Answer an occasion of its own, `days_ago` days ago."""
    at = datetime.now(UTC) - timedelta(days=days_ago)
    start = (at - timedelta(days=1)).date()
    schedule = [{"name": f"{days_ago} days ago", "day": 0}]
    occasion = services.plan(participant=person, instrument_slug="dass21", schedule=schedule, start_date=start)[0]
    return services.answer(occasion=occasion, answers=row, answered_at=at)


def events(person) -> dict[str, tuple[str, dict]]:
    rows = RiskEvent.objects.filter(participant=person)
    return {e.rule: (e.severity, {k: v for k, v in e.evidence.items() if k != "response"}) for e in rows}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (answers(q21=3), {"dass21.item_21": ("severe", {"item_21": 3})}),
        (answers(q21=2), {"dass21.item_21": ("prompt", {"item_21": 2})}),
        (answers(q21=1), {}),
        (answers(q21=None), {}),
        (answers(q10=3, q17=3), {"dass21.items_10_and_17": ("prompt", {"item_10": 3, "item_17": 3})}),
        (answers(q10=3, q17=2), {}),
        (answers(q10=None, q17=3), {}),
    ],
)
def test_items_raise_by_their_value(ada, loaded, row, expected):
    say(ada, row)
    assert events(ada) == expected


def test_a_band_alone_is_one_routine_event_that_names_the_scales(ada, ben, loaded):
    say(ada, [3 if n in ITEMS["anxiety"] + ITEMS["stress"] else 0 for n in range(1, 22)])
    assert events(ada) == {"dass21.band": ("routine", {"anxiety": "extremely severe", "stress": "extremely severe"})}
    say(ben, [2 if n in ITEMS["stress"] else 0 for n in range(1, 22)])  # 28: severe
    assert events(ben) == {}


def test_worsening_beyond_reliable_change_raises_a_prompt_event_and_less_does_not(ada, ben, loaded):
    for person, second in ((ada, answers(q3=3, q5=1)), (ben, answers(q3=3))):
        say(person, answers(), days_ago=14)
        say(person, second)
    assert events(ada)["dass21.worsening"] == ("prompt", {"depression": {"before": 0, "after": 8, "index": 2.11}})
    assert events(ben) == {}, "6 points are within measurement error (7.43)"


def test_a_slow_slide_shows_against_the_first_scores(ada, loaded):
    say(ada, answers(), days_ago=28)
    say(ada, answers(q3=2), days_ago=14)
    assert events(ada) == {}
    say(ada, answers(q3=3, q5=1))
    assert events(ada)["dass21.worsening"][1]["depression"]["before"] == 0


def test_improvement_raises_nothing(ada, loaded):
    say(ada, answers(q3=3, q5=3, q13=3), days_ago=14)
    say(ada, answers())
    assert events(ada) == {}


def test_unscored_scales_still_have_their_items_looked_at(ada, loaded):
    say(ada, answers(q21=3, q3=None, q5=None))
    assert ScaleScore.objects.get(scale="depression").value is None
    assert events(ada) == {"dass21.item_21": ("severe", {"item_21": 3})}
    assert safety.open_severe(ada)


def test_a_study_may_be_stricter_but_cannot_switch_the_severe_rule_off(ada, ben, study, loaded):
    study.settings = {"risk": {"item_21_severe": 2, "routine_band": "severe"}}
    study.save()
    for person in (ada, ben):
        person.refresh_from_db()
    say(ada, answers(q21=2))
    assert events(ada)["dass21.item_21"][0] == "severe"
    study.settings = {"risk": {"item_21_severe": 99, "item_21_prompt": 99, "items_10_and_17": 99}}
    study.save()
    ben.refresh_from_db()
    say(ben, answers(q21=3, q10=3, q17=3))
    assert {rule: severity for rule, (severity, _) in events(ben).items()} == {
        "dass21.item_21": "severe",
        "dass21.items_10_and_17": "prompt",
    }


@pytest.mark.parametrize(
    "slip", ["soon", ["severe"], {"item_21_severe": "3", "routine_band": "awful"}, {"item_21_severe": 0}]
)
def test_a_slip_in_the_settings_keeps_the_rules_as_they_are(ada, study, loaded, slip):
    study.settings = {"risk": slip}
    study.save()
    ada.refresh_from_db()
    say(ada, [3] * 21)
    assert {rule: severity for rule, (severity, _) in events(ada).items()} == {
        "dass21.item_21": "severe",
        "dass21.items_10_and_17": "prompt",
        "dass21.band": "routine",
    }


def test_repeats_join_the_event_and_raise_its_severity(ada, loaded):
    say(ada, answers(q21=2), days_ago=14)
    say(ada, answers(q21=3))
    event = RiskEvent.objects.get(rule="dass21.item_21")
    assert (event.severity, event.repeats) == ("severe", 1)


def test_sending_the_same_answers_again_raises_nothing_more(ada, loaded):
    first = say(ada, answers(q21=3))
    services.answer(occasion=first.occasion, answers=answers(q21=3), answered_at=first.answered_at)
    assert RiskEvent.objects.get().repeats == 0


def test_evidence_names_the_response_and_holds_no_words(ada, loaded):
    response = say(ada, answers(q21=3))
    assert RiskEvent.objects.get().evidence == {"item_21": 3, "response": str(response.pk)}


def test_thresholds_are_those_of_the_design():
    assert risk.Thresholds() == risk.Thresholds(3, 2, 3, "extremely severe")
