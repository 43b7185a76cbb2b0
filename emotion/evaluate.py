"""Judge a recogniser on a manifest: every row is scored, an unusable one counts as wrong.

A manifest is a CSV with the columns `path,label,person`: paths relative to the manifest's folder or
absolute, labels from `EMOTIONS`, rows of a person in the order of time.

Shapes:  n scored rows   7 emotions
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotion import calibration
from emotion.estimate import EMOTIONS, Estimate

UNUSABLE = -1  # what is "predicted" for a row that could not be read: never right
BATCH = 256


class BadManifest(Exception):
    """The manifest cannot be used; the message names the line and what is wrong with it."""


@dataclass(frozen=True)
class Row:
    """One line of a manifest; `label` indexes `EMOTIONS`."""

    path: Path
    label: int
    person: str


@dataclass(frozen=True)
class Outcome:
    """What came of a row: an estimate, or the reason why there is none."""

    estimate: Estimate | None = None
    reason: str | None = None


def read_manifest(path: str | os.PathLike) -> list[Row]:
    """The rows of a manifest, in its order."""
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"path", "label", "person"} - set(reader.fieldnames or ())
            if missing:
                raise BadManifest(f"{path}: column {', '.join(sorted(missing))} is missing")
            rows = [_row(path, reader.line_num, cells) for cells in reader]
    except OSError as error:
        raise BadManifest(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadManifest(f"{path}: not a CSV file in UTF-8 ({error})") from error
    if not rows:
        raise BadManifest(f"{path}: no rows")
    return rows


def _row(manifest: Path, line: int, cells: dict[str, str | None]) -> Row:
    label = (cells["label"] or "").strip()
    if label not in EMOTIONS:
        raise BadManifest(f"{manifest}, line {line}: label {label!r} is not one of {', '.join(EMOTIONS)}")
    name = (cells["path"] or "").strip()
    if not name:
        raise BadManifest(f"{manifest}, line {line}: no path")
    return Row(manifest.parent / name, EMOTIONS.index(label), (cells["person"] or "").strip())


def first_rows(rows: Sequence[Row], k: int) -> np.ndarray:
    """Mask of each person's first `k` rows: (len(rows),) bool."""
    seen: Counter[str] = Counter()
    mask = []
    for row in rows:
        mask.append(seen[row.person] < k)
        seen[row.person] += 1
    return np.array(mask, dtype=bool)


def judge_faces(rows: Sequence[Row], recogniser: Any, *, cropped: bool) -> list[Outcome]:
    """Read each row's photo, or face crop."""
    return _judge_crops(rows, recogniser) if cropped else [_attempt(recogniser.predict, row) for row in rows]


def _attempt(read: Callable[[bytes], Estimate], row: Row) -> Outcome:
    from emotion.photo import UnusablePhoto

    try:
        return Outcome(read(row.path.read_bytes()))
    except UnusablePhoto as problem:
        return Outcome(reason=problem.code)
    except OSError:
        return Outcome(reason="missing_file")


def _judge_crops(rows: Sequence[Row], recogniser: Any) -> list[Outcome]:
    from emotion import photo

    outcomes: list[Outcome] = []
    for start in range(0, len(rows), BATCH):
        crops, kept = [], []
        batch = [Outcome() for _ in rows[start : start + BATCH]]
        for i, row in enumerate(rows[start : start + BATCH]):
            try:
                crops.append(photo.decode(row.path.read_bytes(), formats=photo.CROP_FORMATS))
                kept.append(i)
            except photo.UnusablePhoto as problem:
                batch[i] = Outcome(reason=problem.code)
            except OSError:
                batch[i] = Outcome(reason="missing_file")
        for i, estimate in zip(kept, recogniser.predict_crops(crops), strict=True):
            batch[i] = Outcome(estimate)
        outcomes += batch
    return outcomes


def report(rows: Sequence[Row], outcomes: Sequence[Outcome], seed: int = 0) -> dict[str, Any]:
    """All figures of a run, ready for JSON. Abstention is counted, never excused."""
    truth = np.array([row.label for row in rows])
    usable = [i for i, outcome in enumerate(outcomes) if outcome.estimate]
    estimates = [outcome.estimate for outcome in outcomes if outcome.estimate]
    probabilities = np.array([e.probabilities for e in estimates]).reshape(-1, len(EMOTIONS))
    predicted = np.full(len(rows), UNUSABLE)
    predicted[usable] = probabilities.argmax(1)
    reasons = Counter(outcome.reason for outcome in outcomes if outcome.reason)
    people = np.array([row.person or f"row {i}" for i, row in enumerate(rows)])
    return {
        "n": len(rows),
        "people": len({row.person for row in rows if row.person}),
        **scores(truth, predicted),
        "uar_interval_95": uar_interval(truth, predicted, people, np.random.default_rng(seed)),
        **confidence_scores(truth[usable], probabilities, seed),
        "abstained": sum(e.abstained for e in estimates),
        "unusable": {"count": len(rows) - len(usable), "reasons": dict(sorted(reasons.items()))},
    }


def scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Figures of the answers alone; `predicted` is -1 where there is none. Both (n,) int.

    UAR (mean recall) and macro-F1 are means over the classes that occur in `truth`.
    """
    present = np.unique(truth)
    table = np.zeros((len(EMOTIONS), len(EMOTIONS) + 1), dtype=int)  # last column: unusable
    np.add.at(table, (truth, predicted), 1)
    right = table.diagonal().astype(float)
    recall = right / np.maximum(table.sum(1), 1)
    precision = right / np.maximum(table[:, :-1].sum(0), 1)
    f1 = 2 * right / np.maximum(table.sum(1) + table[:, :-1].sum(0), 1)
    return {
        "uar": float(recall[present].mean()),
        "accuracy": float((truth == predicted).mean()),
        "macro_f1": float(f1[present].mean()),
        "per_class": {
            EMOTIONS[c]: {
                "n": int(table[c].sum()),
                "recall": float(recall[c]),
                "precision": float(precision[c]),
                "f1": float(f1[c]),
            }
            for c in present
        },
        "confusion": {"labels": [*EMOTIONS, "unusable"], "rows": table.tolist()},
    }


def confidence_scores(truth: np.ndarray, probabilities: np.ndarray, seed: int = 0) -> dict[str, float | None]:
    """Is the stated confidence true? Over usable rows: truth (n,), probabilities (n, 7); None where n = 0."""
    names = ("ece", "ece_beyond_chance", "ece_p_value", "brier", "log_loss")
    if not len(truth):
        return dict.fromkeys(names)
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == truth
    beyond, p_value = calibration.excess_calibration_error(confidence, correct, np.random.default_rng(seed))
    figures = (
        calibration.calibration_error(confidence, correct),
        beyond,
        p_value,
        calibration.brier_score(probabilities, truth),
        calibration.log_loss(probabilities, truth),
    )
    return dict(zip(names, map(float, figures), strict=True))


def uar_interval(
    truth: np.ndarray, predicted: np.ndarray, people: np.ndarray, rng: np.random.Generator, draws: int = 1000
) -> list[float]:
    """95 % bootstrap interval of the UAR; whole people are drawn, since rows of one person are alike."""
    _, person = np.unique(people, return_inverse=True)
    counts = np.zeros((person.max() + 1, 2, len(EMOTIONS)))  # per person and class: rows, right rows
    np.add.at(counts[:, 0], (person, truth), 1)
    np.add.at(counts[:, 1], (person, truth), truth == predicted)
    weights = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=draws)
    totals = np.einsum("dp,pkc->dkc", weights, counts)
    recall = np.divide(totals[:, 1], totals[:, 0], out=np.full(totals[:, 1].shape, np.nan), where=totals[:, 0] > 0)
    return [float(v) for v in np.percentile(np.nanmean(recall, axis=1), [2.5, 97.5])]


def _judge_voices(rows: Sequence[Row], recogniser: Any, baselines: dict[str, Any]) -> list[Outcome]:
    from emotion.recording import UnusableRecording

    outcomes = []
    for row in rows:
        try:
            outcomes.append(Outcome(recogniser.predict(row.path.read_bytes(), baselines.get(row.person))))
        except UnusableRecording as problem:
            outcomes.append(Outcome(reason=problem.code))
        except OSError:
            outcomes.append(Outcome(reason="missing_file"))
    return outcomes


def _baselines(rows: Sequence[Row], recogniser: Any) -> dict[str, Any]:
    """Each person's baseline from these rows, labels unread; clips that cannot be heard are passed over."""
    from emotion.recording import UnusableRecording, prepare

    heard: dict[str, list[Any]] = {}
    for row in rows:
        with suppress(UnusableRecording, OSError):
            heard.setdefault(row.person, []).append(prepare(row.path.read_bytes(), recogniser.band))
    return {person: recogniser.baseline(speech) for person, speech in heard.items()}


def evaluate_faces(
    rows: Sequence[Row], *, model: str | os.PathLike | None = None, cropped: bool = False, baseline_clips: int = 0
) -> dict[str, Any]:
    """Judge the face recogniser at `model`, or the one that ships, on the rows of a manifest.

    A personal baseline has no effect on faces: no data at hand shows several faces of a person in time, so
    none could be fitted. The first rows of each person are left out all the same, to compare with voices.
    """
    from emotion.face import FaceRecogniser

    scored = [row for row, first in zip(rows, first_rows(rows, baseline_clips), strict=True) if not first]
    if not scored:
        raise BadManifest(f"no rows are left after the first {baseline_clips} of each person")
    recogniser = FaceRecogniser.load(model)
    baseline = {"k": baseline_clips, "effect": "none: faces are read without a personal baseline"}
    return {
        "modality": "face",
        "model": recogniser.version,
        "cropped": cropped,
        "personal_baseline": baseline,
        **report(scored, judge_faces(scored, recogniser, cropped=cropped)),
    }


def evaluate_voices(
    rows: Sequence[Row], *, model: str | os.PathLike | None = None, baseline_clips: int = 0
) -> dict[str, Any]:
    """Judge the voice recogniser at `model`, or the one that ships, on the rows of a manifest.

    With `baseline_clips` the first clips of each person, without their labels, set that person's baseline.
    """
    from emotion.voice import VoiceRecogniser

    first = first_rows(rows, baseline_clips)
    scored = [row for row, earlier in zip(rows, first, strict=True) if not earlier]
    if not scored:
        raise BadManifest(f"no rows are left after the first {baseline_clips} of each person")
    recogniser = VoiceRecogniser.load(model)
    own = _baselines([row for row, earlier in zip(rows, first, strict=True) if earlier], recogniser)
    return {
        "modality": "voice",
        "model": recogniser.version,
        "personal_baseline": {"k": baseline_clips, "people_with_baseline": len(own)},
        **report(scored, _judge_voices(scored, recogniser, own)),
    }
