"""A package at rest: a ZIP sealed in frames, so that neither storing nor sending it needs it in memory.

Layout: per frame four bytes of length and the sealed piece. Place, number and "is the last" are associated data:
frames cannot be left out, swapped, or moved to another export.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mhealth.platform import media
from mhealth.platform.crypto import CannotOpen
from mhealth.platform.models import DataKey

FRAME_BYTES = 1024 * 1024
LENGTH = struct.Struct(">I")


def store() -> media.FolderStore:
    return media.store("research")


def put(key: DataKey, place: str, path: Path) -> str:
    """Seal a file; returns its name in the store."""
    return store().put_pieces(_sealed(key, place, path))


def _sealed(key: DataKey, place: str, path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        piece, number = file.read(FRAME_BYTES), 0
        while True:
            following = file.read(FRAME_BYTES)
            frame = key.seal(piece, _context(place, number, last=not following))
            yield LENGTH.pack(len(frame)) + frame
            if not following:
                return
            piece, number = following, number + 1


def pieces(key: DataKey, place: str, name: str) -> Iterator[bytes]:
    """What was put, a frame at a time. Raises MediaGone at once, CannotOpen on the way."""
    store().open(name).close()
    return _opened(key, place, name)


def _opened(key: DataKey, place: str, name: str) -> Iterator[bytes]:
    number, more = 0, True
    with store().open(name) as file:
        while more:
            frame = _read(file)
            more = _more(file)
            yield key.unseal(frame, _context(place, number, last=not more))
            number += 1


def _read(file: BinaryIO) -> bytes:
    head = file.read(LENGTH.size)
    frame = file.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""
    if not frame:
        raise CannotOpen("a frame is missing")
    return frame


def _more(file: BinaryIO) -> bool:
    """Whether bytes follow."""
    ahead = file.read(1)
    file.seek(-len(ahead), 1)
    return bool(ahead)


def _context(place: str, number: int, *, last: bool) -> str:
    return f"{place}/{number}/{'last' if last else 'more'}"
