"""A REDCap project of the same data: its data dictionary, and a file for its data import tool.

People are one form. Questionnaires are a second, repeating form: one instance per occasion of a person.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from mhealth.research.columns import Column, Table
from mhealth.research.statistical import codes_of
from mhealth.research.tabular import cell

RECORD = "person"
FORMS = ("people", "occasions_wide")
HEADER = (
    "Variable / Field Name",
    "Form Name",
    "Section Header",
    "Field Type",
    "Field Label",
    "Choices, Calculations, OR Slider Labels",
    "Field Note",
    "Text Validation Type OR Show Slider Number",
    "Text Validation Min",
    "Text Validation Max",
    "Identifier?",
    "Branching Logic (Show field only if...)",
    "Required Field?",
    "Custom Alignment",
    "Question Number (surveys only)",
    "Matrix Group Name",
    "Matrix Ranking?",
    "Field Annotation",
)
VALIDATION = {"integer": "integer", "number": "number"}


def fields(tables: dict[str, Table]) -> list[tuple[str, Column]]:
    """(form, column) in the order of the dictionary; what both forms hold is asked once."""
    seen: dict[str, tuple[str, Column]] = {}
    for form in FORMS:
        for column in tables[form].columns:
            seen.setdefault(column.name, (form, column))
    return list(seen.values())


def write(tables: dict[str, Table], folder: Path) -> None:
    """redcap_dictionary.csv and redcap_import.csv, from the Parquet files of the folder."""
    known = fields(tables)
    with open(folder / "redcap_dictionary.csv", "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(HEADER)
        lines.writerows(_described(form, column) for form, column in known)
    names = [column.name for _, column in known]
    with open(folder / "redcap_import.csv", "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow([RECORD, "redcap_repeat_instrument", "redcap_repeat_instance", *names[1:]])
        for form in FORMS:
            mine = [column for owner, column in known if owner == form or column.name == RECORD]
            lines.writerows(_lines(folder / f"{form}.parquet", form, mine, names))


def _lines(path: Path, form: str, mine: list[Column], names: list[str]) -> Iterator[list[str]]:
    instance, before = 0, None
    for batch in pq.ParquetFile(path).iter_batches(columns=[column.name for column in mine]):
        for row in batch.to_pylist():
            instance = instance + 1 if row[RECORD] == before else 1
            before = row[RECORD]
            filled = {column.name: _value(column, row[column.name]) for column in mine}
            repeats = [form, str(instance)] if form != FORMS[0] else ["", ""]
            yield [row[RECORD], *repeats, *(filled.get(name, "") for name in names[1:])]


def _value(column: Column, value: object) -> str:
    if value is None:
        return ""
    if column.type == "boolean":
        return str(int(value))
    if column.levels:
        return str(column.levels.index(value) + 1)
    return value if isinstance(value, str) else cell(value)


def _described(form: str, column: Column) -> list[str]:
    choices = (
        "" if column.type == "boolean" else " | ".join(f"{code}, {_plain(text)}" for code, text in codes_of(column))
    )
    kind = "yesno" if column.type == "boolean" else "radio" if choices else "text"
    checked = kind == "text" and column.type in VALIDATION
    line = dict.fromkeys(HEADER, "") | {
        "Variable / Field Name": column.name,
        "Form Name": form,
        "Field Type": kind,
        "Field Label": column.label,
        "Choices, Calculations, OR Slider Labels": choices,
        "Text Validation Type OR Show Slider Number": VALIDATION[column.type] if checked else "",
        "Text Validation Min": _bound(column.minimum) if checked else "",
        "Text Validation Max": _bound(column.maximum) if checked else "",
        "Identifier?": "y" if column.identifies else "",
    }
    return list(line.values())


def _plain(text: str) -> str:
    """A bar would end the choice."""
    return text.replace("|", "/")


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
