"""Command line: `python -m emotion` with one of the commands of `emotion.commands`."""

from __future__ import annotations

import os
import sys

from emotion.checkpoint import BadCheckpoint, NoModel
from emotion.commands import COMMANDS
from emotion.commands.arguments import BadInput, Parser


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
    for command in COMMANDS:
        command.add(commands)
    return root


if __name__ == "__main__":
    sys.exit(main())
