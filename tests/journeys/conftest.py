import sys

import pytest


@pytest.fixture
def say(capsys):
    """Print a line that is seen although the test passes: counts of a fault test."""

    def say(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {line}")

    return say
