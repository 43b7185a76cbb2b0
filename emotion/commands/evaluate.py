"""`evaluate`: a model on a manifest of files, or fusion on a table of posteriors."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from emotion.commands.arguments import BadInput, natural


def add(commands: Any) -> None:
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
        type=natural,
        default=0,
        metavar="K",
        help="a person's first K clips, unlabelled, set their baseline; the rest is scored",
    )
    evaluate.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    if not options.out.absolute().parent.is_dir():
        raise BadInput(f"{options.out.absolute().parent} is not a folder")
    if options.modality == "fusion":
        return _fusion(options)
    if options.manifest is None:
        raise BadInput("--manifest is missing")
    if options.cropped and options.modality == "voice":
        raise BadInput("--cropped is for faces")
    result = _on_manifest(options)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    unusable = result["unusable"]["count"]
    print(f"n {result['n']}  UAR {result['uar']:.4f}  accuracy {result['accuracy']:.4f}  unusable {unusable}")


def _on_manifest(options: argparse.Namespace) -> dict[str, Any]:
    from emotion.evaluate import BadManifest, evaluate_faces, evaluate_voices, read_manifest

    asked = {"model": options.model, "baseline_clips": options.personal_baseline}
    try:
        rows = read_manifest(options.manifest)
        if options.modality == "face":
            return evaluate_faces(rows, cropped=options.cropped, **asked)
        return evaluate_voices(rows, **asked)
    except BadManifest as problem:
        raise BadInput(str(problem)) from problem


def _fusion(options: argparse.Namespace) -> None:
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
