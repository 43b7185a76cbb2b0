"""An export as files: each table as CSV and Parquet, the codebook, and a manifest with the hash of everything.

The same data give the same bytes: rows are ordered, and every time in a file is the data cut-off.
"""

import csv
import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mhealth.research import columns
from mhealth.research.cohort import SMALL_CELL, Cohort
from mhealth.research.columns import Table
from mhealth.research.rows import ROWS, Row
from mhealth.trials.models import Trial

BATCH_ROWS = 5000
ARROW = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
README = """{title}

De-identified data of a randomised trial. Read codebook.csv first: it names every column of every table.
Each table is there twice, as CSV (UTF-8, empty where missing) and as Parquet.
Days count from allocation (day 0) in the person's own zone; there are no dates. Arms: {arms}.
Answers outside their window are kept in the database and are not in here ({n_left_out}).
{small_cells}
manifest.json has the SHA-256 of every file. Estimates say what face and voice express, not what a person feels.
"""


class UnregisteredColumn(Exception):
    """A row holds a column that the registry does not know: nothing leaves unregistered."""


@dataclass(frozen=True)
class Package:
    cut_off: datetime
    n_rows: int
    sha256: str  # of the manifest, which holds the hashes of all other files


def write(trial: Trial, folder: Path) -> Package:
    """Write the package of a trial into an existing folder; other files in it are left alone."""
    cohort = Cohort(trial)
    tables = columns.tables(cohort.versions)
    n_rows = {table.name: _write_table(table, ROWS[table.name](cohort), folder) for table in tables}
    n_small = people_in_small_cells(cohort)
    _write_codebook(tables, folder / "codebook.csv")
    (folder / "README.txt").write_text(_readme(cohort, n_small), encoding="utf-8", newline="\n")
    names = ["README.txt", "codebook.csv", *(f"{name}.{kind}" for name in n_rows for kind in ("csv", "parquet"))]
    files = {name: _described(folder / name) for name in names}
    manifest = _facts(cohort) | {"people_in_small_cells": n_small, "rows": n_rows, "files": files}
    content = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / "manifest.json").write_text(content, encoding="utf-8", newline="\n")
    return Package(cohort.cut_off, sum(n_rows.values()), hashlib.sha256(content.encode()).hexdigest())


def zipped(folder: Path, at: datetime) -> bytes:
    """The files of the folder as a ZIP whose times are all `at`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            info = zipfile.ZipInfo(path.name, date_time=at.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, path.read_bytes())
    return buffer.getvalue()


def _write_table(table: Table, rows: Iterator[Row], folder: Path) -> int:
    """Both formats in one pass, a batch at a time; returns the number of rows."""
    schema = pa.schema([pa.field(column.name, ARROW[column.type]) for column in table.columns])
    n_rows = 0
    with (
        open(folder / f"{table.name}.csv", "w", encoding="utf-8", newline="") as text,
        pq.ParquetWriter(folder / f"{table.name}.parquet", schema) as parquet,
    ):
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(table.names)
        while batch := [_checked(table, row) for row in islice(rows, BATCH_ROWS)]:
            lines.writerows([_cell(row.get(name)) for name in table.names] for row in batch)
            parquet.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
            n_rows += len(batch)
    return n_rows


def _checked(table: Table, row: Row) -> Row:
    if unknown := row.keys() - set(table.names):
        raise UnregisteredColumn(f"{table.name}: {', '.join(sorted(unknown))}")
    return row


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _write_codebook(tables: Iterable[Table], path: Path) -> None:
    with open(path, "w", encoding="utf-8", newline="") as text:
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(["table", "column", "type", "label", "levels", "key", "quasi_identifier"])
        for table in tables:
            for column in table.columns:
                marks = [_cell(column.name in table.key), _cell(column.quasi_identifier)]
                levels = "|".join(level for level in column.levels if level)
                lines.writerow([table.name, column.name, column.type, column.label, levels, *marks])


def people_in_small_cells(cohort: Cohort) -> int:
    """People whose combination of quasi-identifiers is shared by fewer than five."""
    names = [column.name for column in columns.PEOPLE.columns if column.quasi_identifier]
    cells = Counter(tuple(row[name] for name in names) for row in ROWS["people"](cohort))
    return sum(people for people in cells.values() if people < SMALL_CELL)


def _readme(cohort: Cohort, n_small: int) -> str:
    warning = f"Warning: {n_small} people are in cells (site, sex, age band, language) of fewer than {SMALL_CELL}."
    return README.format(
        title=cohort.trial.title,
        arms="masked letters" if cohort.trial.masked else "by name",
        n_left_out=cohort.n_left_out(),
        small_cells=warning if n_small else "Nobody is in a small cell.",
    )


def _facts(cohort: Cohort) -> dict:
    return {
        "trial": cohort.trial.slug,
        "study": cohort.trial.study.slug,
        "cut_off": cohort.cut_off.isoformat(),
        "generated_at": cohort.cut_off.isoformat(),
        "arms": "masked" if cohort.trial.masked else "named",
        "people": cohort.flow(),
        "responses_left_out": cohort.n_left_out(),
        "versions": {
            "tool": version("mhealth-backend"),
            "instruments": {f"{v.instrument.slug} {v.version}": v.rules.rule_version for v in cohort.versions},
            "recognisers": cohort.recognisers(),
            "allocation": cohort.trial.recipe,
        },
    }


def _described(path: Path) -> dict:
    with open(path, "rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
