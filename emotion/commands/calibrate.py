"""`calibrate-strangers` and `calibrate-disparity`: what is fitted to a checkpoint once it is trained."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from emotion.checkpoint import FOLDER, default_path
from emotion.commands.arguments import BadInput, existing_folder, extra, tell_written


def add(commands: Any) -> None:
    strangers = commands.add_parser(
        "calibrate-strangers", help="fit what refuses music, noise and things to a checkpoint"
    )
    strangers.add_argument("modality", nargs="?", choices=("face", "voice", "all"), default="all")
    strangers.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data sets")
    strangers.add_argument("--model", type=Path, metavar="FILE.safetensors", help="instead of the one that ships")
    strangers.set_defaults(run=run_strangers)

    disparity = commands.add_parser(
        "calibrate-disparity", help="how far face and voice of two checkpoints disagree where both mean the same"
    )
    disparity.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data sets")
    disparity.add_argument("--face", type=Path, metavar="FILE.safetensors", help="instead of the one that ships")
    disparity.add_argument("--voice", type=Path, metavar="FILE.safetensors", help="instead of the one that ships")
    disparity.add_argument("--out", type=Path, default=FOLDER / "disparity.json", metavar="FILE.json")
    disparity.set_defaults(run=run_disparity)


def run_strangers(options: argparse.Namespace) -> None:
    if options.model and options.modality == "all":
        raise BadInput("--model is for face or voice")
    with extra(".[emotion]"):
        from emotion import strangers_fit
        from emotion.data.clips import DataMissing

        try:
            for modality in ("face", "voice"):
                if options.modality in (modality, "all"):
                    tell_written(strangers_fit.fit(modality, options.model or default_path(modality), options.data))
        except DataMissing as problem:
            raise BadInput(str(problem)) from problem


def run_disparity(options: argparse.Namespace) -> None:
    from emotion.data.clips import DataMissing
    from emotion.disparity import fitting

    existing_folder(options.data)
    if not options.out.absolute().parent.is_dir():
        raise BadInput(f"{options.out.absolute().parent} is not a folder")
    try:
        card = fitting.fit(options.data, options.out, face=options.face, voice=options.voice)
    except DataMissing as problem:
        raise BadInput(str(problem)) from problem
    found = card["check"]
    print(
        f"{options.out}: {' and '.join(made['version'] for made in card['made_with'].values())}; "
        f"false alerts on people left out {found['false_alerts_mean']:.3f}, "
        f"alerts on two emotions {found['alerts_on_pairs_of_two_emotions']:.3f}"
    )
