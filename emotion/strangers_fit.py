"""Fit what tells strangers from people: `python -m emotion calibrate-strangers`. Needs the data sets and scikit-learn.

Learned from training people against things made by seed; the threshold comes from people or faces that the network did
not learn from, where it refuses one in twenty.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emotion import checkpoint, features, strangers
from emotion.bench import strange_things
from emotion.data import fer2013
from emotion.data.clips import Clip
from emotion.face import FaceRecogniser, look
from emotion.recording import UnusableRecording, decode, extract
from emotion.strangers import Guard
from emotion.voice import VoiceRecogniser
from emotion.voice_corpus import add_noise, training_clips

# Of held-out faces, and of the clips of the three held-out people: these are too few to stand for others, and at one in
# twenty of theirs one in eight of a fourth person's was refused, while the strangers lie far beyond.
FALSE_REFUSALS = {"face": 0.05, "voice": 0.01}
FIT_SEED = 1  # of the things to learn from; benches use other seeds
PENALTY = 1e-3  # inverse strength of the regression's ridge
FACES, EACH_THING = 3000, 200
CLIPS, EACH_SOUND = 12, 40  # clips of a person

Vectors = dict[str, np.ndarray]  # family: (n, D)


def fit(modality: str, path: str | os.PathLike, data: Path) -> Path:
    """Fit the guard of the checkpoint at `path` and write it beside. Raises `DataMissing`, `checkpoint.NoModel`."""
    card = checkpoint.verify(path)
    people, held_out, strange = (faces_of if modality == "face" else voices_of)(path, data)
    guard = learn(modality, people, list(strange.values()), held_out)
    facts = {
        "command": f"python -m emotion calibrate-strangers {modality} --data DIR",
        "false_refusals": FALSE_REFUSALS[modality],
        "people": len(people),
        "held_out": len(held_out),
        "strangers": {family: len(rows) for family, rows in strange.items()},
    }
    return strangers.save(path, card, guard, facts)


def learn(modality: str, people: np.ndarray, strange: Sequence[np.ndarray], held_out: np.ndarray) -> Guard:
    """A guard from rows (n, D) of people and of families of strangers; the threshold is that of `held_out`."""
    from sklearn.linear_model import LogisticRegression

    things = np.concatenate(list(strange))
    rows = np.concatenate([people, things])
    centre, spread = rows.mean(0), np.maximum(rows.std(0), 1e-6)
    is_strange = np.repeat([0, 1], [len(people), len(things)])
    found = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=500).fit(
        (rows - centre) / spread, is_strange
    )
    weights = found.coef_[0] / spread
    bias = float(found.intercept_[0] - centre @ weights)
    guard = Guard(modality, weights, bias, 0.0)
    return Guard(modality, weights, bias, float(np.quantile(guard.score(held_out), 1 - FALSE_REFUSALS[modality])))


def faces_of(path: str | os.PathLike, data: Path, seed: int = FIT_SEED) -> tuple[np.ndarray, np.ndarray, Vectors]:
    """Rows of training faces, of the validation tenth, and of strangers by family."""
    network = FaceRecogniser.load(path).network
    train, held_out = fer2013.split(fer2013.load(data, "train"))
    order = np.random.default_rng(seed).permutation(len(train))
    familiar, material = train.images[order[:FACES]], train.images[order[-EACH_THING:]]

    def read(faces: np.ndarray) -> np.ndarray:
        return strangers.of_faces(faces, look(network, faces)[1])

    pictures = strange_pictures(material, EACH_THING, seed)
    return read(familiar), read(held_out.images), {family: read(made) for family, made in pictures.items()}


def strange_pictures(faces: np.ndarray, count: int, seed: int) -> dict[str, np.ndarray]:
    """By family: things without a face, and `faces` turned, (n, 48, 48) each."""
    made = {f: np.stack([strange_things.thing(f, i, seed) for i in range(count)]) for f in strange_things.THINGS}
    return made | {f: strange_things.turned(f, faces, seed) for f in strange_things.TURNED}


def voices_of(path: str | os.PathLike, data: Path, seed: int = FIT_SEED) -> tuple[np.ndarray, np.ndarray, Vectors]:
    """Rows of training people, clean and in noise, of people held out, and of sounds by family."""
    recogniser = VoiceRecogniser.load(path)
    clips = training_clips(data)
    unseen = set(recogniser.card["training"]["held_out_to_choose_the_epoch"])
    learned = some_clips([clip for clip in clips if clip.person not in unseen], CLIPS, seed)
    people = clip_rows(recogniser, learned)
    noisy = clip_rows(recogniser, learned[::2], np.random.default_rng(seed))
    held_out = clip_rows(recogniser, some_clips([clip for clip in clips if clip.person in unseen], 50, seed))
    return np.concatenate([people, noisy]), held_out, strange_sounds(recogniser, EACH_SOUND, seed)


def some_clips(clips: Sequence[Clip], each: int, seed: int) -> list[Clip]:
    """`each` clips of every person, drawn without replacement."""
    rng = np.random.default_rng(seed)
    out: list[Clip] = []
    for person in sorted({clip.person for clip in clips}):
        mine = [clip for clip in clips if clip.person == person]
        out += [mine[i] for i in rng.permutation(len(mine))[:each]]
    return out


def clip_rows(
    recogniser: VoiceRecogniser, clips: Sequence[Clip], noise: np.random.Generator | None = None
) -> np.ndarray:
    """Rows of the clips that can be read, in coloured noise of 5 to 30 dB if asked."""
    rows = []
    for clip in clips:
        samples, rate_hz = decode(clip.path)
        samples = samples if noise is None else add_noise(samples, noise)
        rows += hear(recogniser, samples, rate_hz)[0]
    return np.concatenate(rows)


def strange_sounds(recogniser: VoiceRecogniser, count: int, seed: int) -> Vectors:
    """Rows by family, without what is refused before any network hears it."""
    rate_hz = features.SAMPLE_RATE_HZ
    heard = {
        family: [
            row for i in range(count) for row in hear(recogniser, strange_things.sound(family, i, seed), rate_hz)[0]
        ]
        for family in strange_things.SOUNDS
    }
    return {family: np.concatenate(rows) for family, rows in heard.items() if rows}


def hear(recogniser: VoiceRecogniser, samples: np.ndarray, rate_hz: int) -> tuple[list[np.ndarray], list[Any]]:
    """([row (1, D)], [logits (1, 7)]) of a recording, or two empty lists where it is unusable."""
    try:
        speech = extract(samples, rate_hz, band=recogniser.band)
    except UnusableRecording:
        return [], []
    log_mel_db = features.log_mel(speech.samples)
    logits, inner = recogniser.hear(log_mel_db)
    return [strangers.of_voice(speech.samples, log_mel_db, inner)], [logits]
