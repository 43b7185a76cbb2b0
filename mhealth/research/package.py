"""An export as files: the tables in every format, the codebook, and a manifest with the hash of everything.

The same data give the same bytes: rows are ordered, and every time in a file is the data cut-off.
"""

import csv
import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mhealth.research import columns, datapackage, ndjson, redcap, registry, statistical, tabular
from mhealth.research.cohort import SMALL_CELL, Cohort
from mhealth.research.columns import Table
from mhealth.research.readme import facts, readme
from mhealth.trials.models import Trial

FORMATS = ("csv", "parquet", "spss", "stata", "redcap", "fhir")
REPORT = "report"  # in place of the data: the page, its figures and its numbers
PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Order:
    """What was asked for. sites: only people of these; all where it is empty."""

    formats: tuple[str, ...] = FORMATS
    sites: tuple[str, ...] = ()
    identifiable: bool = False

    @classmethod
    def of(cls, formats: Iterable[str], sites: Iterable[str] = (), identifiable: bool = False) -> "Order":
        """As somebody asked for it; every format where none is named."""
        chosen = tuple(name for name in (*FORMATS, REPORT) if name in set(formats))
        return cls(chosen or FORMATS, tuple(sorted(set(sites))), identifiable)

    @property
    def is_report(self) -> bool:
        return REPORT in self.formats


EVERYTHING = Order()


@dataclass(frozen=True)
class Package:
    cut_off: datetime
    n_rows: int
    n_small: int  # people in small cells
    sha256: str  # of the manifest, which holds the hashes of all other files


def write(
    trial: Trial, folder: Path, order: Order = EVERYTHING, on_progress: Callable[[float], None] = lambda share: None
) -> Package:
    """Write the package of a trial into an existing folder; other files in it are left alone.

    The manifest comes last: a folder without one is not a package. on_progress: hears the share that is done.
    """
    cohort = Cohort(trial, order.sites)
    named = registry.tables(cohort.versions, unblinded=not cohort.trial.masked, identifiable=order.identifiable)
    tables = {table.name: table for table in named}
    steps = len(tables) + 1
    rows = {}
    for step, table in enumerate(named):
        hear = partial(_hear, cohort, on_progress, step, steps)
        rows[table.name] = tabular.write(table, _heard(tabular.batches(table, cohort), hear), folder)
    n_small = people_in_small_cells(cohort)
    names = _write_others(cohort, tables, rows, order, folder, n_small)
    files = {name: _described(folder / name) for name in sorted(names)}
    manifest = facts(cohort) | {"people_in_small_cells": n_small, "rows": rows, "files": files}
    content = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / "manifest.json").write_text(content, encoding="utf-8", newline="\n")
    return Package(cohort.cut_off, sum(rows.values()), n_small, hashlib.sha256(content.encode()).hexdigest())


def _hear(cohort: Cohort, on_progress: Callable[[float], None], step: int, steps: int) -> None:
    on_progress((step + cohort.share_read) / steps)


def _heard(given: Iterator[pa.RecordBatch], hear: Callable[[], None]) -> Iterator[pa.RecordBatch]:
    for batch in given:
        yield batch
        hear()


def _write_others(
    cohort: Cohort, tables: dict[str, Table], rows: dict[str, int], order: Order, folder: Path, n_small: int
) -> list[str]:
    """What is made from the tables; returns the names of all files but the manifest."""
    names = [f"{name}.{kind}" for kind in ("csv", "parquet") if kind in order.formats for name in tables]
    if rows["occasions_wide"] <= statistical.MAX_ROWS:
        names += _write_statistical(cohort, tables["occasions_wide"], order, folder)
    if "redcap" in order.formats:
        redcap.write(tables, folder)
        names += ["redcap_dictionary.csv", "redcap_import.csv"]
    if "fhir" in order.formats:
        ndjson.write(cohort, folder)
        names += [f"{kind}.ndjson" for kind in ndjson.FILES]
    for name in {f"{table}.{kind}" for kind in ("csv", "parquet") for table in tables} - set(names):
        (folder / name).unlink()
    _write_codebook(tables.values(), folder / "codebook.csv")
    text = readme(cohort, tables, rows, list(order.formats), n_small)
    (folder / "README.txt").write_text(text, encoding="utf-8", newline="\n")
    names += ["README.txt", "codebook.csv"]
    _write_datapackage(cohort, tables, names, folder)
    return [*names, "datapackage.json"]


def _write_statistical(cohort: Cohort, table: Table, order: Order, folder: Path) -> list[str]:
    wanted = {"spss": (statistical.write_sav, "sav"), "stata": (statistical.write_dta, "dta")}
    chosen = [wanted[name] for name in order.formats if name in wanted]
    frame = pq.read_table(folder / f"{table.name}.parquet").to_pandas() if chosen else None
    for writer, kind in chosen:
        writer(table, frame, folder / f"{table.name}.{kind}", title=cohort.trial.title, at=cohort.cut_off)
    return [f"{table.name}.{kind}" for _, kind in chosen]


def _write_datapackage(cohort: Cohort, tables: dict[str, Table], names: list[str], folder: Path) -> None:
    content = datapackage.described(
        tables,
        {name: _described(folder / name) for name in names},
        name=cohort.trial.slug,
        title=cohort.trial.title,
        version=version("mhealth-backend"),
        at=cohort.cut_off,
    )
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / "datapackage.json").write_text(text, encoding="utf-8", newline="\n")


def _write_codebook(tables: Iterable[Table], path: Path) -> None:
    header = ["table", "column", "type", "label", "levels", "codes", "minimum", "maximum", "key", "quasi_identifier"]
    with open(path, "w", encoding="utf-8", newline="") as text:
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow([*header, "identifies", "stata_name", "wording"])
        for table in tables:
            lines.writerows(_coded(table, column) for column in table.columns)


def _coded(table: Table, column: columns.Column) -> list[str]:
    codes = "|".join(f"{code}={text}" for code, text in column.codes)
    limits = [tabular.cell(limit) for limit in (column.minimum, column.maximum)]
    marks = [column.name in table.key, column.quasi_identifier, column.identifies]
    words = [table.name, column.name, column.type, column.label, "|".join(column.levels), codes]
    return [*words, *limits, *map(tabular.cell, marks), statistical.stata_name(column.name), column.wording]


def people_in_small_cells(cohort: Cohort) -> int:
    """People whose combination of quasi-identifiers is shared by fewer than five."""
    names = [column.name for column in columns.PEOPLE.columns if column.quasi_identifier]
    cells = Counter(tuple(row[name] for name in names) for row in tabular.ROWS["people"](cohort))
    return sum(people for people in cells.values() if people < SMALL_CELL)


def zipped(folder: Path, target: Path, at: datetime) -> None:
    """The files of the folder as a ZIP whose times are all `at`, a piece at a time."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            info = zipfile.ZipInfo(path.name, date_time=at.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info.file_size = path.stat().st_size
            with open(path, "rb") as source, archive.open(info, "w") as entry:
                while piece := source.read(PIECE_BYTES):
                    entry.write(piece)


def _described(path: Path) -> dict:
    with open(path, "rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
