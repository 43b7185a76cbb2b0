"""Tune anything: a Python function, or any command that prints a number on its last line."""

from __future__ import annotations

import hashlib
import math
import shlex
import string
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from recommender.dandelion import BudgetSpent, Dandelion, Result, SpaceExhausted, Trial
from recommender.space import Space, key

OF_A_TRIAL = ("fidelity", "seed", "checkpoint")


class UnusableCommand(ValueError):
    """The command cannot be run at all, or its placeholders are not settings of the space."""


def minimise(
    objective: Callable[..., float | None],
    space: Space,
    *,
    batch: int = 1,
    workers: int = 1,
    heard: Callable[[Result, Result | None], None] | None = None,
    **settings: Any,
) -> Dandelion:
    """Evaluate batches of trials until the budget or the space is spent; returns the study.

    objective: called with the configuration; where the settings name `rungs` or `finalists`, with the trial second,
    whose fidelity, seed and checkpoint (`continues`) it must heed.
    batch: trials asked together. The next batch waits for all of them and they are told in the order they were
    asked: the number of workers changes the time it takes and nothing else.
    workers: threads, or what the joblib back end around the call has: `with joblib.parallel_config("loky"): …`, "dask".
    heard: called after each result with it and the best so far.   settings: of `Dandelion`.
    """
    study = Dandelion(space, **settings)
    whole = len(study.rungs) > 1 or study.finalists > 0
    with Parallel(n_jobs=workers, prefer="threads") as pool:
        while True:
            try:
                trials = study.ask(batch)
            except (BudgetSpent, SpaceExhausted):
                return study
            calls = (delayed(objective)(t.config, t) if whole else delayed(objective)(t.config) for t in trials)
            for trial, value in zip(trials, pool(calls), strict=True):
                study.tell(trial.number, value)
                if heard:
                    heard(study.results[-1], study.best)


class Command:
    """A command line as an objective: `{name}` stands for a setting, the last printed line is the value.

    It runs without a shell. A non-zero exit, a last line that is no number, or a time-out is a failed trial (None).
    A placeholder that a condition has switched off becomes an empty argument.
    Beside the settings there are {fidelity}, {seed} and {checkpoint}: how far to go, with which seed, and a path below
    `checkpoints` that a promoted trial shares with the one it continues.
    """

    def __init__(
        self,
        line: str,
        space: Space,
        *,
        maximise: bool = False,
        timeout_s: float | None = None,
        checkpoints: str | Path = ".",
    ) -> None:
        try:
            self.words = shlex.split(line)
            named = {field for word in self.words for _, field, _, _ in string.Formatter().parse(word) if field}
        except ValueError as error:
            raise UnusableCommand(f"the command cannot be read: {error}") from error
        if not self.words:
            raise UnusableCommand("the command is empty")
        if unknown := named - set(space.settings) - set(OF_A_TRIAL):
            raise UnusableCommand(f"no setting of the space: {', '.join(sorted(unknown))}")
        if shared := set(space.settings) & set(OF_A_TRIAL):
            raise UnusableCommand(f"the space may not name a setting {', '.join(sorted(shared))}")
        self.names, self.sign, self.timeout_s = list(space.settings), -1.0 if maximise else 1.0, timeout_s
        self.checkpoints = Path(checkpoints)

    def __call__(self, config: Mapping[str, Any], trial: Trial | None = None) -> float | None:
        values = {name: config.get(name, "") for name in self.names}
        if trial:
            values |= {"fidelity": f"{trial.fidelity:g}", "seed": trial.seed, "checkpoint": self._checkpoint(trial)}
        else:
            values |= {"fidelity": "1", "seed": 0, "checkpoint": ""}
        words = [word.format(**values) for word in self.words]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=self.timeout_s)  # noqa: S603
        except (FileNotFoundError, PermissionError) as error:
            raise UnusableCommand(f"cannot run {words[0]!r}: {error.strerror}") from error
        except (subprocess.TimeoutExpired, UnicodeDecodeError):
            return None
        return None if done.returncode else self._number(done.stdout)

    def _checkpoint(self, trial: Trial) -> Path:
        """One name for a configuration and a seed: promoted, it finds what it left on the rung below."""
        identity = f"{trial.seed}/{key(trial.config)}"
        return self.checkpoints / hashlib.sha256(identity.encode()).hexdigest()[:16]

    def _number(self, printed: str) -> float | None:
        lines = printed.strip().splitlines()
        try:
            value = float(lines[-1])
        except (IndexError, ValueError):
            return None
        return self.sign * value if math.isfinite(value) else None
