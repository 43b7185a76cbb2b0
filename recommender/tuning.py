"""Tune anything: a Python function, or any command that prints a number on its last line."""

from __future__ import annotations

import math
import shlex
import string
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from recommender.dandelion import BudgetSpent, Dandelion, Result, SpaceExhausted
from recommender.space import Space


class UnusableCommand(ValueError):
    """The command cannot be run at all, or its placeholders are not settings of the space."""


def minimise(
    objective: Callable[[dict[str, Any]], float | None],
    space: Space,
    *,
    budget: int = 100,
    batch: int = 1,
    workers: int = 1,
    seed: int = 0,
    variant: str = "efficient",
    warm_start: Sequence[tuple[Mapping[str, Any], float]] = (),
    journal: str | Path | None = None,
    heard: Callable[[Result, Result | None], None] | None = None,
) -> Dandelion:
    """Evaluate batches of trials until the budget or the space is spent; returns the study.

    batch: trials asked together. The next batch waits for all of them and they are told in the order they were
    asked: the number of workers changes the time it takes and nothing else.
    heard: called after each result with it and the best so far.
    """
    study = Dandelion(space, variant=variant, budget=budget, seed=seed, warm_start=warm_start, journal=journal)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        while True:
            try:
                trials = study.ask(batch)
            except (BudgetSpent, SpaceExhausted):
                return study
            for trial, value in zip(trials, pool.map(objective, [t.config for t in trials]), strict=True):
                study.tell(trial.number, value)
                if heard:
                    heard(study.results[-1], study.best)


class Command:
    """A command line as an objective: `{name}` stands for a setting, the last printed line is the value.

    It runs without a shell. A non-zero exit, a last line that is no number, or a time-out is a failed trial (None).
    A placeholder that a condition has switched off becomes an empty argument.
    """

    def __init__(self, line: str, space: Space, *, maximise: bool = False, timeout_s: float | None = None) -> None:
        try:
            self.words = shlex.split(line)
            named = {field for word in self.words for _, field, _, _ in string.Formatter().parse(word) if field}
        except ValueError as error:
            raise UnusableCommand(f"the command cannot be read: {error}") from error
        if not self.words:
            raise UnusableCommand("the command is empty")
        if unknown := named - set(space.settings):
            raise UnusableCommand(f"no setting of the space: {', '.join(sorted(unknown))}")
        self.names, self.sign, self.timeout_s = list(space.settings), -1.0 if maximise else 1.0, timeout_s

    def __call__(self, config: Mapping[str, Any]) -> float | None:
        values = {name: config.get(name, "") for name in self.names}
        words = [word.format(**values) for word in self.words]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=self.timeout_s)  # noqa: S603
        except (FileNotFoundError, PermissionError) as error:
            raise UnusableCommand(f"cannot run {words[0]!r}: {error.strerror}") from error
        except (subprocess.TimeoutExpired, UnicodeDecodeError):
            return None
        return None if done.returncode else self._number(done.stdout)

    def _number(self, printed: str) -> float | None:
        lines = printed.strip().splitlines()
        try:
            value = float(lines[-1])
        except (IndexError, ValueError):
            return None
        return self.sign * value if math.isfinite(value) else None
