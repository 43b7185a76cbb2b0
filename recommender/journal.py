"""A study's journal: JSON lines, a header with the settings first, then every ask and tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class JournalMismatch(ValueError):
    """The journal belongs to a study with other settings, or cannot be read."""


class Journal:
    """Append-only; opening it returns what an earlier process wrote."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def open(self, header: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the lines after the header, none for a new file; raises JournalMismatch."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            self.write(header)
            return []
        try:
            text = self.path.read_text()
            complete = text[: text.rfind("\n") + 1]  # a crash may have cut the last line
            lines = [json.loads(line) for line in complete.splitlines()]
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise JournalMismatch(f"{self.path} is not a journal: {error}") from error
        if not lines or lines[0] != json.loads(json.dumps(header)):
            raise JournalMismatch(f"{self.path} belongs to a study with other settings")
        if complete != text:
            self.path.write_text(complete)
        return lines[1:]

    def write(self, line: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
