"""Sealed bytes in a folder. Names are random; nothing a user named becomes a path."""

import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlparse

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class MediaGone(Exception):
    """The bytes were deleted, by retention or erasure."""


class FolderStore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, sealed: bytes) -> str:
        """Write, force to disk and return the name."""
        return self.put_pieces([sealed])

    def put_pieces(self, pieces: Iterable[bytes]) -> str:
        """As `put`, for what is too large to hold: a file that was not finished has no name."""
        name = uuid.uuid4().hex
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.with_suffix(".part"), "xb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".part").rename(path)
        return name

    def get(self, name: str) -> bytes:
        """Raises MediaGone."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError as gone:
            raise MediaGone(name) from gone

    def open(self, name: str) -> BinaryIO:
        """Raises MediaGone."""
        try:
            return self._path(name).open("rb")
        except FileNotFoundError as gone:
            raise MediaGone(name) from gone

    def delete_unfinished(self, before: float) -> int:
        """Delete what processes that died left behind. before: seconds since the epoch; returns how many."""
        left = [path for path in self.folder.glob("??/*.part") if path.stat().st_mtime < before]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def delete(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def names(self):
        return (path.name for path in self.folder.glob("??/*") if path.suffix != ".part")

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / uuid.UUID(hex=name).hex


def store(shelf: str = "") -> FolderStore:
    """The folder of what check-ins hold, or a named shelf beside it whose files they do not count as theirs."""
    url = urlparse(settings.MEDIA_STORE_URL)
    if url.scheme != "file":
        raise ImproperlyConfigured("MEDIA_STORE_URL must be file:///folder")
    return FolderStore(Path(url.path) / shelf)
