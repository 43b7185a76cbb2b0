"""Tables as CSV and Parquet, a batch of rows at a time and both in one pass."""

import csv
import gc
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mhealth.research import arrow, long, restricted_rows, rows
from mhealth.research.cohort import Cohort
from mhealth.research.columns import Column, Table
from mhealth.research.rows import Row

BATCH_ROWS = 5000
GATHERED_ROWS = 250
COMMA, EMPTY, NEWLINE = arrow.strings([",", "", "\n"])  # scalars of Arrow: others would import pandas
ARROW = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
ROWS: dict[str, Callable[[Cohort], Iterator[Row]]] = {
    "people": rows.people,
    "occasions_wide": rows.occasions_wide,
    "check_ins": rows.check_ins,
    "estimates": rows.estimates,
    "engagement": rows.engagement,
    "decisions": restricted_rows.decisions,
    "candidates": restricted_rows.candidates,
    "weights": restricted_rows.weights,
    "reliability": restricted_rows.reliability,
    "identities": restricted_rows.identities,
}


class UnregisteredColumn(Exception):
    """A row holds a column that the registry does not know: nothing leaves unregistered."""


def schema_of(table: Table) -> pa.Schema:
    return pa.schema([_field(column) for column in table.columns])


def _field(column: Column) -> pa.Field:
    return pa.field(column.name, ARROW[column.type], metadata={"label": column.label})


def batches(table: Table, cohort: Cohort) -> Iterator[pa.RecordBatch]:
    """The rows of a table as they leave. Raises UnregisteredColumn."""
    schema = schema_of(table)
    if table.name == "answers_long":
        yield from long.batches(cohort, schema)
        return
    given = ROWS[table.name](cohort)
    while columns := _gathered(table, islice(given, BATCH_ROWS)):
        arrays = [arrow.column(columns[field.name], field.type) for field in schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _gathered(table: Table, rows: Iterator[Row]) -> dict[str, list]:
    """Column by column; empty without rows. A few at a time: thousands of dictionaries take ten times the memory."""
    columns: dict[str, list] = {}
    while few := list(islice(rows, GATHERED_ROWS)):
        if unknown := set().union(*few) - set(table.names):
            raise UnregisteredColumn(f"{table.name}: {', '.join(sorted(unknown))}")
        for column in table.columns:
            values = [row.get(column.name) for row in few]
            said = [value or None for value in values] if column.type == "string" else values  # "" is missing
            columns.setdefault(column.name, []).extend(said)
    return columns


def write(table: Table, given: Iterable[pa.RecordBatch], folder: Path) -> int:
    """<table>.csv and <table>.parquet; returns the number of rows."""
    n_rows = 0
    with ExitStack() as files:
        files.enter_context(only_ours_collected())
        text = files.enter_context(open(folder / f"{table.name}.csv", "wb"))
        parquet = files.enter_context(pq.ParquetWriter(folder / f"{table.name}.parquet", schema_of(table)))
        text.write((",".join(table.names) + "\n").encode())
        for batch in given:
            text.write(lines(batch))
            parquet.write_batch(batch)
            n_rows += batch.num_rows
    return n_rows


@contextmanager
def only_ours_collected() -> Iterator[None]:
    """Millions of rows make the garbage collector look through all that the process had loaded, over and over."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def lines(batch: pa.RecordBatch) -> memoryview:
    """Lines of CSV in UTF-8: numbers with a point stay numbers with a point, empty where missing."""
    cells = [_cells(column) for column in batch.columns]
    joined = pc.binary_join_element_wise(*cells, COMMA, null_handling="replace", null_replacement="")
    ended = pc.binary_join_element_wise(joined, EMPTY, NEWLINE)
    _, _, text = ended.buffers()  # one line after another
    return memoryview(text)


def _cells(column: pa.Array) -> pa.Array:
    """Each distinct value is put into words once."""
    encoded = column.dictionary_encode()
    words = [None if value is None else cell(value) for value in encoded.dictionary.to_pylist()]
    return arrow.strings(words).take(encoded.indices)


def cell(value: object) -> str:
    """One cell of CSV, quoted where it must be."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    return repr(value)


def _quoted(text: str) -> str:
    if not any(mark in text for mark in ',"\r\n'):
        return text
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([text])
    return line.getvalue()
