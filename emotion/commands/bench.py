"""`bench`: a benchmark as resumable cells, and its report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from emotion.bench import BENCHES, BenchFailed, Place, measure
from emotion.bench.cells import BadLine
from emotion.commands.arguments import BadInput, amount, existing_folder, extra, tell


def add(commands: Any) -> None:
    bench = commands.add_parser("bench", help="run a benchmark as resumable cells and report it")
    bench.add_argument("bench", choices=sorted(BENCHES), metavar="NAME", help=", ".join(sorted(BENCHES)))
    bench.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data sets")
    bench.add_argument("--out", type=Path, required=True, metavar="DIR", help="raw lines go to DIR/raw, figures to DIR")
    bench.add_argument("--cache", type=Path, default=Path("var/bench"), metavar="DIR", help="features, half-done cells")
    bench.add_argument("--quick", action="store_true", help="the slice of a few minutes")
    bench.add_argument("--resume", action="store_true", help="keep the cells that are finished")
    bench.add_argument("--minutes", type=amount, help="start no cell after this many minutes")
    bench.add_argument("--only", default="", metavar="WORDS", help="cells whose name holds all these words")
    bench.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from emotion.data.clips import DataMissing

    existing_folder(options.data)
    asked = {name: getattr(options, name) for name in ("quick", "resume", "minutes", "only")}
    try:
        with extra(".[emotion]"):
            place = Place(options.data, options.cache)
            print(measure(options.bench, options.out, place=place, heard=tell, **asked))
    except (BenchFailed, BadLine, DataMissing) as problem:
        raise BadInput(str(problem)) from problem
    except OSError as problem:
        raise BadInput(f"{problem.filename or options.out}: {problem.strerror}") from problem
