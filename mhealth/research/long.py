"""The tidy long table, built column by column: a million rows of it are usual, and a dictionary for each is slow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pyarrow as pa

from mhealth.research.chunk import Answered, Scored
from mhealth.research.cohort import Cohort, Person

BATCH_ROWS = 20_000
SHARED = ("person", "arm", "occasion", "day", "day_from_consent", "instrument", "instrument_version")
OF_SCALE = ("band", "n_missing", "prorated")  # an item has none
KINDS = ("item", "scale")


@dataclass
class Pending:
    """Responses gathered so far: what all rows of each share, its values, and the names of its rows."""

    shared: list[tuple] = field(default_factory=list)
    layouts: list["Layout"] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)
    scores: list[Scored] = field(default_factory=list)

    def add(self, person: Person, response: Answered) -> None:
        """The items of a response, then its scales."""
        answers, scored = response.answers, response.scored.values()
        self.shared.append(_shared(person, response))
        self.layouts.append(layout_of(len(answers), tuple(response.scored)))
        self.values += answers
        self.values += [score.value for score in scored]
        self.scores += scored

    def columns(self, types: dict[str, pa.DataType]) -> dict[str, pa.Array]:
        """By name of the registry."""
        times = [len(layout.names) for layout in self.layouts]
        rows = pa.array(np.repeat(np.arange(len(times)), times))
        is_scale = np.concatenate([layout.is_scale for layout in self.layouts])
        spread = zip(SHARED, zip(*self.shared, strict=True), strict=True)
        columns = {name: pa.array(values, types[name]).take(rows) for name, values in spread}
        columns["kind"] = pa.array(KINDS).take(pa.array(is_scale.astype(np.int8)))
        columns["name"] = pa.concat_arrays([layout.names for layout in self.layouts])
        columns["value"] = pa.array(self.values, types["value"])
        place = pa.array(np.cumsum(is_scale) - 1, mask=~is_scale)  # of its score; an item has none
        for name in OF_SCALE:
            values = [getattr(score, name) or None if name == "band" else getattr(score, name) for score in self.scores]
            columns[name] = pa.array(values, types[name]).take(place)
        return columns


@dataclass(frozen=True)
class Layout:
    """The rows of one response: (rows,) names and whether each is a scale."""

    names: pa.Array
    is_scale: np.ndarray


@cache
def layout_of(n_items: int, scales: tuple[str, ...]) -> Layout:
    names = [f"q{number}" for number in range(1, n_items + 1)] + list(scales)
    return Layout(pa.array(names), np.arange(len(names)) >= n_items)


def batches(cohort: Cohort, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    types = dict(zip(schema.names, schema.types, strict=True))
    pending = Pending()
    for person in cohort.people:
        for response in cohort.responses(person):
            pending.add(person, response)
        if len(pending.values) >= BATCH_ROWS:
            yield pa.RecordBatch.from_pydict(pending.columns(types), schema=schema)
            pending = Pending()
    if pending.values:
        yield pa.RecordBatch.from_pydict(pending.columns(types), schema=schema)


def _shared(person: Person, response: Answered) -> tuple:
    version = response.occasion.version
    days = person.days(response.answered_at).values()
    return person.code, person.arm or None, response.occasion.name, *days, version.instrument.slug, str(version)
