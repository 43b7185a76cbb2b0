"""The questionnaires of a trial, as data: lines of an outcomes schedule that also say which instrument and from when.

    [{"instrument": "dass21", "from": "enrolment", "name": "baseline", "day": 0, "days_open": 14},
     {"instrument": "dass21", "from": "allocation", "name": "week 2", "day": 14}]

The same for every arm: what people are asked tells nobody who gets what.
"""

from collections import defaultdict
from collections.abc import Mapping

from mhealth.outcomes.windows import InvalidSchedule, Slot, parse_schedule

ENROLMENT, ALLOCATION = "enrolment", "allocation"


def lines_from(schedule: list[dict], start: str) -> dict[str, list[dict]]:
    """The lines that count from this start, by instrument, as `outcomes.services.plan` takes them."""
    lines = defaultdict(list)
    for line in schedule:
        if line["from"] == start:
            lines[line["instrument"]].append({k: v for k, v in line.items() if k not in ("instrument", "from")})
    return dict(lines)


def in_words(schedule: list[dict], versions: Mapping[str, str]) -> list[str]:
    """versions: of each questionnaire."""
    return [_line_in_words(line, versions.get(line["instrument"], "")) for line in schedule]


def _line_in_words(line: dict, version: str) -> str:
    slot = Slot.parse({name: value for name, value in line.items() if name not in ("instrument", "from")})
    last = f"{slot.days_open} day{'' if slot.days_open == 1 else 's'}"
    words = f"{slot.name}: {line['instrument']} {version}, from day {slot.day} after {line['from']}, open for {last}"
    return f"{words}, due on day {slot.day + slot.due_after_days}"


def faults(schedule: object, baseline_instrument: str) -> list[str]:
    """What is wrong with a schedule, or missing for a trial."""
    if not isinstance(schedule, list) or not all(isinstance(line, dict) for line in schedule):
        return ["Schedule: it must be a list of objects."]
    if not all(isinstance(line.get("instrument"), str) for line in schedule):
        return ['Schedule: each line names its "instrument".']
    if any(line.get("from") not in (ENROLMENT, ALLOCATION) for line in schedule):
        return ['Schedule: "from" of each line is "enrolment" or "allocation".']
    return [*_invalid(schedule), *_absent(schedule, baseline_instrument)]


def _invalid(schedule: list[dict]):
    for start in (ENROLMENT, ALLOCATION):
        for instrument, lines in lines_from(schedule, start).items():
            try:
                parse_schedule(lines)
            except InvalidSchedule as problem:
                yield f"Schedule of {instrument}: {problem}."


def _absent(schedule: list[dict], baseline_instrument: str):
    planned = {(line["instrument"], line["from"]) for line in schedule}
    if (baseline_instrument, ENROLMENT) not in planned:
        yield f"Schedule: no baseline {baseline_instrument} from enrolment; nobody could be allocated."
    if (baseline_instrument, ALLOCATION) not in planned:
        yield f"Schedule: no {baseline_instrument} after allocation; there would be no outcome."
