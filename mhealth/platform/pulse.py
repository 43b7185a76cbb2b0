"""Whether this host's worker did any work lately. A process that answers pings may still have lost its broker."""

import tempfile
import time
from pathlib import Path

FILE = Path(tempfile.gettempdir()) / "mhealth-worker-pulse"
DEAF_AFTER_S = 150  # beat sends a pulse to every queue each half minute


def mark(**_kwargs: object) -> None:
    FILE.touch()


def age_s() -> float | None:
    """Seconds since the last finished task, or None if there was none."""
    return time.time() - FILE.stat().st_mtime if FILE.exists() else None
