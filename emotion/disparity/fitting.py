"""Make the null that ships: `python -m emotion calibrate-disparity`. Needs the data sets.

No corpus at hand shows faces *and* voices of people on whom neither network was trained. A congruent pair is made
instead: a face and a voice of the same labelled emotion, of different people, both held out. On RAVDESS, where
recognisers of others give both for the same clip, such a null keeps its 5 % (bench E10, "null from pairs of
strangers").
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from emotion import checkpoint
from emotion.data import emodb, fer2013, nemo, ravdess
from emotion.data.clips import Clip, DataMissing
from emotion.disparity import reference
from emotion.disparity.measure import ALERT_BELOW, Null
from emotion.estimate import EMOTIONS
from emotion.face import FaceRecogniser
from emotion.face import version_of as face_version
from emotion.recording import UnusableRecording
from emotion.voice import VoiceRecogniser
from emotion.voice import version_of as voice_version

VERSIONS = {"face": face_version, "voice": voice_version}
EACH = 143  # pairs of an emotion: 1,001 in all, so that a p-value has three digits
MEANING = (
    "How far face and voice of the shipped networks disagree where both express the same emotion, −ln Σ p q in nats. "
    "Not a diagnosis: an alert says that this is unusual, not what somebody feels."
)
LICENCE = "Non-commercial use only: made from RAVDESS and nEMO (CC BY-NC-SA 4.0) and FER2013 (research)."
LIMITS = (
    "made of pairs of different people: no corpus at hand shows face and voice of people left out of both networks",
    "every voice is acted, in a studio; every face comes from the web",
    "the seven emotions stand equally often: in daily life neutral and happy moments are more frequent",
)


@dataclass(frozen=True)
class Read:
    """What one network said of people left out. p: (n, 7).  labels: (n,) into `EMOTIONS`.  people: (n,) str."""

    p: np.ndarray
    labels: np.ndarray
    people: np.ndarray

    def take(self, chosen: np.ndarray) -> Read:
        return Read(self.p[chosen], self.labels[chosen], self.people[chosen])


def fit(data: Path, out: Path, *, face: os.PathLike | None = None, voice: os.PathLike | None = None) -> dict[str, Any]:
    """Write the null of these checkpoints (or of those that ship) to `out`; returns its card. Raises `DataMissing`."""
    paths = {"face": face or checkpoint.default_path("face"), "voice": voice or checkpoint.default_path("voice")}
    cards = {modality: checkpoint.verify(path) for modality, path in paths.items()}
    faces, voices = faces_left_out(paths["face"], data), voices_left_out(paths["voice"], data)
    rng = np.random.default_rng(0)
    null = Null(tuple(pair_scores(faces, voices, rng)))
    card = {
        "meaning": MEANING,
        "licence": LICENCE,
        "made_with": {m: {"version": VERSIONS[m](card), "sha256": card["sha256"]} for m, card in cards.items()},
        "data": {
            "faces": f"{len(faces.p)} of the tenth of FER2013's training part that was not learned from",
            "voices": {str(p): int((voices.people == p).sum()) for p in np.unique(voices.people)},
        },
        "pairs": f"{EACH} of each emotion, every voice as often as every other, seed 0",
        "check": check(faces, voices),
        "limits": LIMITS,
        "command": reference.COMMAND,
        "date": date.today().isoformat(),
    }
    reference.save(out, card, null)
    return card


def faces_left_out(path: str | os.PathLike, data: Path) -> Read:
    """The tenth that chose the epoch: no weight was learned from it, but it is not sealed either."""
    _, held_out = fer2013.split(fer2013.load(data / "fer2013", "train"))
    found = FaceRecogniser.load(path).predict_crops(list(held_out.images))
    return Read(np.array([e.probabilities for e in found]), held_out.labels, np.array([str(r) for r in held_out.rows]))


def voices_left_out(path: str | os.PathLike, data: Path) -> Read:
    """Recordings of the people that the card of a checkpoint holds out, and of corpora that it does not name."""
    recogniser = VoiceRecogniser.load(path)
    clips = unheard(recogniser.card["training"], data)
    read = [(clip, p) for clip in clips if (p := _heard(recogniser, clip)) is not None]
    if not read:
        raise DataMissing(f"no recording of people whom {path} was not trained on in {data}")
    return Read(
        np.array([p for _, p in read]),
        np.array([EMOTIONS.index(clip.label) for clip, _ in read]),
        np.array([clip.person for clip, _ in read]),
    )


def unheard(training: Mapping[str, Any], data: Path) -> list[Clip]:
    """training: the part of a voice's card. Corpora that are not in `data` are left out."""
    learned, held_out = str(training.get("data", "")).lower(), set(training.get("held_out_to_choose_the_epoch", ()))
    found: list[Clip] = []
    for name, clips, folder in (
        ("ravdess", ravdess.clips, data / "ravdess_speech"),
        ("emo-db", emodb.clips, data / "emodb" / "first2s_16k"),
        ("nemo", nemo.clips, data / "nemo"),
    ):
        try:
            found += [clip for clip in clips(folder) if clip.person in held_out or name not in learned]
        except DataMissing:
            continue
    return found


def pair_scores(faces: Read, voices: Read, rng: np.random.Generator, each: int = EACH) -> np.ndarray:
    """Disagreements of a face and a voice of one emotion, (at most 7 · each,)."""
    scores = []
    for label in range(len(EMOTIONS)):
        seen, heard = faces.p[faces.labels == label], voices.p[voices.labels == label]
        if len(seen) and len(heard):
            mine = _drawn(len(seen), each, rng), _drawn(len(heard), each, rng)
            scores.append(disagreements(seen[mine[0]], heard[mine[1]]))
    return np.concatenate(scores)


def disagreements(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """`measure.disagreement` of rows, (n, 7) and (n, 7) -> (n,)."""
    return -np.log(np.maximum((p * q).sum(1), 1e-12))


def check(faces: Read, voices: Read) -> dict[str, Any]:
    """Alerts on each voice's congruent pairs against the null of the *other* people, on other faces."""
    half = np.random.default_rng(1).random(len(faces.p)) < 0.5
    rates = {}
    for person in np.unique(voices.people):
        mine = voices.people == person
        rng = np.random.default_rng(2)
        threshold = np.quantile(pair_scores(faces.take(half), voices.take(~mine), rng), 1 - ALERT_BELOW)
        rates[str(person)] = float((pair_scores(faces.take(~half), voices.take(mine), rng) > threshold).mean())
    mixed = _mixed_scores(faces, voices, np.random.default_rng(3))
    threshold = np.quantile(pair_scores(faces, voices, np.random.default_rng(0)), 1 - ALERT_BELOW)
    return {
        "false_alerts_of_a_person_left_out": {person: round(rate, 3) for person, rate in rates.items()},
        "false_alerts_mean": round(float(np.mean(list(rates.values()))), 3),
        "alerts_on_pairs_of_two_emotions": round(float((mixed > threshold).mean()), 3),
    }


def _mixed_scores(faces: Read, voices: Read, rng: np.random.Generator) -> np.ndarray:
    seen, heard = _drawn(len(faces.p), 4000, rng), _drawn(len(voices.p), 4000, rng)
    differ = faces.labels[seen] != voices.labels[heard]
    return disagreements(faces.p[seen[differ]], voices.p[heard[differ]])


def _drawn(among: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` row numbers, each row as often as every other (give or take one)."""
    rounds = [rng.permutation(among) for _ in range(-(-count // among))]
    return np.concatenate(rounds)[:count]


def _heard(recogniser: VoiceRecogniser, clip: Clip) -> np.ndarray | None:
    try:
        return recogniser.predict(clip.path.read_bytes()).probabilities
    except UnusableRecording:
        return None
