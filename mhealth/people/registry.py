"""Data rights reach every room by registration: each says how it exports and erases one person."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Room:
    """export(participant) returns plain JSON data; erase(participant) removes rows and files;
    covers: the models that hold rows of a person, so that a test can find one nobody erases."""

    export: Callable[[object], dict]
    erase: Callable[[object], None]
    covers: tuple[str, ...]


rooms: dict[str, Room] = {}


def register(name: str, *, export_person: Callable, erase_person: Callable, covers: tuple[str, ...]) -> None:
    rooms[name] = Room(export_person, erase_person, covers)
