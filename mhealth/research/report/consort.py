"""The flow of participants as a figure (CONSORT 2010, Schulz et al., BMJ 340:c332)."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from django.template.loader import render_to_string

WIDTH, GAP, PAD, LINE = 900, 30, 12, 19  # in units of the drawing
ROW_GAP = 34


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    lines: tuple[str, ...]

    @property
    def height(self) -> float:
        return 2 * PAD + LINE * len(self.lines) - 4

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def texts(self) -> list[tuple[float, str, bool]]:
        """(baseline, words, whether bold)"""
        return [(self.y + PAD + 11 + LINE * n, line, n == 0) for n, line in enumerate(self.lines)]


def svg(not_randomised: dict[str, int], flow: pd.DataFrame, endpoint: str) -> str:
    """not_randomised: why -> people; flow: as `course.flow` makes it, an arm a row."""
    assessed = sum(not_randomised.values()) + int(flow["allocated"].sum())
    start = Box(WIDTH / 2 - 150, 8, 300, (f"Assessed for eligibility (n = {assessed})",))
    aside_lines = [f"{words.capitalize()}: {n}" for words, n in not_randomised.items()]
    aside = Box(
        WIDTH - 300, start.bottom + 18, 292, (f"Not randomised (n = {sum(not_randomised.values())})", *aside_lines)
    )
    randomised = Box(WIDTH / 2 - 150, aside.bottom + 18, 300, (f"Randomised (n = {int(flow['allocated'].sum())})",))
    columns = [
        _column(line, n, len(flow), randomised.bottom + 2 * ROW_GAP, endpoint)
        for n, line in enumerate(flow.to_dict("records"))
    ]
    _check_level(columns)
    height = max(box.bottom for column in columns for box in column) + 8
    context = {"width": WIDTH, "height": height, "boxes": [start, aside, randomised, *(b for c in columns for b in c)]}
    return render_to_string("research/consort.svg", context | {"arrows": _arrows(start, aside, randomised, columns)})


def _column(arm: dict, place: int, n_arms: int, top: float, endpoint: str) -> list[Box]:
    width = (WIDTH - 16 - GAP * (n_arms - 1)) / n_arms
    x, boxes = 8 + place * (width + GAP), []
    for lines in _words(arm, endpoint):
        y = boxes[-1].bottom + ROW_GAP if boxes else top
        boxes.append(Box(x, y, width, tuple(lines)))
    return boxes


def _words(arm: dict, endpoint: str) -> Sequence[Sequence[str]]:
    without = arm["stayed_without_outcome"] + arm["withdrew_without_outcome"]
    return (
        (
            f"Allocated to {arm['arm']} (n = {arm['allocated']})",
            f"Shown an activity: {arm['shown_an_activity']}",
            f"Not shown one: {arm['allocated'] - arm['shown_an_activity']}",
        ),
        (
            f"No outcome at {endpoint} (n = {without})",
            f"Left the trial: {arm['withdrew_without_outcome']}",
            f"Stayed, no score: {arm['stayed_without_outcome']}",
        ),
        (
            f"Analysed (n = {arm['analysed']})",
            f"Of these, left the trial: {arm['withdrew'] - arm['withdrew_without_outcome']}",
        ),
    )


def _check_level(columns: list[list[Box]]) -> None:
    """Boxes of one stage stand at one height, because all have the same number of lines."""
    for stage in zip(*columns, strict=True):
        assert len({(box.y, box.height) for box in stage}) == 1


def _arrows(start: Box, aside: Box, randomised: Box, columns: list[list[Box]]) -> list[str]:
    """Paths; the last point of each carries the head."""
    middle, fork = start.middle, randomised.bottom + ROW_GAP
    beside = aside.y + aside.height / 2
    paths = [f"M{middle} {start.bottom}V{randomised.y}", f"M{middle} {beside}H{aside.x}"]
    for place, column in enumerate(columns):
        trunk = f"M{middle} {randomised.bottom}V{fork}" if place == 0 else f"M{middle} {fork}"
        paths.append(f"{trunk}H{column[0].middle}V{column[0].y}")
        paths += [f"M{a.middle} {a.bottom}V{b.y}" for a, b in zip(column, column[1:], strict=False)]
    return paths
