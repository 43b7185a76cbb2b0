"""From a trained face network to a checkpoint with its card, and the one look at the public test.

All choices (epoch, temperature, threshold) are made on the held-out tenth of the training part. The public
test is opened by `release` alone, once per released checkpoint, and each opening is written into the card.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from emotion import calibration, checkpoint
from emotion.data import fer2013
from emotion.evaluate import confidence_scores, scores, uar_interval
from emotion.face import FRAMING, FaceRecogniser, read
from emotion.face_training import Recipe
from emotion.networks.compact_face import CompactFace
from emotion.serving import graphs
from emotion.training import Fitted

LICENCE = "Research and non-commercial use only: the network learned from FER2013, whose contest terms say so."
NOT_MEASURED = (
    "skin tone: FER2013 does not record it",
    "age: FER2013 does not record it",
    "gender: FER2013 does not record it",
    "the same person over time: FER2013 names no people",
    "everyday self-portraits: FER2013 holds faces found on the web by emotion words, many of them acted",
)
MEANING = "Expressed emotion: what raters see in a face, never what the person feels. Not a diagnosis."


class AlreadyOpened(Exception):
    """The public test was opened for this very checkpoint; it is opened once."""


def write(network: CompactFace, fitted: Fitted, data: str | os.PathLike, path: str | os.PathLike, **run: Any) -> dict:
    """Calibrate on the held-out tenth and save checkpoint and card at `path`; `run` is `recipe` and `seed`."""
    _, choose = fer2013.split(fer2013.load(data, "train"))
    network.load_state_dict(checkpoint.as_stored(network.state_dict()))  # judge what is stored: 16 bits
    logits = read(graphs.of(network), choose.images)
    temperature = calibration.fit_temperature(softmax(logits, axis=1), choose.labels)
    probabilities = softmax(logits / temperature, axis=1)
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == choose.labels
    threshold = calibration.abstention_threshold(confidence, correct)
    card = {
        "network": "compact_face",
        "modality": "face",
        "parameters": sum(p.numel() for p in network.parameters()),
        "input": f"48×48 grey, a square of {FRAMING} times MTCNN's box height; mean logits with its mirror image",
        "meaning": MEANING,
        "licence": LICENCE,
        "non_commercial": True,
        "training": _training(fitted, **run),
        "temperature": temperature,
        "abstention": {
            "threshold": threshold,
            "rule": "below this confidence no label is shown; keeps four fifths of the validation faces",
            "risk_coverage_validation": calibration.risk_coverage(confidence, correct),
        },
        "validation": figures(choose, probabilities, fer2013.duplicate_groups(choose.images)),
        "not_measured": NOT_MEASURED,
        "openings": [],
    }
    return checkpoint.save(path, network.state_dict(), rounded(card))


def _training(fitted: Fitted, recipe: Recipe, seed: int) -> dict[str, Any]:
    listing = resources.files("emotion.data").joinpath(fer2013.VALIDATION_FILE).read_bytes()
    return {
        "data": "FER2013 training part, 28,709 faces, labels of the contest mixed with FER+ votes",
        "split": "a tenth in whole groups of near-identical pictures chose epoch, temperature and threshold",
        "split_sha256": hashlib.sha256(listing).hexdigest(),
        "command": f"python -m emotion train face --data DIR --out DIR --seed {seed} --epochs {recipe.epochs}"
        + (f" --minutes {recipe.minutes:g}" if recipe.minutes else ""),
        "recipe": asdict(recipe),
        "seed": seed,
        "epochs_done": fitted.epochs_done,
        "best_epoch": fitted.epoch,
        "minutes": fitted.seconds / 60,
        "date": date.today().isoformat(),
    }


def release(source: str | os.PathLike, data: str | os.PathLike, target: str | os.PathLike) -> dict:
    """Open the public test for the checkpoint at `source`, log it, and put the checkpoint at `target`.

    Openings that the card at `target` logged before stay in the log. Raises `AlreadyOpened`.
    """
    recogniser = FaceRecogniser.load(source)
    earlier = _openings(target)
    if any(opening["sha256"] == recogniser.card["sha256"] for opening in earlier + recogniser.card["openings"]):
        raise AlreadyOpened(f"the public test was opened for {recogniser.version} before; see the card")
    public, train = fer2013.load(data, "public"), fer2013.load(data, "train")
    groups = fer2013.duplicate_groups(public.images)
    probabilities = softmax(read(recogniser.network, public.images) / recogniser.temperature, axis=1)
    new = ~fer2013.seen_before(public.images, train.images)
    highest = public.votes == public.votes.max(1, keepdims=True)
    agreed = (highest.sum(1) == 1) & (public.votes.max(1) > 0)
    opening = {
        "set": "FER2013 public test",
        "date": date.today().isoformat(),
        "sha256": recogniser.card["sha256"],
        "original_labels": figures(public, probabilities, groups, recogniser.threshold),
        "without_near_identical_training_pictures": brief(public.labels[new], probabilities[new]),
        "majority_of_raters_without_ties": brief(public.votes.argmax(1)[agreed], probabilities[agreed]),
    }
    card = {**recogniser.card, "openings": [*earlier, *recogniser.card["openings"], rounded(opening)]}
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    if Path(source).resolve() != Path(target).resolve():
        Path(target).write_bytes(Path(source).read_bytes())
    checkpoint.write_card(target, card)
    checkpoint.write_card(source, card)  # so that no second release of the same weights opens it again
    return card


def _openings(target: str | os.PathLike) -> list[dict]:
    try:
        return list(checkpoint.read_card(target).get("openings", []))
    except checkpoint.NoModel:
        return []


def figures(
    faces: fer2013.Faces, probabilities: np.ndarray, groups: np.ndarray, threshold: float | None = None
) -> dict:
    """Everything the card says of one set of faces; intervals by bootstrap over duplicate groups."""
    predicted = probabilities.argmax(1)
    found = {
        "n": len(faces),
        **scores(faces.labels, predicted),
        "uar_interval_95": uar_interval(faces.labels, predicted, groups, np.random.default_rng(0)),
        **confidence_scores(faces.labels, probabilities),
    }
    if threshold is not None:
        kept = probabilities.max(1) >= threshold
        found["answered_share"] = float(kept.mean())
        found["accuracy_of_answered"] = float((predicted == faces.labels)[kept].mean())
    return found


def brief(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """The three head figures of a part of a set."""
    if not len(labels):
        return {"n": 0}
    found = scores(labels, probabilities.argmax(1))
    return {"n": len(labels), **{name: found[name] for name in ("accuracy", "uar", "macro_f1")}}


def rounded(value: Any) -> Any:
    """The same structure with plain floats of five digits, so that a card reads well."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
