"""The tidy long table, built column by column: a million rows of it are usual, and a dictionary for each is slow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pyarrow as pa

from mhealth.research import arrow
from mhealth.research.answers import Given, Score, answers_of
from mhealth.research.cohort import Cohort, Person

BATCH_ROWS = 10_000
SHARED = ("person", "arm", "occasion", "day", "day_from_consent", "instrument", "instrument_version")


@dataclass
class Pending:
    """Responses gathered so far: what all rows of each share, its values, and the names of its rows."""

    shared: list[tuple] = field(default_factory=list)
    layouts: list["Layout"] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)
    scores: list[tuple] = field(default_factory=list)

    def add(self, person: Person, given: Given, scores: list[tuple]) -> None:
        """The items of a response, then its scales."""
        self.shared.append(_shared(person, given))
        self.layouts.append(layout_of(len(given.answers), tuple([score[SCALE] for score in scores])))
        self.values += given.answers
        self.values += [score[VALUE] for score in scores]
        self.scores += scores

    def columns(self, types: dict[str, pa.DataType]) -> dict[str, pa.Array]:
        """By name of the registry."""
        times = [len(layout.names) for layout in self.layouts]
        spread = zip(SHARED, zip(*self.shared, strict=True), strict=True)
        columns = {name: arrow.repeated(values, types[name], times) for name, values in spread}
        columns["kind"] = pa.concat_arrays([layout.kinds for layout in self.layouts])
        columns["name"] = pa.concat_arrays([layout.names for layout in self.layouts])
        columns["value"] = arrow.numbers(self.values)
        return columns | self._of_scales(types)

    def _of_scales(self, types: dict[str, pa.DataType]) -> dict[str, pa.Array]:
        """What an item has not."""
        is_scale = np.concatenate([layout.is_scale for layout in self.layouts])
        place = arrow.places(np.cumsum(is_scale) - 1, is_scale)
        scored = Score(*zip(*self.scores, strict=True)) if self.scores else Score(*[()] * len(Score._fields))
        given = {"band": [band or None for band in scored.band], "n_missing": scored.n_missing}
        given["prorated"] = [bool(prorated) for prorated in scored.prorated]
        return {name: arrow.column(values, types[name]).take(place) for name, values in given.items()}


SCALE, VALUE = Score._fields.index("scale"), Score._fields.index("value")


@dataclass(frozen=True)
class Layout:
    """The rows of one response: (rows,) names, kinds, and whether each is a scale."""

    names: pa.Array
    kinds: pa.Array
    is_scale: np.ndarray


@cache
def layout_of(n_items: int, scales: tuple[str, ...]) -> Layout:
    names = [f"q{number}" for number in range(1, n_items + 1)] + list(scales)
    kinds = ["item"] * n_items + ["scale"] * len(scales)
    return Layout(arrow.strings(names), arrow.strings(kinds), np.arange(len(names)) >= n_items)


def batches(cohort: Cohort, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    types = dict(zip(schema.names, schema.types, strict=True))
    pending = Pending()
    for person, given, scores in answers_of(cohort):
        pending.add(person, given, scores)
        if len(pending.values) >= BATCH_ROWS:
            yield _batch(pending, types, schema)
            pending = Pending()
    if pending.values:
        yield _batch(pending, types, schema)


def _batch(pending: Pending, types: dict[str, pa.DataType], schema: pa.Schema) -> pa.RecordBatch:
    columns = pending.columns(types)
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _shared(person: Person, given: Given) -> tuple:
    days = person.days(given.answered_at).values()
    return person.code, person.arm or None, given.occasion, *days, given.instrument, given.version
