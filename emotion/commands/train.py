"""`train`: a network from the data sets to a checkpoint with its card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from emotion.commands.arguments import BadInput, amount, existing_folder, natural, positive


def add(commands: Any) -> None:
    train = commands.add_parser("train", help="train a network and write a checkpoint with its card")
    train.add_argument("modality", choices=("face", "voice", "text"))
    train.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data sets")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="state, history and checkpoint go here")
    train.add_argument("--seed", type=natural, default=0)
    train.add_argument("--epochs", type=positive, help="length of the schedule")
    train.add_argument("--minutes", type=amount, help="budget of time; the schedule is shortened to fit into it")
    train.add_argument("--folds", type=natural, default=5, help="voice: folds of people to judge on first, 0 to 5")
    train.add_argument("--permissive", action="store_true", help="voice: from data that may be used for everything")
    train.add_argument("--resume", action="store_true", help="go on from the last whole epoch in --out")
    train.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from emotion.data.clips import DataMissing
    from emotion.training import OtherRun

    existing_folder(options.data)
    try:
        {"face": _face, "voice": _voice, "text": _text}[options.modality](options)
    except (DataMissing, OtherRun) as problem:
        raise BadInput(str(problem)) from problem


def _face(options: argparse.Namespace) -> None:
    from emotion import face_card, face_training

    recipe = face_training.Recipe(minutes=options.minutes, **({"epochs": options.epochs} if options.epochs else {}))
    network, fitted = face_training.train(
        options.data, options.out, recipe=recipe, seed=options.seed, resume=options.resume
    )
    path = options.out / "face.safetensors"
    card = face_card.write(network, fitted, options.data, path, recipe=recipe, seed=options.seed)
    found = card["validation"]
    print(
        f"{path}: epoch {fitted.epoch} of {fitted.epochs_done}, held-out tenth of the training part: "
        f"accuracy {found['accuracy']:.4f}, UAR {found['uar']:.4f}, calibration error {found['ece']:.4f}"
    )


def _voice(options: argparse.Namespace) -> None:
    from emotion import voice_corpus, voice_training

    corpora = voice_corpus.PERMISSIVE if options.permissive else tuple(voice_corpus.CORPORA)
    voice_training.train(
        options.data,
        options.out,
        seed=options.seed,
        epochs=options.epochs,
        minutes=options.minutes,
        folds=min(options.folds, 5),
        resume=options.resume,
        corpora=corpora,
    )


def _text(options: argparse.Namespace) -> None:
    from emotion import text_training

    recipe = text_training.Recipe(**({"epochs": options.epochs} if options.epochs else {}))
    card = text_training.train(options.data, options.out, recipe=recipe, seed=options.seed, resume=options.resume)
    print(
        f"{options.out / 'text.safetensors'}: macro-F1 {card['validation']['macro_f1']:.4f} on dev, "
        f"{card['test']['macro_f1']:.4f} on test"
    )
