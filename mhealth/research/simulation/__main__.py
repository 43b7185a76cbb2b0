"""Run a simulation in this process, whose environment names a database of its own: see `simulate_trial`."""

import argparse
import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import django

TEMPLATE, DATABASE, LINES = "template.sqlite3", "simulation.sqlite3", "lines.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for name in ("people", "seeds", "data-sets", "lists"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("effect", "attrition"):
        parser.add_argument(f"--{name}", type=float, required=True)
    asked = parser.parse_args()
    django.setup()
    _refuse_other_databases(asked.folder)
    from mhealth.research.simulation import lines
    from mhealth.research.simulation.generator import Recipe

    recipe = Recipe(asked.people, asked.effect, asked.attrition)
    wanted = lines.cells(recipe, asked.seeds, asked.data_sets, asked.lists)
    try:
        with _progress(sum(map(_cost, wanted))) as advance:
            _run(wanted, asked.folder, advance)
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted; the same command goes on from {asked.folder / LINES}\n")
        return 130
    known = [line for cell in wanted if (line := lines.of(cell, lines.stored(asked.folder / LINES)))]
    sys.stdout.write("\n".join(lines.summary(recipe, known)) + "\n")
    return 0


def _refuse_other_databases(folder: Path) -> None:
    from django.conf import settings

    name = Path(str(settings.DATABASES["default"]["NAME"]))
    if name != folder / DATABASE:
        raise SystemExit("a simulation runs in a database of its own: use manage.py simulate_trial")


def _run(wanted: list, folder: Path, advance: Callable[[float], None]) -> None:
    from mhealth.research.simulation import lines

    known = lines.stored(folder / LINES)
    for cell in wanted:
        if not lines.of(cell, known):
            lines.append(folder / LINES, cell.key | _result(cell, folder))
        advance(_cost(cell))


def _result(cell, folder: Path) -> dict:
    from mhealth.research.simulation import direct

    if cell.kind == "lists":
        return direct.balance(100, range(cell.n))
    if cell.kind == "data sets":
        counted = direct.tally(cell.recipe, range(cell.first, cell.first + cell.n))
        return {"tally": asdict(counted)}
    return _played(cell, folder)


def _played(cell, folder: Path) -> dict:
    """In a fresh copy of an empty database, so that a trial that was cut off leaves nothing behind."""
    from mhealth.research.simulation import direct, played

    _fresh_database(folder)
    found = played.play(cell.recipe, cell.first, folder / "files")
    return found | {"rejected": found["p"] < direct.ALPHA}


def _fresh_database(folder: Path) -> None:
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    from mhealth.outcomes.instruments import load_instruments

    connections.close_all()
    for end in ("", "-wal", "-shm"):
        (folder / f"{DATABASE}{end}").unlink(missing_ok=True)
    if not (folder / TEMPLATE).exists():
        call_command("migrate", verbosity=0, interactive=False)
        load_instruments(settings.BASE_DIR / "fixtures" / "instruments")
        connections["default"].cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connections.close_all()
        shutil.copy(folder / DATABASE, folder / f"{TEMPLATE}.part")
        (folder / f"{TEMPLATE}.part").replace(folder / TEMPLATE)
    shutil.copy(folder / TEMPLATE, folder / DATABASE)


def _cost(cell) -> float:
    """In about seconds."""
    return {"lists": 60.0, "data sets": 0.1 * cell.n, "played": 0.2 * cell.recipe.people}[cell.kind]


@contextlib.contextmanager
def _progress(total: float) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("simulation", total=total)
        yield lambda cost: bar.update(task, advance=cost)


if __name__ == "__main__":
    sys.exit(main())
