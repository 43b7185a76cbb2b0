import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from mhealth.outcomes import scoring
from mhealth.outcomes.instruments import InvalidInstrument, newest_definition

ITEMS = [f"q{number}" for number in range(1, 22)]
VALUES = {"": None, "0": 0, "1": 1, "2": 2, "3": 3}


class BadRow(Exception):
    """A line of the file that cannot be scored as it stands."""


class Command(BaseCommand):
    help = (
        "Score DASS-21 answers: a CSV file with the columns id,q1…q21 (0 to 3, empty where missing) "
        "to CSV on standard output, doubled scores, empty where a scale cannot be scored."
    )
    requires_system_checks: list[str] = []  # a filter for files: it needs no database

    def add_arguments(self, parser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *, file: Path, **_options: object) -> None:
        try:
            instrument = newest_definition(settings.BASE_DIR / "fixtures" / "instruments", "dass21")
            with file.open(encoding="utf-8-sig", newline="") as lines:
                self.write(instrument, read_rows(lines))
        except BrokenPipeError:  # the reader of our output had enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (BadRow, InvalidInstrument, OSError, UnicodeDecodeError, csv.Error) as problem:
            raise CommandError(f"{file}: {_sentence(problem)}", returncode=2) from problem

    def write(self, instrument: scoring.Instrument, rows: Iterator[tuple[str, list]]) -> None:
        out = csv.writer(self.stdout, lineterminator="\n")
        scales = [scale.slug for scale in instrument.scales]
        suffixes = ("", "_band", "_missing", "_prorated")
        out.writerow(["id", *(f"{scale}{suffix}" for scale in scales for suffix in suffixes)])
        for row_id, answers in rows:
            scores = scoring.score(instrument, answers)
            out.writerow([row_id, *(cell for scale in scales for cell in cells(scores[scale]))])


def cells(score: scoring.Score) -> tuple[str, str, int, int]:
    # Six decimals hold a third exactly enough to fall on the same side of every band.
    value = "" if score.value is None else f"{score.value:.6f}".rstrip("0").rstrip(".")
    return value, score.band, score.n_missing, int(score.prorated)


def read_rows(lines: TextIO) -> Iterator[tuple[str, list[int | None]]]:
    """One (id, answers in item order) per line, as they come. Raises BadRow, for the first line at once."""
    reader = csv.DictReader(lines, strict=True)
    header = reader.fieldnames or []
    wrong = [name for name in ["id", *ITEMS] if header.count(name) != 1]
    if wrong:
        raise BadRow(f"the first line must name each of id,q1,…,q21 once; look at {', '.join(wrong[:3])}")
    return _answers(reader)


def _answers(reader: csv.DictReader) -> Iterator[tuple[str, list[int | None]]]:
    for row in reader:
        if None in row or None in row.values():
            raise BadRow(f"line {reader.line_num}: {len(reader.fieldnames)} fields are needed")
        yield row["id"], [_value(row[name], name, reader.line_num) for name in ITEMS]


def _value(text: str, name: str, line_number: int) -> int | None:
    try:
        return VALUES[text.strip()]
    except KeyError:
        raise BadRow(f"line {line_number}: {name} is {text!r}, it must be 0, 1, 2, 3 or empty") from None


def _sentence(problem: Exception) -> str:
    if isinstance(problem, OSError):
        return problem.strerror or "cannot be read"
    if isinstance(problem, UnicodeDecodeError):
        return "is not UTF-8 text"
    return str(problem)
