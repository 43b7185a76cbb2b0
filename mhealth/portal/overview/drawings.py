"""Figures of an overview as SVG for the page: drawn from numbers alone, with a name and a description for readers who
do not see them. Lines differ by dash, bars by pattern of light and dark, so that they stay apart in print."""

from collections.abc import Sequence
from math import ceil, log10

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from mhealth.portal.overview.progress import Entry, Flow, Week

WIDTH, HEIGHT = 640, 260  # in units of the drawing
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 28, 40
MOST_LABELS = 12
BOX_WIDTH, LINE_HEIGHT = 300, 19


def recruitment(weeks: Sequence[Week]) -> SafeString:
    """People randomised up to the end of each week, against an even course to the number planned."""
    top = max([*(week.randomised for week in weeks), *(week.expected or 0 for week in weeks), 1])
    axes = _axes(len(weeks), top, "Week of the trial", "People randomised")
    lines = [("seen", "Seen", [(0, 0), *((w.number + 1, w.randomised) for w in weeks)])]
    if any(week.expected is not None for week in weeks):
        lines.append(("expected", "Expected", [(0, 0), *((w.number + 1, w.expected) for w in weeks)]))
    drawn = [(kind, name, " ".join(_point(axes, *point) for point in points)) for kind, name, points in lines]
    last = weeks[-1]
    told = f"{last.randomised} people randomised by now"
    told += f"; {last.expected:.0f} were expected." if last.expected is not None else "; no course was planned."
    return _svg("curve", axes | {"title": "Recruitment", "told": told, "lines": drawn, "name": "recruitment"})


def completion(weeks: Sequence[Week]) -> SafeString:
    """Per week: questionnaires whose window closed in it, answered or missed."""
    axes = _axes(len(weeks), max([week.closed for week in weeks] + [1]), "Week of the trial", "Questionnaires")
    thick = max(1.0, axes["step"] * 0.7)
    bars = [bar for week in weeks for bar in _bars(axes, week, thick)]
    closed, answered = sum(week.closed for week in weeks), sum(week.answered for week in weeks)
    told = f"{answered} of the {closed} questionnaires that are over were answered in their window."
    return _svg("bars", axes | {"title": "Completion", "told": told, "bars": bars, "name": "completion"})


def _bars(axes: dict, week: Week, thick: float):
    x = LEFT + (week.number + 0.5) * axes["step"] - thick / 2
    middle, top = axes["y"](week.answered), axes["y"](week.closed)
    yield "answered", x, middle, thick, HEIGHT - BOTTOM - middle
    yield "missed", x, top, thick, middle - top


def _axes(n_weeks: int, top: float, x_title: str, y_title: str) -> dict:
    """Whole numbers on both axes; x in weeks from 0."""
    tick = _tick(top)
    top = ceil(top / tick) * tick
    step = (WIDTH - LEFT - RIGHT) / max(n_weeks, 1)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top

    every = ceil((n_weeks + 1) / MOST_LABELS)
    return {
        "y": y,
        "step": step,
        "size": (WIDTH, HEIGHT),
        "frame": (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM),
        "levels": [(y(value), value) for value in range(0, top + 1, tick)],
        "places": [(LEFT + n * step, n) for n in range(0, n_weeks + 1, every)],
        "titles": (x_title, y_title),
    }


def _tick(top: float) -> int:
    """1, 2 or 5 times a power of ten, so that there are at most six lines."""
    power = 10 ** max(0, int(log10(max(top, 1))) - 1)
    return next(tick for tick in (m * p for p in (power, power * 10) for m in (1, 2, 5)) if top / tick <= 5)


def _point(axes: dict, week: float, value: float) -> str:
    return f"{LEFT + week * axes['step']:.1f},{axes['y'](value):.1f}"


def _svg(kind: str, context: dict) -> SafeString:
    return render_to_string(f"portal/{kind}.svg", {k: v for k, v in context.items() if k != "y"})


def flow(found: Entry, endpoint: str) -> SafeString:
    """Boxes of a CONSORT flow up to now; what is beside each other adds up to what is above."""
    columns = len(found.flows)
    width = max(2 * BOX_WIDTH + 20, columns * (BOX_WIDTH + 20))
    middle = width / 2
    why = found.before.not_randomised
    start = _box(middle - BOX_WIDTH / 2, 8, [f"Assessed for eligibility (n = {found.before.assessed})"])
    aside_lines = [f"{words.capitalize()}: {people}" for words, people in why.items()]
    aside = _box(width - BOX_WIDTH + 20, 50, [f"Not randomised (n = {sum(why.values())})", *aside_lines], 270)
    randomised = _box(middle - BOX_WIDTH / 2, aside["bottom"] + 16, [f"Randomised (n = {found.randomised})"])
    fork = randomised["bottom"] + 20
    boxes, arrows = [start, aside, randomised], [
        f"M{middle} {start['bottom']}V{randomised['y']}",
        f"M{middle} {(aside['y'] + aside['bottom']) / 2}H{aside['x']}",
    ]  # fmt: skip
    for n, arm in enumerate(found.flows):
        x = middle + (n - (columns - 1) / 2) * (BOX_WIDTH + 20) - BOX_WIDTH / 2
        top = _box(x, fork + 20, [f"Allocated: {arm.arm} (n = {arm.allocated})"])
        below = _box(x, top["bottom"] + 27, _outcome_lines(arm, endpoint))
        boxes += [top, below]
        arrows += [f"M{middle} {randomised['bottom']}V{fork}H{top['middle']}V{top['y']}"]
        arrows += [f"M{top['middle']} {top['bottom']}V{below['y']}"]
    told = f"{found.before.assessed} people were assessed, {found.entered} entered, {found.randomised} were randomised."
    height = max(box["bottom"] for box in boxes) + 8
    about = {"boxes": boxes, "arrows": arrows, "size": (width, height), "told": told, "name": "flow"}
    return render_to_string("portal/flow.svg", about | {"title": "Flow of participants up to now"})


def _outcome_lines(arm: Flow, endpoint: str) -> list[str]:
    return [
        f"At {endpoint or 'the outcome'} (n = {arm.allocated})",
        f"Answered and scored: {arm.scored}",
        f"Answered, not scorable: {arm.unscorable}",
        f"Still to come, or open: {arm.to_come}",
        f"Missed: {arm.missed}",
        f"Left without it: {arm.left}",
    ]


def _box(x: float, y: float, lines: list[str], width: float = BOX_WIDTH) -> dict:
    texts = [(y + 22 + LINE_HEIGHT * n, line, n == 0) for n, line in enumerate(lines)]
    height = 16 + LINE_HEIGHT * len(lines)
    place = {"x": x, "y": y, "width": width, "height": height, "bottom": y + height, "middle": x + width / 2}
    return place | {"texts": texts}
