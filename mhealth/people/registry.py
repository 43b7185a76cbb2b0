"""Data rights reach every room by registration: each says how it exports and erases one person."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime


def _no_files(_participant: object) -> Iterable[tuple[str, bytes]]:
    return ()


def _nothing(*_of_a_person: object) -> None:
    return None


@dataclass(frozen=True)
class Room:
    """What one room does for the rights of a person.

    export(participant) returns plain JSON data; export_files(participant) yields (name, content) of media still held;
    erase(participant) removes rows and files; delete_media(participant) removes raw media only;
    withdraw(participant, scope, said_at) stops what rested on a consent and came in before it was withdrawn; it is
    repeated until it has worked (people.following), so that doing it twice must be harmless.
    covers: the models that hold rows of a person, so that a test can find one nobody erases;
    keeps: those of them whose rows stay after an erasure, as tombstones for a trial's counts.
    """

    export: Callable[[object], dict]
    erase: Callable[[object], None]
    covers: tuple[str, ...]
    keeps: tuple[str, ...] = ()
    export_files: Callable[[object], Iterable[tuple[str, bytes]]] = _no_files
    delete_media: Callable[[object], None] = _nothing
    withdraw: Callable[[object, str, datetime], None] = _nothing


rooms: dict[str, Room] = {}


def register(
    name: str, *, export_person: Callable, erase_person: Callable, covers: tuple[str, ...], **more: object
) -> None:
    """`more`: keeps, export_files, delete_media, withdraw; see Room."""
    rooms[name] = Room(export_person, erase_person, covers, **more)


def from_the_top() -> list[Room]:
    """Rooms, the highest floor first: what points downwards goes before what it points to."""
    return list(reversed(rooms.values()))
