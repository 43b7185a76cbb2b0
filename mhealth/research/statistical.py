"""The wide table for SPSS and Stata: numbers with labels, and codes that say why a value is missing.

Both formats note when they were written; that note is set to the data cut-off, so that the same data give the
same bytes. The libraries below write the present time and offer no other.
"""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mhealth.research.columns import Column, Table

if TYPE_CHECKING:  # heavy, and needed only where these formats are asked for
    import pandas as pd

MAX_ROWS = 100_000  # both are written from memory
LABEL_CHARS = 80  # of Stata
NAME_CHARS = 32  # of Stata
# Reason: SPSS code, Stata code, label. SPSS codes lie far below every score.
MISSING = {
    "item": (-999, "a", "Item left unanswered"),
    "score": (-998, "b", "Not scorable: too many items unanswered"),
    "unanswered": (-997, "c", "Questionnaire not answered inside its window"),
    "unplanned": (-996, "d", "Questionnaire not planned for this occasion"),
}
USER_MISSING = [{"lo": -999, "hi": -996}]
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SAV_TIME = slice(92, 109)  # creation_date and creation_time of the file header
DTA_TIME = b"<timestamp>\x11"


class UnknownHeader(Exception):
    """The library writes another header than the one whose time we set."""


def write_sav(table: Table, frame: "pd.DataFrame", path: Path, *, title: str, at: datetime) -> None:
    """frame: the rows of the table, as read from Parquet."""
    import pandas as pd
    import pyreadstat

    reasons = {reason: float(code) for reason, (code, _, _) in MISSING.items()}
    coded = pd.DataFrame({column.name: _coded(column, frame, reasons) for column in table.columns})
    asked = [column.name for column in table.columns if column.asked_by and not _is_flag(column)]
    pyreadstat.write_sav(
        coded,
        path,
        file_label=title[:64],
        column_labels={column.name: column.label[:255] for column in table.columns},
        variable_value_labels=_labels(table, reasons),
        missing_ranges=dict.fromkeys(asked, USER_MISSING),
        variable_measure={column.name: _measure(column) for column in table.columns},
        variable_format={column.name: _sav_format(column) for column in table.columns if _is_numeric(column)},
        row_compress=True,
    )
    stamp = f"{at.day:02} {MONTHS[at.month - 1]} {at:%y%H:%M:%S}".encode()
    _restamp(path, SAV_TIME, stamp)


def write_dta(table: Table, frame: "pd.DataFrame", path: Path, *, title: str, at: datetime) -> None:
    """As `write_sav`, for Stata 14 and later; names longer than Stata allows are shortened as in the codebook."""
    import pandas as pd
    import pyreadstat

    reasons = {reason: letter for reason, (_, letter, _) in MISSING.items()}
    coded = {stata_name(column.name): _coded(column, frame, reasons) for column in table.columns}
    asked = [column for column in table.columns if column.asked_by and not _is_flag(column)]
    labels = {stata_name(name): words for name, words in _labels(table, reasons).items()}
    pyreadstat.write_dta(
        pd.DataFrame(coded),
        path,
        file_label=_short(title),
        column_labels={stata_name(column.name): _short(column.label) for column in table.columns},
        version=14,
        variable_value_labels=labels,
        missing_user_values={stata_name(column.name): list(reasons.values()) for column in asked},
    )
    head = path.read_bytes()[:400]
    start = head.find(DTA_TIME) + len(DTA_TIME)
    stamp = f"{at.day:02} {MONTHS[at.month - 1]} {at:%Y %H:%M}".encode()
    _restamp(path, slice(start, start + len(stamp)), stamp)


def stata_name(name: str) -> str:
    if len(name) <= NAME_CHARS:
        return name
    return f"{name[: NAME_CHARS - 7]}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def codes_of(column: Column) -> tuple[tuple[int, str], ...]:
    """What the numbers of a column stand for: its own codes, or those given to its few words."""
    if column.type == "boolean":
        return ((0, "no"), (1, "yes"))
    return column.codes or tuple(enumerate(column.levels, start=1))


def _coded(column: Column, frame: "pd.DataFrame", reasons: dict[str, object]) -> "pd.Series":
    values = frame[column.name]
    if not _is_numeric(column):
        return values.astype(object).where(values.notna(), "")
    if column.levels:
        values = values.map({word: code for code, word in codes_of(column)})
    values = values.astype("float64")
    if not column.asked_by or _is_flag(column):
        return values
    return _with_reasons(column, values, frame[f"{column.asked_by}_answered"], reasons)


def _with_reasons(
    column: Column, values: "pd.Series", answered: "pd.Series", reasons: dict[str, object]
) -> "pd.Series":
    """Why each empty value is empty; one without a reason stays system-missing."""
    why = answered.map({True: column.missing, False: "unanswered"}).where(answered.notna(), "unplanned")
    told = why.map(reasons).where(values.isna())
    if not told.notna().any():
        return values
    return told.where(told.notna(), values).astype("float64" if _all_numbers(reasons) else object)


def _all_numbers(reasons: dict[str, object]) -> bool:
    return all(isinstance(code, float) for code in reasons.values())


def _labels(table: Table, reasons: dict[str, object]) -> dict[str, dict]:
    found = {}
    for column in filter(_is_numeric, table.columns):
        words: dict = {float(code): text for code, text in codes_of(column)}
        if column.asked_by and not _is_flag(column):
            words |= {reasons[reason]: label for reason, (_, _, label) in MISSING.items()}
        if words:
            found[column.name] = words
    return found


def _is_flag(column: Column) -> bool:
    return column.name == f"{column.asked_by}_answered"


def _is_numeric(column: Column) -> bool:
    return column.type != "string" or bool(column.levels)


def _measure(column: Column) -> str:
    if column.type in ("string", "boolean"):
        return "ordinal" if column.name.endswith("_band") else "nominal"
    return "ordinal" if column.codes else "scale"


def _sav_format(column: Column) -> str:
    return "F10.4" if column.type == "number" else "F8.0"


def _short(text: str) -> str:
    """Stata counts bytes where ReadStat checks."""
    if len(text.encode()) <= LABEL_CHARS:
        return text
    return text.encode()[: LABEL_CHARS - 3].decode(errors="ignore") + "…"


def _restamp(path: Path, place: slice, stamp: bytes) -> None:
    """Raises UnknownHeader where there is no time at that place."""
    with open(path, "r+b") as file:
        file.seek(place.start)
        there = file.read(place.stop - place.start)
        if len(there) != len(stamp) or there[3:6].decode("ascii", "replace") not in MONTHS or b":" not in there:
            raise UnknownHeader(path.suffix)
        file.seek(place.start)
        file.write(stamp)
