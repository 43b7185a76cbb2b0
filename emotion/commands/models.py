"""`card`, `release` and `export`: what a checkpoint says of itself, how one is installed and served."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from emotion.checkpoint import default_path, read_card
from emotion.commands.arguments import BadInput, extra, tell_written


def add(commands: Any) -> None:
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
    with extra(".[emotion]"):
        from emotion.serving import export
    if options.what in ("detector", "all"):
        tell_written(*export.export_detector())
    for modality in ("face", "voice"):
        if options.what in (modality, "all"):
            tell_written(export.export(options.model or default_path(modality)))
