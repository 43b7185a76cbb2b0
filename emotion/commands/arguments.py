"""What all commands share: complaints in one line, and the kinds of numbers they take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn


class BadInput(Exception):
    """What the user gave cannot be used: said in one line, exit code 2."""


class Parser(argparse.ArgumentParser):
    """Complains in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def amount(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a length of time")
    return value


def existing_folder(path: Path) -> None:
    if not path.is_dir():
        raise BadInput(f"{path} is not a folder")


def existing_files(*paths: Path | None) -> None:
    """Each that is given."""
    for path in paths:
        if path is not None and not path.is_file():
            raise BadInput(f"{path} is not a file")


@contextmanager
def extra(install: str) -> Iterator[None]:
    """A missing library is a line that says what to install."""
    try:
        yield
    except ModuleNotFoundError as missing:
        raise BadInput(f"{missing.name} is not installed: `pip install {install}`") from missing


def tell(line: str) -> None:
    print(line, file=sys.stderr)


def tell_written(*paths: Path) -> None:
    for path in paths:
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
