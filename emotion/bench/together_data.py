"""Face and voice of the same clips as numbers per channel, for the networks that read both at once.

Shapes:  n clips   35 action units   39 cepstral channels (13 MFCC, Δ, ΔΔ)   4 statistics over the frames of a clip
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotion import features
from emotion.bench.fusion_data import RAVDESS
from emotion.bench.voice_data import cached
from emotion.data import ravdess
from emotion.data.clips import DataMissing
from emotion.recording import decode, extract

N_MFCC = 13
QUANTILES = (0.1, 0.9)


@dataclass(frozen=True)
class Clips:
    """parts: per modality (n, channels, statistics).  labels: (n,) into `classes`.  people: (n,)."""

    parts: dict[str, np.ndarray]
    labels: np.ndarray
    people: np.ndarray
    classes: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]

    def only(self, *modalities: str) -> Clips:
        return Clips(
            {name: self.parts[name] for name in modalities}, self.labels, self.people, self.classes, self.folds
        )


def of_ravdess(data: Path, cache: Path, track: Callable = iter) -> Clips:
    """Mean action units of the face, (n, 35, 1), and statistics of the voice's cepstra, (n, 39, 4); eight classes."""
    names, units = action_units(data / "ravdess_multimodal" / "df_average_AUs_total.csv")
    spoken = {clip.path.stem[3:]: clip for clip in ravdess.clips(data / "ravdess_speech")}
    shared = [i for i, name in enumerate(names) if name in spoken]
    clips = [spoken[names[i]] for i in shared]
    stored = cached(cache / f"together-{len(clips)}.npz", lambda: {"voice": _voices(clips, track)})
    return Clips(
        parts={"face": units[shared][:, :, None], "voice": stored["voice"]},
        labels=np.array([int(names[i].split("-")[1]) - 1 for i in shared]),
        people=np.array([clip.person for clip in clips]),
        classes=RAVDESS,
        folds=tuple(tuple(map(ravdess.person, actors)) for actors in ravdess.FOLDS),
    )


def action_units(path: Path) -> tuple[list[str], np.ndarray]:
    """Names of the clips without their first field, which tells picture from sound, and their units, (n, 35)."""
    if not path.exists():
        raise DataMissing(f"{path} is not there")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    columns = [name for name in rows[0] if name.startswith("AU")]
    return [row["name"][3:] for row in rows], np.array([[float(row[c]) for c in columns] for row in rows])


def _voices(clips: list, track: Callable) -> np.ndarray:
    return np.stack([cepstral_channels(extract(*decode(clip.path)).samples) for clip in track(clips)])


def cepstral_channels(samples: np.ndarray) -> np.ndarray:
    """Mean, deviation, 10 % and 90 % quantile over frames of 13 MFCC, Δ and ΔΔ: (39, 4)."""
    rows = features.mfcc(samples, N_MFCC, normalise=False)
    return np.stack([rows.mean(1), rows.std(1), *np.quantile(rows, QUANTILES, axis=1)], axis=1)


def of_mosi(data: Path, folds: int = 5) -> Clips:
    """The utterances of the *test* videos alone, three modalities, negative or positive; five folds of videos.

    Text and video features have seen the labels of the training part: what is learned there proves nothing.
    """
    path = data / "mosi_utterance_features" / "mosi.npz"
    if not path.exists():
        raise DataMissing(f"{path} is not there")
    stored = np.load(path, allow_pickle=False)
    test = stored["split"] == "test"
    videos = stored["video_id"][test].astype(str)
    names = {"voice": "audio", "face": "video", "text": "text"}
    parts = {m: np.nan_to_num(stored[name][test]).astype(float)[:, :, None] for m, name in names.items()}
    order = np.random.default_rng(0).permutation(sorted(set(videos)))
    groups = tuple(tuple(map(str, order[k::folds])) for k in range(folds))
    return Clips(parts, stored["label"][test].astype(int), videos, ("negative", "positive"), groups)
