"""Files are rows of segments, and one of millions of empty ones would keep the gate busy for minutes."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

Segment = TypeVar("Segment")


class TooManySegments(Exception):
    """More segments than any camera, recorder or editor writes."""


def at_most(most: int, segments: Iterable[Segment]) -> Iterator[Segment]:
    """The segments. Raises TooManySegments when there is one more than `most`."""
    for number, segment in enumerate(segments):
        if number == most:
            raise TooManySegments
        yield segment
