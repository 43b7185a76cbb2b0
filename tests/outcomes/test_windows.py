"""Windows in the person's zone, across clock changes. Expected moments are written in UTC."""

from datetime import UTC, date, datetime, timedelta

import pytest

from mhealth.outcomes import services, windows

WEEK = windows.Slot("week", day=0, due_after_days=3, days_open=7)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "start", "opens", "due", "closes"),
    [
        # Clocks go forward on 29 March 2026: the window loses an hour, its days stay whole.
        ("Europe/Berlin", date(2026, 3, 26), "2026-03-25T23:00", "2026-03-29T16:00", "2026-04-01T22:00"),
        # Clocks go back on 25 October 2026.
        ("Europe/London", date(2026, 10, 22), "2026-10-21T23:00", "2026-10-25T18:00", "2026-10-29T00:00"),
        # The other hemisphere, and half an hour: Lord Howe goes forward by 30 minutes on 4 October 2026.
        ("Australia/Lord_Howe", date(2026, 10, 1), "2026-09-30T13:30", "2026-10-04T07:00", "2026-10-07T13:00"),
        ("UTC", date(2026, 3, 26), "2026-03-26T00:00", "2026-03-29T18:00", "2026-04-02T00:00"),
        ("Pacific/Kiritimati", date(2026, 3, 26), "2026-03-25T10:00", "2026-03-29T04:00", "2026-04-01T10:00"),
    ],
)
def test_a_window_is_whole_local_days_across_clock_changes(zone, start, opens, due, closes):
    window = windows.window(WEEK, start, zone)
    assert (window.opens_at, window.due_at, window.closes_at) == (utc(opens), utc(due), utc(closes))


def test_a_day_whose_midnight_does_not_exist_opens_at_the_clock_change():
    """In Beirut clocks went from 00:00 to 01:00 on 30 March 2025: the day began at 22:00 UTC."""
    assert windows.start_of_day(date(2025, 3, 30), "Asia/Beirut") == utc("2025-03-29T22:00")


def test_a_day_whose_midnight_comes_twice_opens_at_the_first():
    """In Havana clocks went back from 01:00 to 00:00 on 2 November 2025: the first midnight was 04:00 UTC."""
    assert windows.start_of_day(date(2025, 11, 2), "America/Havana") == utc("2025-11-02T04:00")


def test_later_occasions_keep_their_local_hour_after_the_clock_change():
    week_8 = windows.window(windows.Slot("week 8", day=56), date(2026, 2, 9), "Europe/Berlin")
    assert week_8.opens_at == utc("2026-04-05T22:00")
    assert windows.window(windows.Slot("base", day=0), date(2026, 2, 9), "Europe/Berlin").opens_at == utc(
        "2026-02-08T23:00"
    )


def test_the_window_is_closed_at_its_end_and_open_at_its_start(ada, loaded):
    occasion = services.plan(
        participant=ada,
        instrument_slug="dass21",
        schedule=[{"name": "baseline", "day": 0}],
        start_date=date(2026, 10, 22),
    )[0]
    second = timedelta(seconds=1)
    received = occasion.closes_at
    reasons = [
        occasion.why_out(at, received)
        for at in (occasion.opens_at - second, occasion.opens_at, occasion.closes_at - second, occasion.closes_at)
    ]
    assert reasons == ["too_early", "", "", "too_late"]
    week = timedelta(days=7)
    assert occasion.why_out(occasion.opens_at, occasion.closes_at + week) == ""
    assert occasion.why_out(occasion.opens_at, occasion.closes_at + week + second) == "received_too_late"


def test_an_instrument_is_given_weekly_at_most_unless_the_protocol_says_so(ada, loaded):
    def plan(**more):
        schedule = [{"name": "one", "day": 0}, {"name": "two", "day": 5} | more]
        return services.plan(participant=ada, instrument_slug="dass21", schedule=schedule, start_date=date(2026, 11, 2))

    with pytest.raises(windows.InvalidSchedule, match="two opens 5 days after one"):
        plan()
    assert not ada.occasions.exists()
    assert len(plan(more_than_weekly=True)) == 2


@pytest.mark.parametrize(
    ("schedule", "complaint"),
    [
        ([{"name": "a", "day": 0}, {"name": "a", "day": 14}], "same name"),
        ([{"name": "a", "days": 0}], "wrong fields"),
        ([{"name": "a", "day": 0, "due_after_days": 7, "days_open": 7}], "due while it is open"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(schedule, complaint):
    with pytest.raises(windows.InvalidSchedule, match=complaint):
        windows.parse_schedule(schedule)
