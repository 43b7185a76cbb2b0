"""The tidy long table, built column by column: a million rows of it are usual, and a dictionary for each is slow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, repeat

import pyarrow as pa

from mhealth.outcomes.models import Response
from mhealth.research.cohort import Cohort, Person

BATCH_ROWS = 20_000
SHARED = ("person", "arm", "occasion", "day", "day_from_consent", "instrument", "instrument_version")
KINDS = ("item", "scale")
NO_SCALE = (None, None, None)  # band, n_missing, prorated: an item has none


@dataclass
class Pending:
    """Rows gathered so far. `shared` holds one entry per response and `times` how many rows it stands for."""

    shared: list[tuple] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)  # of KINDS
    scales: list[tuple] = field(default_factory=list)

    def add(self, person: Person, response: Response) -> None:
        """The items of a response, then its scales."""
        answers, scored = response.answers, response.scored.values()
        self.shared.append(_shared(person, response))
        self.times.append(len(answers) + len(scored))
        self.names += chain(_item_names(len(answers)), response.scored)
        self.values += chain(answers, (score.value for score in scored))
        self.kinds += chain(repeat(0, len(answers)), repeat(1, len(scored)))
        self.scales += chain(
            repeat(NO_SCALE, len(answers)), ((s.band or None, s.n_missing, s.prorated) for s in scored)
        )

    def columns(self, types: dict[str, pa.DataType]) -> dict[str, pa.Array]:
        """By name of the registry."""
        rows = pa.array(list(chain.from_iterable(map(repeat, range(len(self.times)), self.times))), pa.int32())
        spread = zip(SHARED, zip(*self.shared, strict=True), strict=True)
        columns = {name: pa.array(values, types[name]).take(rows) for name, values in spread}
        columns["kind"] = pa.array(KINDS).take(pa.array(self.kinds, pa.int8()))
        columns["name"] = pa.array(self.names)
        columns["value"] = pa.array(self.values, types["value"], from_pandas=False)
        for name, values in zip(("band", "n_missing", "prorated"), zip(*self.scales, strict=True), strict=True):
            columns[name] = pa.array(values, types[name])
        return columns


def batches(cohort: Cohort, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    types = dict(zip(schema.names, schema.types, strict=True))
    pending = Pending()
    for person in cohort.people:
        for response in cohort.responses(person):
            pending.add(person, response)
        if len(pending.names) >= BATCH_ROWS:
            yield pa.RecordBatch.from_pydict(pending.columns(types), schema=schema)
            pending = Pending()
    if pending.names:
        yield pa.RecordBatch.from_pydict(pending.columns(types), schema=schema)


def _shared(person: Person, response: Response) -> tuple:
    version = response.occasion.version
    days = person.days(response.answered_at).values()
    return person.code, person.arm or None, response.occasion.name, *days, version.instrument.slug, str(version)


@cache
def _item_names(n_items: int) -> Sequence[str]:
    return [f"q{number}" for number in range(1, n_items + 1)]
