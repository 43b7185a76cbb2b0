"""Receiving answers: what counts, what is kept beside it, and that nothing is thrown away."""

from datetime import UTC, date, datetime, timedelta

import pytest

from mhealth.outcomes import scoring, services
from mhealth.outcomes.models import Response, ScaleScore
from mhealth.safety.models import RiskEvent
from tests.outcomes.instruments import answers

pytestmark = pytest.mark.django_db
SCHEDULE = [{"name": "baseline", "day": 0}, {"name": "week 8", "day": 56}]


@pytest.fixture
def occasion(ada, loaded):
    """Open since yesterday."""
    return plan_from(ada, days_ago=1)


def plan_from(person, days_ago: int, slug: str = "dass21"):
    start = (datetime.now(UTC) - timedelta(days=days_ago)).date()
    return services.plan(participant=person, instrument_slug=slug, schedule=SCHEDULE, start_date=start)[0]


def now() -> datetime:
    return datetime.now(UTC)


def test_answers_are_scored_and_sealed(occasion, ada):
    response = services.answer(occasion=occasion, answers=answers(q3=3, q5=2), answered_at=now())
    assert response.in_window
    assert b"3, 0, 2" not in bytes(response.answers_sealed)
    assert Response.objects.get().answers == answers(q3=3, q5=2)
    assert {scale: score.doubled for scale, score in services.latest_scores(ada).items()} == {
        "depression": 10,
        "anxiety": 0,
        "stress": 0,
    }
    assert services.latest_scores(ada)["depression"].band == "mild"
    assert services.latest_scores(ada)["depression"].at == response.answered_at


def test_the_same_answers_again_are_the_same_row_and_other_answers_are_refused_yet_kept(occasion):
    first = services.answer(occasion=occasion, answers=answers(q3=1), answered_at=now())
    assert services.answer(occasion=occasion, answers=answers(q3=1), answered_at=now()).pk == first.pk
    for _ in range(2):
        with pytest.raises(services.AnswersDiffer):
            services.answer(occasion=occasion, answers=answers(q3=2, q21=3), answered_at=now())
    assert [row.conflicting for row in Response.objects.order_by("received_at")] == [False, True]
    assert services.latest_scores(occasion.participant)["depression"].doubled == 2
    assert RiskEvent.objects.get(rule="dass21.item_21").severity == "severe", "refused answers are screened too"


def test_answers_given_inside_count_for_a_week_after_closing(ada, ben, loaded):
    closed = plan_from(ada, days_ago=10)
    inside = closed.closes_at - timedelta(hours=1)
    assert services.answer(occasion=closed, answers=answers(), answered_at=inside).in_window
    long_closed = plan_from(ben, days_ago=16)
    late = services.answer(
        occasion=long_closed, answers=answers(), answered_at=long_closed.closes_at - timedelta(hours=1)
    )
    assert (late.in_window, late.why_out) == (False, "received_too_late")


def test_answers_out_of_the_window_are_kept_and_screened_but_not_analysed(ada, loaded):
    closed = plan_from(ada, days_ago=10)
    late = services.answer(occasion=closed, answers=answers(q21=3), answered_at=closed.closes_at)
    assert (late.in_window, late.why_out) == (False, "too_late")
    assert services.latest_scores(ada) == {}
    assert ScaleScore.objects.count() == 3
    assert RiskEvent.objects.get(rule="dass21.item_21").participant == ada


def test_answers_that_came_too_early_do_not_stand_in_the_way_of_those_inside(occasion):
    early = services.answer(occasion=occasion, answers=answers(), answered_at=occasion.opens_at - timedelta(seconds=1))
    inside = services.answer(occasion=occasion, answers=answers(), answered_at=now())
    assert (early.why_out, early.in_window, inside.in_window) == ("too_early", False, True)
    assert list(Response.objects.for_analysis()) == [inside]
    assert Response.objects.count() == 2


def test_a_phone_whose_clock_is_ahead_is_judged_by_our_time(occasion):
    soon = services.answer(occasion=occasion, answers=answers(), answered_at=now() + timedelta(days=30))
    assert soon.in_window
    assert soon.clock_suspect
    assert soon.answered_at <= now()


def test_a_scale_with_two_missing_items_keeps_its_row_without_a_value(occasion, ada):
    services.answer(occasion=occasion, answers=answers(q2=None, q4=None, q3=None), answered_at=now())
    anxiety = ScaleScore.objects.get(scale="anxiety")
    assert (anxiety.value, anxiety.band, anxiety.n_missing, anxiety.prorated) == (None, "", 2, False)
    depression = ScaleScore.objects.get(scale="depression")
    assert (depression.value, depression.n_missing, depression.prorated) == (0, 1, True)
    assert set(services.latest_scores(ada)) == {"depression", "stress"}


def test_a_value_of_four_stores_nothing(occasion):
    with pytest.raises(scoring.InvalidAnswers):
        services.answer(occasion=occasion, answers=answers(q1=4), answered_at=now())
    assert not Response.objects.exists()
    assert services.answer(occasion=occasion, answers=answers(q1=3), answered_at=now())


def test_who_has_left_is_not_stored_but_what_they_said_before_is(occasion, ada):
    ada.status, ada.stopped_at = "stopped", now() - timedelta(hours=1)
    ada.save()
    with pytest.raises(services.ParticipationEnded):
        services.answer(occasion=occasion, answers=answers(), answered_at=now())
    before = services.answer(occasion=occasion, answers=answers(), answered_at=now() - timedelta(hours=2))
    assert list(Response.objects.all()) == [before]


def test_planning_again_adds_only_what_is_new(ada, loaded):
    start = date(2026, 11, 2)
    first = services.plan(participant=ada, instrument_slug="dass21", schedule=SCHEDULE, start_date=start)
    longer = [*SCHEDULE, {"name": "week 16", "day": 112}]
    again = services.plan(participant=ada, instrument_slug="dass21", schedule=longer, start_date=start)
    assert [row.pk for row in again[:2]] == [row.pk for row in first]
    assert [row.name for row in again] == ["baseline", "week 8", "week 16"]


def test_two_plans_of_one_person_may_use_the_same_names(ada, loaded):
    """A second trial plans a baseline of its own, and never the first one's twice."""
    first, second = (
        services.plan(
            participant=ada,
            instrument_slug="dass21",
            schedule=SCHEDULE,
            start_date=start,
            plan_name=f"trials.Trial/{n}",
        )
        for n, start in ((1, date(2026, 3, 2)), (2, date(2026, 11, 2)))
    )
    assert [row.name for row in second] == ["baseline", "week 8"]
    assert {row.pk for row in first}.isdisjoint(row.pk for row in second)
    assert second[0].opens_at.date() == date(2026, 11, 2)
    again = services.plan(
        participant=ada,
        instrument_slug="dass21",
        schedule=SCHEDULE,
        start_date=date(2026, 11, 9),
        plan_name="trials.Trial/2",
    )
    assert again == second


def test_an_instrument_nobody_loaded_cannot_be_planned(ada, loaded):
    with pytest.raises(services.UnknownInstrument):
        services.plan(participant=ada, instrument_slug="phq9", schedule=SCHEDULE, start_date=date(2026, 11, 2))


def test_sus_and_single_items_run_through_the_same_door(ada, loaded):
    usability = plan_from(ada, 1, "sus")
    services.answer(occasion=usability, answers=[5, 1] * 5, answered_at=now())
    assert services.latest_scores(ada, "sus")["usability"].value == 100
    services.answer(occasion=plan_from(ada, 1, "stress10"), answers=[10], answered_at=now())
    assert services.latest_scores(ada, "stress10")["stress10"].value == 10
    assert not RiskEvent.objects.exists()


def test_the_pre_post_table_takes_people_with_both_occasions(ada, ben, study, loaded):
    for person, last in ((ada, True), (ben, False)):
        start = (now() - timedelta(days=57)).date()
        first, second = services.plan(participant=person, instrument_slug="dass21", schedule=SCHEDULE, start_date=start)
        early = first.opens_at + timedelta(hours=1)
        Response.objects.filter(occasion=first).delete()
        services.answer(occasion=first, answers=answers(q3=3), answered_at=early)
        if last:
            services.answer(occasion=second, answers=answers(q3=1), answered_at=now())
    Response.objects.filter(occasion__name="baseline").update(in_window=True, why_out="")  # as if received then
    table = services.pre_post_table(study=study, instrument_slug="dass21", before="baseline", after="week 8")
    assert (table["depression"].n, table["depression"].mean_before, table["depression"].mean_after) == (1, 6, 2)
