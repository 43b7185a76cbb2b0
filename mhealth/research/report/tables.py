"""A table of the report: numbers as they are for CSV, and as a reader wants them for the page."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

NOTHING = "–"
SHORT = 24  # rows
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Table:
    """name: of the CSV file; rows: the numbers; shown: header and cells of the page."""

    name: str
    caption: str
    rows: pd.DataFrame
    header: Sequence[str]
    cells: Sequence[Sequence[str]]
    note: str = ""

    @property
    def short(self) -> bool:
        """Whether it is kept on one page."""
        return len(self.cells) <= SHORT

    def csv(self) -> str:
        return self.rows.to_csv(index=False, float_format="%.6g", lineterminator="\n")


@dataclass(frozen=True)
class Figure:
    name: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Section:
    title: str
    text: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    anchor: str = field(default="")


def table(name: str, caption: str, rows: pd.DataFrame, shown: Mapping[str, Callable], note: str = "") -> Table:
    """shown: heading -> function of a row (a mapping of its columns) that gives the cell."""
    lines = rows.to_dict("records")
    cells = [[cell(line) for cell in shown.values()] for line in lines]
    return Table(name, caption, rows, list(shown), once(cells), note)


def once(cells: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The first cell of a row is said once for all rows below that share it."""
    above = [None, *(row[0] for row in cells[:-1])]
    return [row if row[0] != said_above else ["", *row[1:]] for row, said_above in zip(cells, above, strict=True)]


def said(column: str) -> Callable[[Mapping], str]:
    return lambda row: words(row[column])


def count(column: str) -> Callable[[Mapping], str]:
    return lambda row: NOTHING if _missing(row[column]) else f"{int(row[column]):,}"


def number(column: str, digits: int = 2) -> Callable[[Mapping], str]:
    return lambda row: fixed(row[column], digits)


def percent(column: str) -> Callable[[Mapping], str]:
    return lambda row: share(row[column])


def interval(low: str = "low", high: str = "high", digits: int = 2) -> Callable[[Mapping], str]:
    def cell(row: Mapping) -> str:
        if _missing(row[low]) or _missing(row[high]):
            return NOTHING
        return f"{fixed(row[low], digits)} to {fixed(row[high], digits)}"

    return cell


def p_value(column: str = "p") -> Callable[[Mapping], str]:
    return lambda row: (
        NOTHING
        if _missing(row[column])
        else "< .001"
        if row[column] < 0.001
        else f"{row[column]:.3f}"[1:]
        if row[column] < 0.9995
        else "1"
    )


def words(value: object) -> str:
    return NOTHING if _missing(value) else str(value).replace("_", " ")


def fixed(value: object, digits: int = 2) -> str:
    """With a true minus sign; no minus before a zero."""
    if _missing(value):
        return NOTHING
    text = f"{float(value):.{digits}f}"
    text = text.removeprefix("-") if float(text) == 0 else text
    return text.replace("-", MINUS)


def share(value: object) -> str:
    return NOTHING if _missing(value) else f"{100 * float(value):.0f} %"


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
