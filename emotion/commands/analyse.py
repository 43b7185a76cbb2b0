"""`analyse`: one check-in from files, and what the estimates rest on."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from emotion.commands.arguments import BadInput, existing_files, extra, tell


def add(commands: Any) -> None:
    analyse = commands.add_parser("analyse", help="read one check-in from files")
    analyse.add_argument("--face", type=Path, metavar="FILE")
    analyse.add_argument("--voice", type=Path, metavar="FILE")
    analyse.add_argument("--video", type=Path, metavar="FILE", help="face and voice of one clip; needs PyAV or ffmpeg")
    analyse.add_argument("--text")
    analyse.add_argument("--json", action="store_true", help="for machines")
    analyse.add_argument("--explain", action="store_true", help="which parts of the face and the voice it rests on")
    analyse.add_argument(
        "--out", type=Path, metavar="DIR", help="pictures of the explanation go here; needs matplotlib"
    )
    analyse.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from emotion.analyse import analyse, describe

    if all(given is None for given in (options.face, options.voice, options.text, options.video)):
        raise BadInput("give at least one of --face, --voice, --video and --text")
    existing_files(options.face, options.voice, options.video)
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
        with extra("matplotlib"):
            written = explain.write(found, options.out) if options.out and found else []
    except OSError as problem:
        raise BadInput(f"{options.out}: {problem.strerror}") from problem
    for path in written:
        tell(str(path))
    return {name: explanation.to_json() for name, explanation in found.items()}
