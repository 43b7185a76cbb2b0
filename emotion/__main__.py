"""Command line: `python -m emotion` with one of the commands that `parser` names."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from emotion.bench import BENCHES, BenchFailed, Place, measure
from emotion.bench.cells import BadLine
from emotion.checkpoint import BadCheckpoint, NoModel, default_path, read_card


class BadInput(Exception):
    """What the user gave cannot be used: said in one line, exit code 2."""


class Parser(argparse.ArgumentParser):
    """Complains in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except (BadInput, NoModel, BadCheckpoint) as problem:
        print(f"python -m emotion {options.command}: {problem}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def parser() -> Parser:
    root = Parser(prog="python -m emotion", description="Expressed emotion from faces and voices.")
    commands = root.add_subparsers(dest="command", required=True)

    train = commands.add_parser("train", help="train a network and write a checkpoint with its card")
    train.add_argument("modality", choices=("face", "voice", "text"))
    train.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data sets")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="state, history and checkpoint go here")
    train.add_argument("--seed", type=_natural, default=0)
    train.add_argument("--epochs", type=_positive, help="length of the schedule")
    train.add_argument("--minutes", type=_amount, help="budget of time; the schedule is shortened to fit into it")
    train.add_argument("--folds", type=_natural, default=5, help="voice: folds of people to judge on first, 0 to 5")
    train.add_argument("--resume", action="store_true", help="go on from the last whole epoch in --out")
    train.set_defaults(run=run_train)

    evaluate = commands.add_parser("evaluate", help="score a model on a manifest (CSV: path,label,person), or fusion")
    evaluate.add_argument("modality", choices=("face", "voice", "fusion"))
    evaluate.add_argument("--manifest", type=Path, metavar="FILE.csv")
    evaluate.add_argument(
        "--posteriors", type=Path, metavar="FILE.csv", help="fusion: clip,person,label,voice_… face_…"
    )
    evaluate.add_argument("--population", type=Path, metavar="FILE.csv", help="fusion: other people to learn from")
    evaluate.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    evaluate.add_argument("--model", type=Path, metavar="FILE.safetensors", help="instead of the one that ships")
    evaluate.add_argument("--cropped", action="store_true", help="face: images are crops already, no detection")
    evaluate.add_argument(
        "--personal-baseline",
        type=_natural,
        default=0,
        metavar="K",
        help="a person's first K clips, unlabelled, set their baseline; the rest is scored",
    )
    evaluate.set_defaults(run=run_evaluate)

    analyse = commands.add_parser("analyse", help="read one check-in from files")
    analyse.add_argument("--face", type=Path, metavar="FILE")
    analyse.add_argument("--voice", type=Path, metavar="FILE")
    analyse.add_argument("--video", type=Path, metavar="FILE", help="face and voice of one clip; needs PyAV")
    analyse.add_argument("--text")
    analyse.add_argument("--json", action="store_true", help="for machines")
    analyse.add_argument("--explain", action="store_true", help="which parts of the face and the voice it rests on")
    analyse.add_argument(
        "--out", type=Path, metavar="DIR", help="pictures of the explanation go here; needs matplotlib"
    )
    analyse.set_defaults(run=run_analyse)

    card = commands.add_parser("card", help="print what a checkpoint says of itself")
    card.add_argument("modality", choices=("face", "voice", "text"))
    card.add_argument("--model", type=Path, metavar="FILE.safetensors", help="instead of the one that ships")
    card.set_defaults(run=run_card)

    release = commands.add_parser("release", help="open the public test once for a face checkpoint, log it, install it")
    release.add_argument("modality", choices=("face",))
    release.add_argument("--model", type=Path, required=True, metavar="FILE.safetensors")
    release.add_argument("--data", type=Path, required=True, metavar="DIR")
    release.add_argument("--to", type=Path, default=default_path("face"), metavar="FILE.safetensors")
    release.set_defaults(run=run_release)

    export = commands.add_parser("export", help="write the ONNX files that are served; needs torch and onnx")
    export.add_argument("what", nargs="?", choices=("face", "voice", "detector", "all"), default="all")
    export.add_argument("--model", type=Path, metavar="FILE.safetensors", help="instead of the one that ships")
    export.set_defaults(run=run_export)

    calibrate = commands.add_parser(
        "calibrate-strangers", help="fit what refuses music, noise and things to a checkpoint"
    )
    calibrate.add_argument("modality", nargs="?", choices=("face", "voice", "all"), default="all")
    calibrate.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data sets")
    calibrate.add_argument("--model", type=Path, metavar="FILE.safetensors", help="instead of the one that ships")
    calibrate.set_defaults(run=run_calibrate)

    bench = commands.add_parser("bench", help="run a benchmark as resumable cells and report it")
    bench.add_argument("bench", choices=sorted(BENCHES), metavar="NAME", help=", ".join(sorted(BENCHES)))
    bench.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data sets")
    bench.add_argument("--out", type=Path, required=True, metavar="DIR", help="raw lines go to DIR/raw, figures to DIR")
    bench.add_argument("--cache", type=Path, default=Path("var/bench"), metavar="DIR", help="features, half-done cells")
    bench.add_argument("--quick", action="store_true", help="the slice of a few minutes")
    bench.add_argument("--resume", action="store_true", help="keep the cells that are finished")
    bench.add_argument("--minutes", type=_amount, help="start no cell after this many minutes")
    bench.add_argument("--only", default="", metavar="WORDS", help="cells whose name holds all these words")
    bench.set_defaults(run=run_bench)
    return root


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _amount(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a length of time")
    return value


def run_train(options: argparse.Namespace) -> None:
    if not options.data.is_dir():
        raise BadInput(f"{options.data} is not a folder")
    {"face": _train_face, "voice": _train_voice, "text": _train_text}[options.modality](options)


def _train_face(options: argparse.Namespace) -> None:
    from emotion import face_card, face_training
    from emotion.data.clips import DataMissing
    from emotion.training import OtherRun

    recipe = face_training.Recipe(minutes=options.minutes, **({"epochs": options.epochs} if options.epochs else {}))
    try:
        network, fitted = face_training.train(
            options.data, options.out, recipe=recipe, seed=options.seed, resume=options.resume
        )
    except (DataMissing, OtherRun) as problem:
        raise BadInput(str(problem)) from problem
    path = options.out / "face.safetensors"
    card = face_card.write(network, fitted, options.data, path, recipe=recipe, seed=options.seed)
    found = card["validation"]
    print(
        f"{path}: epoch {fitted.epoch} of {fitted.epochs_done}, held-out tenth of the training part: "
        f"accuracy {found['accuracy']:.4f}, UAR {found['uar']:.4f}, calibration error {found['ece']:.4f}"
    )


def _train_voice(options: argparse.Namespace) -> None:
    from emotion import voice_training
    from emotion.data.clips import DataMissing
    from emotion.training import OtherRun

    try:
        voice_training.train(
            options.data,
            options.out,
            seed=options.seed,
            epochs=options.epochs,
            minutes=options.minutes,
            folds=min(options.folds, 5),
            resume=options.resume,
        )
    except (DataMissing, OtherRun) as problem:
        raise BadInput(str(problem)) from problem


def _train_text(options: argparse.Namespace) -> None:
    from emotion import text_training
    from emotion.data.clips import DataMissing
    from emotion.training import OtherRun

    recipe = text_training.Recipe(**({"epochs": options.epochs} if options.epochs else {}))
    try:
        card = text_training.train(options.data, options.out, recipe=recipe, seed=options.seed, resume=options.resume)
    except (DataMissing, OtherRun) as problem:
        raise BadInput(str(problem)) from problem
    print(f"{options.out / 'text.safetensors'}: macro-F1 {card['validation']['macro_f1']:.4f} on dev, "
          f"{card['test']['macro_f1']:.4f} on test")  # fmt: skip


def run_evaluate(options: argparse.Namespace) -> None:
    from emotion.evaluate import BadManifest, evaluate_faces, evaluate_voices, read_manifest

    if not options.out.absolute().parent.is_dir():
        raise BadInput(f"{options.out.absolute().parent} is not a folder")
    if options.modality == "fusion":
        return _evaluate_fusion(options)
    if options.manifest is None:
        raise BadInput("--manifest is missing")
    if options.cropped and options.modality == "voice":
        raise BadInput("--cropped is for faces")
    try:
        rows = read_manifest(options.manifest)
        if options.modality == "face":
            result = evaluate_faces(
                rows, model=options.model, cropped=options.cropped, baseline_clips=options.personal_baseline
            )
        else:
            result = evaluate_voices(rows, model=options.model, baseline_clips=options.personal_baseline)
    except BadManifest as problem:
        raise BadInput(str(problem)) from problem
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    unusable = result["unusable"]["count"]
    print(f"n {result['n']}  UAR {result['uar']:.4f}  accuracy {result['accuracy']:.4f}  unusable {unusable}")


def _evaluate_fusion(options: argparse.Namespace) -> None:
    from emotion.fusion.evaluate import evaluate, summary
    from emotion.fusion.posteriors import BadPosteriors

    if options.posteriors is None:
        raise BadInput("--posteriors is missing")
    try:
        result = evaluate(options.posteriors, options.population)
    except BadPosteriors as problem:
        raise BadInput(str(problem)) from problem
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(summary(result))


def run_analyse(options: argparse.Namespace) -> None:
    from emotion.analyse import analyse, describe

    if all(given is None for given in (options.face, options.voice, options.text, options.video)):
        raise BadInput("give at least one of --face, --voice, --video and --text")
    for path in (options.face, options.voice, options.video):
        if path is not None and not path.is_file():
            raise BadInput(f"{path} is not a file")
    if options.out and not options.explain:
        raise BadInput("--out is for --explain")
    if options.explain and options.face is None and options.voice is None:
        raise BadInput("--explain needs --face or --voice")
    result = analyse(options.face, options.voice, options.text, options.video)
    if options.explain:
        result["explanations"] = _explain(options)
    print(json.dumps(result, indent=1) if options.json else describe(result))


def _explain(options: argparse.Namespace) -> dict[str, Any]:
    from emotion import explain

    found = explain.explain_files(options.face, options.voice)
    try:
        written = explain.write(found, options.out) if options.out and found else []
    except ModuleNotFoundError as missing:
        raise BadInput(f"{missing.name} is not installed: `pip install matplotlib`") from missing
    except OSError as problem:
        raise BadInput(f"{options.out}: {problem.strerror}") from problem
    for path in written:
        _tell(str(path))
    return {name: explanation.to_json() for name, explanation in found.items()}


def run_card(options: argparse.Namespace) -> None:
    print(json.dumps(read_card(options.model or default_path(options.modality)), indent=1, ensure_ascii=False))


def run_release(options: argparse.Namespace) -> None:
    from emotion.data.clips import DataMissing
    from emotion.face_card import AlreadyOpened, release

    try:
        card = release(options.model, options.data, options.to)
    except (DataMissing, AlreadyOpened) as problem:
        raise BadInput(str(problem)) from problem
    from emotion.serving import export

    export.export(options.to)
    found = card["openings"][-1]["original_labels"]
    print(f"FER2013 public test: accuracy {found['accuracy']:.4f}, UAR {found['uar']:.4f}; installed at {options.to}")


def run_export(options: argparse.Namespace) -> None:
    if options.model and options.what not in ("face", "voice"):
        raise BadInput("--model is for face or voice")
    try:
        from emotion.serving import export
    except ModuleNotFoundError as missing:
        raise BadInput(f"{missing.name} is not installed: `pip install .[emotion]`") from missing
    if options.what in ("detector", "all"):
        _tell_written(*export.export_detector())
    for modality in ("face", "voice"):
        if options.what in (modality, "all"):
            _tell_written(export.export(options.model or default_path(modality)))


def run_calibrate(options: argparse.Namespace) -> None:
    if options.model and options.modality == "all":
        raise BadInput("--model is for face or voice")
    try:
        from emotion import strangers_fit
        from emotion.data.clips import DataMissing

        for modality in ("face", "voice"):
            if options.modality in (modality, "all"):
                _tell_written(strangers_fit.fit(modality, options.model or default_path(modality), options.data))
    except ModuleNotFoundError as missing:
        raise BadInput(f"{missing.name} is not installed: `pip install .[emotion]`") from missing
    except DataMissing as problem:
        raise BadInput(str(problem)) from problem


def run_bench(options: argparse.Namespace) -> None:
    from emotion.data.clips import DataMissing

    if not options.data.is_dir():
        raise BadInput(f"{options.data} is not a folder")
    asked = {name: getattr(options, name) for name in ("quick", "resume", "minutes", "only")}
    try:
        place = Place(options.data, options.cache)
        print(measure(options.bench, options.out, place=place, heard=_tell, **asked))
    except (BenchFailed, BadLine, DataMissing) as problem:
        raise BadInput(str(problem)) from problem
    except ModuleNotFoundError as missing:
        raise BadInput(f"{missing.name} is not installed: `pip install .[emotion]`") from missing
    except OSError as problem:
        raise BadInput(f"{problem.filename or options.out}: {problem.strerror}") from problem


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _tell_written(*paths: Path) -> None:
    for path in paths:
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
