"""HeartSteps V1 (Klasnja et al. 2019, Ann. Behav. Med. 53:573), a real micro-randomised trial; CC BY 4.0.

At five moments a day for six weeks a walking suggestion (.3), a suggestion to stand up (.3) or nothing (.4). The files
are not part of this package: `suggestions.csv.gz` lies in a folder `heartsteps_v1` of the data sets.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

NOTHING, ACTIVE, SEDENTARY = range(3)
PROBABILITIES = np.array([0.4, 0.3, 0.3])


class NotAtHand(ValueError):
    """The data set is not in the folder."""


@dataclass(frozen=True)
class Decisions:
    """Available decision points in order: person, day in the study, hour slot, action 0-2, reward log(steps30 + .5)."""

    person: np.ndarray
    index: np.ndarray
    slot: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    steps_before: np.ndarray


def read(folder: Path) -> Decisions:
    """Read the available points with known steps; raises NotAtHand."""
    path = Path(folder) / "heartsteps_v1" / "suggestions.csv.gz"
    if not path.exists():
        raise NotAtHand(f"{path} is not there: HeartSteps V1 is not part of this package")
    with gzip.open(path, "rt", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["avail"] == "True" and row["jbsteps30.zero"] != ""]
    number = {
        name: np.array([float(row[name] or 0) for row in rows]) for name in ("jbsteps30.zero", "jbsteps30pre.zero")
    }
    kinds = {"True": SEDENTARY, "False": ACTIVE, "": ACTIVE}  # of one suggestion the kind was not kept
    action = [kinds[row["send.sedentary"]] if row["send"] == "True" else NOTHING for row in rows]
    return Decisions(
        person=np.array([int(row["user.index"]) for row in rows]),
        index=np.array([int(row["decision.index"]) for row in rows]),
        slot=np.array([int(float(row["sugg.select.slot"] or 0)) for row in rows]),
        action=np.array(action, dtype=int),
        reward=np.log(number["jbsteps30.zero"] + 0.5),
        steps_before=np.log(number["jbsteps30pre.zero"] + 0.5),
    )
