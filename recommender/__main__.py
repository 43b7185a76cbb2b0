"""python -m recommender tune | train | rescore | evaluate | bench: tune, learn from a log, compare, measure."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from recommender import rescoring
from recommender.bench import BENCHES, BenchFailed, measure
from recommender.bench.cells import BadLine
from recommender.dandelion import Result, Unfit
from recommender.journal import JournalMismatch
from recommender.log import BadLog, DecisionLog, read_log
from recommender.pairs import PROTOCOLS, BadPairs
from recommender.rescoring import BEST, CHUNK
from recommender.space import Float, Int, InvalidSpace, Log, Setting, Space
from recommender.tuning import Command, UnusableCommand, minimise

VAE_SPACE: dict[str, Setting] = {
    "regularisation": Log(0.5, 500),
    "width": Int(8, 48),
    "latent": Int(4, 32),
    "beta": Log(0.001, 0.5),
    "id_dropout": Float(0, 0.5),
    "learning_rate": Log(3e-4, 3e-2),
    "weight_decay": Log(1e-4, 1),
}


class BadFile(ValueError):
    """A file named on the command line cannot be read or written."""


UNUSABLE = (BadFile, BadLine, BadLog, BadPairs, BenchFailed, InvalidSpace, JournalMismatch, UnusableCommand)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 2 and one line on standard error when the input is wrong."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except UNUSABLE as error:
        print(f"recommender {options.name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"recommender {options.name}: interrupted", file=sys.stderr)
        return 130


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _rising(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def tune_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--space", required=True, help='JSON: {"lr": {"type": "log", "low": 1e-4, "high": 1}, ...}')
    command.add_argument("--command", required=True, help='for example "python train.py --lr {lr}"')
    command.add_argument("--maximise", action="store_true", help="a larger number is better")
    command.add_argument("--budget", type=_positive, default=50, help="evaluations; with rungs, in their units")
    command.add_argument("--batch", type=_positive, default=1, help="evaluations asked together")
    command.add_argument("--workers", type=_positive, default=1, help="run at once; does not change the result")
    command.add_argument("--timeout", type=float, help="seconds after which an evaluation counts as failed")
    command.add_argument("--variant", choices=("efficient", "paper"), default="efficient")
    command.add_argument("--journal", help="resume from and append to this file")
    command.add_argument("--rungs", type=_rising, default=(1.0,), metavar="A,B,…", help="fidelities to go through")
    command.add_argument("--finalists", type=int, default=0, help="how many of the best are evaluated again")
    command.add_argument("--repeats", type=_positive, default=3, help="on how many fresh seeds each")
    command.add_argument("--checkpoints", default=".", metavar="DIR", help="where {checkpoint} points into")
    command.add_argument("--seed", type=int, default=0)


def tune(options: argparse.Namespace) -> int:
    space = Space.from_dict(_json(options.space))
    command = Command(
        options.command,
        space,
        maximise=options.maximise,
        timeout_s=options.timeout,
        checkpoints=options.checkpoints,
    )

    def heard(result: Result, best: Result | None) -> None:
        shown = "failed" if result.value is None else f"{command.sign * result.value:g}"
        print(f"{result.number + 1} of {options.budget}  {shown}  {json.dumps(result.config)}", file=sys.stderr)

    try:
        study = minimise(
            command,
            space,
            budget=options.budget,
            batch=options.batch,
            workers=options.workers,
            seed=options.seed,
            variant=options.variant,
            rungs=options.rungs,
            finalists=options.finalists,
            repeats=options.repeats,
            journal=options.journal,
            heard=heard,
        )
    except Unfit as error:
        raise BadFile(str(error)) from error
    if study.best is None or study.best.value is None:
        print("recommender tune: every trial failed", file=sys.stderr)
        return 1
    best = {"value": command.sign * study.best.value, "config": study.best.config, "trials": len(study.results)}
    print(json.dumps(best))
    return 0


def train_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--log", required=True, help="JSON lines, see recommender/log.py")
    command.add_argument("--out", required=True, help="folder for the model and its card")
    command.add_argument("--tune", type=int, default=0, metavar="N", help="choose hyper-parameters by N evaluations")
    command.add_argument("--journal", help="resume the tuning from this file")
    command.add_argument("--seed", type=int, default=0)


def train(options: argparse.Namespace) -> int:
    import torch

    from recommender.vae import NothingToLearn, Recommender, VaeConfig

    torch.set_num_threads(1)  # the matrices of a decision log are small: threads would only wait for each other
    log, config = read_log(options.log), VaeConfig()
    try:
        if options.tune:
            config = replace(config, **_tuned(log, options))
        model = Recommender(config, options.seed).fit(log.histories, log.contexts, log.activities)
        model.save(options.out)
    except NothingToLearn as error:
        raise BadLog(f"{options.log}: {error}") from error
    except OSError as error:
        raise BadFile(f"{options.out}: {error.strerror}") from error
    summary = {"people": len(log.people), "activities": len(log.activities), **model.report_}
    print(json.dumps({"out": str(options.out), **summary}))
    return 0


def rescore_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", required=True, metavar="DIR", help="what `train` wrote")
    command.add_argument("--log", required=True, help="JSON lines sorted by person, see recommender/log.py")
    command.add_argument("--out", required=True, help="a JSON line per person is appended: best activities, rewards")
    command.add_argument("--workers", type=_positive, default=2, help="processes; does not change the result")
    command.add_argument("--chunk", type=_positive, default=CHUNK, help="people in memory per worker")
    command.add_argument("--best", type=_positive, default=BEST, metavar="K", help="activities written per person")


def rescore(options: argparse.Namespace) -> int:
    from recommender.vae import IncompatibleModel

    def heard(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done:,} people", end="", file=sys.stderr)

    asked = {name: getattr(options, name) for name in ("workers", "chunk", "best")}
    try:
        people = rescoring.rescore(options.model, options.log, options.out, heard=heard, **asked)
    except (IncompatibleModel, OSError) as error:
        raise BadFile(str(error)) from error
    print(json.dumps({"out": options.out, "people": people}))
    return 0


def compare_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--pairs", required=True, help=".npz with train, test and optionally valid: (user, item)")
    command.add_argument("--protocol", choices=PROTOCOLS, required=True)
    command.add_argument("--out", required=True, help="JSON rows of model, metric, k, mean")
    command.add_argument("--seed", type=int, default=0)


def compare(options: argparse.Namespace) -> int:
    import torch

    from recommender.evaluation import evaluate

    if not Path(options.out).absolute().parent.is_dir() or Path(options.out).is_dir():
        raise BadFile(f"{options.out}: not a file in a folder that exists")  # said before the minutes, not after them
    torch.set_num_threads(1)  # one thread: the second core belongs to somebody else
    rows = evaluate(options.pairs, options.protocol, seed=options.seed, told=lambda line: print(line, file=sys.stderr))
    try:
        Path(options.out).write_text(json.dumps(rows, indent=1) + "\n")
    except OSError as error:
        raise BadFile(f"{options.out}: {error.strerror}") from error
    return 0


def bench_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("bench", choices=sorted(BENCHES), metavar="NAME", help=", ".join(sorted(BENCHES)))
    command.add_argument("--out", required=True, metavar="DIR", help="raw lines go to DIR/raw, figures to DIR")
    command.add_argument("--data", default="data", metavar="DIR", help="folder of the data sets")
    command.add_argument("--quick", action="store_true", help="the slice of a few minutes")
    command.add_argument("--resume", action="store_true", help="keep the cells that are finished")
    command.add_argument("--minutes", type=float, help="start no cell after this many minutes")
    command.add_argument("--only", default="", metavar="WORDS", help="cells whose name holds all these words")


def bench(options: argparse.Namespace) -> int:
    def heard(line: str) -> None:
        print(line, file=sys.stderr)

    try:
        asked = {name: getattr(options, name) for name in ("quick", "resume", "minutes", "only")}
        print(measure(options.bench, Path(options.out), data=Path(options.data), heard=heard, **asked))
    except ImportError as error:
        raise BenchFailed(f"{error}; the peers come with `pip install .[bench]`") from error
    except OSError as error:
        raise BadFile(f"{error.filename or options.out}: {error.strerror}") from error
    return 0


def _tuned(log: DecisionLog, options: argparse.Namespace) -> dict[str, Any]:
    """The hyper-parameters that rank best for later deliveries, by the dandelion optimizer."""
    from recommender.vae import Recommender, VaeConfig

    def loss(settings: dict[str, Any]) -> float | None:
        model = Recommender(replace(VaeConfig(), **settings), options.seed)
        report = model.fit(log.histories, log.contexts, log.activities).report_
        kept = report["ndcg_deep"] if report["deep_stays"] else report["ndcg_linear"]
        return None if kept is None else -kept

    def heard(result: Result, best: Result | None) -> None:
        shown = "nothing to judge by" if result.value is None else f"ndcg {-result.value:.4f}"
        print(f"{result.number + 1}/{options.tune}  {shown}", file=sys.stderr)

    journal = options.journal
    study = minimise(loss, Space(VAE_SPACE), budget=options.tune, seed=options.seed, journal=journal, heard=heard)
    return study.best.config if study.best else {}


def _json(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadFile(f"{path}: {error}") from error


COMMANDS = {  # name: what it does, what it takes, how it is run
    "tune": ("tune any command that prints a number on its last line", tune_arguments, tune),
    "train": ("train on an exported decision log", train_arguments, train),
    "rescore": ("score everybody of a log again, in constant memory", rescore_arguments, rescore),
    "evaluate": ("compare our model with its peers on an interaction file", compare_arguments, compare),
    "bench": ("run a benchmark as resumable cells and report it", bench_arguments, bench),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recommender", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    for name, (purpose, arguments, run) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose)
        command.set_defaults(run=run)
        arguments(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
