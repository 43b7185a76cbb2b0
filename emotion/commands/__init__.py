"""What `python -m emotion` can do: one module per command, its arguments beside what it does.

A module has `add(commands)`, which declares the command, and calls `set_defaults(run=…)` on it. Networks, data sets and
plots are imported where a command runs, so that `--help` is quick and a bare install is enough.
"""

from emotion.commands import analyse, bench, calibrate, disparity, evaluate, models, train

COMMANDS = (train, evaluate, analyse, disparity, models, calibrate, bench)
