"""When an occasion opens, is due and closes: days of a schedule as moments in a person's zone. Pure.

A window runs from the first moment of a local day to the first moment of another, so that a day of 23 or 25 hours
at a clock change is still a whole day for the person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DUE_AT = time(18)  # on the due day, local time: an hour at which a reminder disturbs nobody
WEEK_DAYS = 7


class InvalidSchedule(Exception):
    """The schedule of occasions cannot be planned as it stands."""


@dataclass(frozen=True)
class Slot:
    """One line of a schedule; days count from the start date, closing day included in the window.

    {"name": "baseline", "day": 0, "due_after_days": 3, "days_open": 7}: opens on day 0, is due on day 3,
    the last day is day 6.
    """

    name: str
    day: int
    due_after_days: int = 3
    days_open: int = WEEK_DAYS
    more_than_weekly: bool = False

    @classmethod
    def parse(cls, line: dict) -> "Slot":
        """Raises InvalidSchedule."""
        try:
            slot = cls(**line)
        except TypeError as problem:
            raise InvalidSchedule(f"a line of the schedule has wrong fields: {problem}") from problem
        if not 0 <= slot.due_after_days < slot.days_open:
            raise InvalidSchedule(f"occasion {slot.name} must be due while it is open")
        return slot


@dataclass(frozen=True)
class Window:
    """opens_at <= answered_at < closes_at is inside. All in UTC."""

    opens_at: datetime
    due_at: datetime
    closes_at: datetime


def parse_schedule(lines: Sequence[dict], min_days_between: int = 0) -> list[Slot]:
    """Slots by day. Raises InvalidSchedule on a repeated name, or two closer than the instrument allows."""
    slots = sorted((Slot.parse(line) for line in lines), key=lambda slot: slot.day)
    if len({slot.name for slot in slots}) != len(slots):
        raise InvalidSchedule("two occasions of the schedule have the same name")
    for earlier, later in zip(slots, slots[1:], strict=False):
        if later.day - earlier.day < min_days_between and not later.more_than_weekly:
            raise InvalidSchedule(
                f"{later.name} opens {later.day - earlier.day} days after {earlier.name}; the instrument is given "
                f'every {min_days_between} days at most, unless the protocol says so ("more_than_weekly": true)'
            )
    return slots


def window(slot: Slot, start_date: date, zone: str) -> Window:
    first_day = start_date + timedelta(days=slot.day)
    due_day = first_day + timedelta(days=slot.due_after_days)
    return Window(
        opens_at=start_of_day(first_day, zone),
        due_at=datetime.combine(due_day, DUE_AT, ZoneInfo(zone)).astimezone(UTC),
        closes_at=start_of_day(first_day + timedelta(days=slot.days_open), zone),
    )


def start_of_day(day: date, zone: str) -> datetime:
    """The first moment of a local day, in UTC.

    Where a clock change skips midnight, fold=0 reads it with the offset before the change, which is the very
    moment of the change; where it repeats midnight, fold=0 is the first of the two.
    """
    return datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)
