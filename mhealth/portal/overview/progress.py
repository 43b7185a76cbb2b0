"""What the curves and the flow of an overview show: pure sums over a `Picture`. Every sum adds up."""

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from mhealth.portal.overview.people import Person, Picture, Planned
from mhealth.trials.services import Assessment, assessment

WEEK = timedelta(days=7)
ALL_ARMS = "all arms together"


@dataclass(frozen=True)
class Flow:
    """People of one arm, or of all. The last five are parts of `allocated`."""

    arm: str
    allocated: int
    scored: int
    unscorable: int
    to_come: int
    missed: int
    left: int


@dataclass(frozen=True)
class Entry:
    """entered: people who ever became candidates; before: everybody who was assessed, by where they are."""

    entered: int
    before: Assessment
    flows: tuple[Flow, ...]

    @property
    def randomised(self) -> int:
        return sum(flow.allocated for flow in self.flows)


def entry(picture: Picture) -> Entry:
    """The flow of participants up to now."""
    allocated = [person for person in picture.people if person.allocated_at]
    groups = _by_arm(picture, allocated) if picture.by_arm else {ALL_ARMS: allocated}
    outcomes = {p.person: p for p in picture.of(picture.trial.baseline_instrument, [picture.endpoint])}
    flows = tuple(_flow(arm, people, outcomes, picture) for arm, people in groups.items())
    return Entry(len(picture.people), assessment(picture.trial), flows)


def _by_arm(picture: Picture, allocated: list[Person]) -> dict[str, list[Person]]:
    names = [arm.name for arm in picture.trial.ordered_arms()]
    return {name: [person for person in allocated if person.arm == name] for name in names}


def _flow(arm: str, people: list[Person], outcomes: dict, picture: Picture) -> Flow:
    states = Counter(_outcome_of(person, outcomes.get(person.pk), picture) for person in people)
    return Flow(arm, len(people), **{n: states[n] for n in ("scored", "unscorable", "to_come", "missed", "left")})


def _outcome_of(person: Person, planned: Planned | None, picture: Picture) -> str:
    if planned and planned.answered:
        return "scored" if planned.scored else "unscorable"
    if person.left or person.erased:
        return "left"
    return "to_come" if planned and picture.now < planned.closes_at else "missed"


@dataclass(frozen=True)
class Week:
    """number: from the start of the trial, 0 the first.   randomised: up to its end.   expected: None if not planned.
    closed, answered: questionnaires whose window closed in this week."""

    number: int
    entered: int
    randomised: int
    expected: float | None
    closed: int
    answered: int


def weeks(picture: Picture) -> list[Week]:
    """From the start of the trial to now, or to its end."""
    trial = picture.trial
    if trial.started_at is None:
        return []
    end = min(picture.now, trial.closed_at or picture.now)
    n_weeks = max(0, (end - trial.started_at) // WEEK) + 1
    entered = sorted(person.enrolled_at for person in picture.people)
    randomised = sorted(person.allocated_at for person in picture.people if person.allocated_at)
    gone = {person.pk for person in picture.people if person.left or person.erased}
    over = [p for p in picture.planned if p.closes_at <= end and (p.answered or p.person not in gone)]
    closed = Counter((p.closes_at - trial.started_at) // WEEK for p in over)
    answered = Counter((p.closes_at - trial.started_at) // WEEK for p in over if p.answered)
    return [
        Week(
            number=n,
            entered=bisect_right(entered, trial.started_at + (n + 1) * WEEK),
            randomised=bisect_right(randomised, trial.started_at + (n + 1) * WEEK),
            expected=_expected(picture, n + 1),
            closed=closed[n],
            answered=answered[n],
        )
        for n in range(n_weeks)
    ]


def _expected(picture: Picture, weeks_since_start: int) -> float | None:
    """People randomised by then if they came evenly."""
    people, planned_weeks = picture.trial.expected_people, picture.trial.recruitment_weeks
    if not people or not planned_weeks:
        return None
    return people * min(1.0, weeks_since_start / planned_weeks)


@dataclass(frozen=True)
class Completion:
    """One planned questionnaire over all people. share: answered of those answered or missed; None before any."""

    instrument: str
    name: str
    planned: int
    answered: int
    open: int
    to_come: int
    missed: int
    left: int

    @property
    def share(self) -> float | None:
        over = self.answered + self.missed
        return self.answered / over if over else None


def completion(picture: Picture) -> list[Completion]:
    """In the order of the days on which they open first."""
    gone = {person.pk for person in picture.people if person.left or person.erased}
    counts: dict[tuple[str, str], Counter] = {}
    for planned in picture.planned:
        counts.setdefault((planned.instrument, planned.name), Counter())[_state(planned, gone, picture)] += 1
    names = ("answered", "open", "to_come", "missed", "left")
    return [
        Completion(*key, planned=sum(found.values()), **{n: found[n] for n in names}) for key, found in counts.items()
    ]


def _state(planned: Planned, gone: set, picture: Picture) -> str:
    if planned.answered:
        return "answered"
    if planned.person in gone:
        return "left"
    if picture.now < planned.opens_at:
        return "to_come"
    return "open" if picture.now < planned.closes_at else "missed"
