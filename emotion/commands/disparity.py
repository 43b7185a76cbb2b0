"""`disparity`: the face of a photo or a clip against a voice, as a figure, a table and sentences. Not a diagnosis."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from emotion.commands.arguments import BadInput, existing_files, extra, tell


def add(commands: Any) -> None:
    disparity = commands.add_parser("disparity", help="where face and voice express different things; not a diagnosis")
    disparity.add_argument("--face", type=Path, metavar="FILE", help="a photo, held against every moment of the voice")
    disparity.add_argument("--video", type=Path, metavar="FILE", help="a clip, instead of --face; needs PyAV or ffmpeg")
    disparity.add_argument("--voice", type=Path, metavar="FILE", help="a recording; of a clip its own sound otherwise")
    disparity.add_argument("--out", type=Path, required=True, metavar="DIR", help="figure, table and sentences go here")
    disparity.add_argument("--null", type=Path, metavar="FILE.json", help="instead of the comparison that ships")
    disparity.add_argument(
        "--rewrite",
        metavar="ADDRESS",
        help="of an OpenAI-compatible language model that says the sentences anew, http://127.0.0.1:8080/v1 say",
    )
    disparity.add_argument("--rewriter", default="default", metavar="NAME", help="which model at that address")
    disparity.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from emotion.disparity.files import CannotCompare, compare_files

    if (options.face is None) == (options.video is None):
        raise BadInput("give one of --face and --video")
    if options.voice is None and options.video is None:
        raise BadInput("--voice is missing")
    existing_files(options.face, options.video, options.voice, options.null)
    try:
        comparison, doubt = compare_files(options.face, options.video, options.voice, options.null)
    except CannotCompare as problem:
        raise BadInput(str(problem)) from problem
    if doubt:
        tell(doubt)
    print("\n".join(_write(comparison, options)))


def _write(comparison: Any, options: argparse.Namespace) -> list[str]:
    """Write everything into the folder; returns the sentences."""
    from emotion.disparity import report_on

    told = report_on(comparison)
    sentences = _rewritten(told.sentences, options) if options.rewrite else list(told.sentences)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "passages.csv").write_text(told.table())
        (options.out / "report.txt").write_text("\n".join(sentences) + "\n")
        (options.out / "comparison.json").write_text(json.dumps(comparison.to_json(), indent=1) + "\n")
        with extra("matplotlib"):
            told.figure(options.out / "timeline.png")
    except OSError as problem:
        raise BadInput(f"{options.out}: {problem.strerror}") from problem
    return sentences


def _rewritten(sentences: Any, options: argparse.Namespace) -> list[str]:
    from emotion.disparity.rewriting import NoAnswer, rewrite

    try:
        return rewrite(sentences, options.rewrite, model=options.rewriter)
    except NoAnswer as problem:
        tell(f"not rewritten: {problem}")
        return list(sentences)
