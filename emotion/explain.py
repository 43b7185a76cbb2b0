"""Which parts of a face, and which moments and pitches of a voice, an estimate rests on: occlusion.

Zeiler & Fergus, ECCV 2014: a part is covered and the network reads again; how far the log-odds of the winner fall is
what the part had added. The cost is bounded: 50 faces, at most 25 spectra, on the runtime that serves, and `most_s`
seconds of CPU.

Shapes:  7 × 7 places on a face   W windows of time   P groups of mel bands
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from scipy import ndimage

from emotion import features, photo
from emotion.estimate import EMOTIONS
from emotion.features import HOP_SAMPLES, SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from emotion.face import FaceRecogniser
    from emotion.recording import Speech
    from emotion.voice import VoiceRecogniser

PLACES = 7
PATCH = 12  # pixels of 48
WINDOW_S = 0.5
MOST_WINDOWS = 16
GROUPS = 8  # of five mel bands
MOST_S = 20.0  # of this thread's CPU; the whole takes about one
BATCH = 10  # faces between two looks at the clock


class OutOfTime(Exception):
    """The explanation would take longer than was allowed."""


@dataclass(frozen=True)
class FaceExplanation:
    """crop: (48, 48) uint8.  drops: (7, 7), fall of the log-odds of `emotion`, in nats, with that place covered."""

    emotion: str
    crop: np.ndarray
    drops: np.ndarray

    def to_json(self) -> dict[str, Any]:
        return {"emotion": self.emotion, "patch_pixels": PATCH, "drops": np.round(self.drops, 3).tolist()}


@dataclass(frozen=True)
class VoiceExplanation:
    """spectrum: (M, T) dB.  Falls of the log-odds of `emotion`, in nats: of windows (W,) and groups of bands (P,).

    starts_s: (W + 1,) edges of the windows in the trimmed speech.  edges_hz: (P + 1,) of the groups.
    """

    emotion: str
    spectrum: np.ndarray
    window_drops: np.ndarray
    starts_s: np.ndarray
    band_drops: np.ndarray
    edges_hz: np.ndarray

    def to_json(self) -> dict[str, Any]:
        names = ("window_drops", "starts_s", "band_drops", "edges_hz")
        return {"emotion": self.emotion, **{name: np.round(getattr(self, name), 3).tolist() for name in names}}


def explain_files(face: Path | None, voice: Path | None) -> dict[str, FaceExplanation | VoiceExplanation]:
    """Of each file that can be read; one that cannot has no entry. Raises `checkpoint.NoModel`."""
    from emotion.face import FaceRecogniser
    from emotion.recording import UnusableRecording, prepare
    from emotion.voice import VoiceRecogniser

    found: dict[str, FaceExplanation | VoiceExplanation] = {}
    if face is not None:
        with suppress(photo.UnusablePhoto):
            found["face"] = explain_face(FaceRecogniser.load(), face.read_bytes())
    if voice is not None:
        recogniser = VoiceRecogniser.load()
        with suppress(UnusableRecording):
            found["voice"] = explain_voice(recogniser, prepare(voice, recogniser.band))
    return found


def explain_face(
    recogniser: FaceRecogniser, picture: bytes | Image.Image, *, several: str = "refuse", most_s: float = MOST_S
) -> FaceExplanation:
    """Of the face in a photo. Raises `UnusablePhoto`, as `predict` does, and `OutOfTime`."""
    return explain_crop(recogniser, recogniser.crop(picture, several)[0], most_s)


def explain_crop(recogniser: FaceRecogniser, crop: np.ndarray | Image.Image, most_s: float = MOST_S) -> FaceExplanation:
    """Of a ready-made crop. A covered place shows the face heavily blurred, which leaves light but no expression."""
    from emotion.face import read

    face = photo.to_grey(crop)
    faces = np.concatenate([face[None], covered(face)])
    batches = _in_time([faces[i : i + BATCH] for i in range(0, len(faces), BATCH)], most_s)
    logits = np.concatenate([read(recogniser.network, batch) for batch in batches]) / recogniser.temperature
    winner = int(logits[0].argmax())
    odds = log_odds(logits, winner)
    return FaceExplanation(EMOTIONS[winner], face, (odds[0] - odds[1:]).reshape(PLACES, PLACES))


def covered(face: np.ndarray) -> np.ndarray:
    """(48, 48) uint8 -> (49, 48, 48), each with one place covered, row by row."""
    blurred = ndimage.gaussian_filter(face.astype(float), PATCH / 2).astype(np.uint8)
    starts = np.linspace(0, face.shape[0] - PATCH, PLACES).round().astype(int)
    out = np.repeat(face[None], PLACES**2, axis=0)
    for number, (top, left) in enumerate((y, x) for y in starts for x in starts):
        place = np.s_[top : top + PATCH, left : left + PATCH]
        out[number][place] = blurred[place]
    return out


def explain_voice(recogniser: VoiceRecogniser, speech: Speech, *, most_s: float = MOST_S) -> VoiceExplanation:
    """Of prepared speech. What is covered takes the mean of its mel band, so that it says nothing of its own.

    Raises `OutOfTime`.
    """
    spectrum = np.maximum(features.log_mel(speech.samples).astype(float), features.FLOOR_DB)
    bands, length = spectrum.shape
    count = int(np.clip(length * HOP_SAMPLES / SAMPLE_RATE_HZ // WINDOW_S, 1, MOST_WINDOWS))
    times = np.linspace(0, length, count + 1).round().astype(int)
    groups = np.linspace(0, bands, GROUPS + 1).round().astype(int)
    read = [spectrum, *_flattened(spectrum, times, axis=1), *_flattened(spectrum, groups, axis=0)]
    logits = np.concatenate([recogniser.hear(one)[0] for one in _in_time(read, most_s)]) / recogniser.temperature
    winner = int(logits[0].argmax())
    odds = log_odds(logits, winner)
    drops = odds[0] - odds[1:]
    edges_hz = features.mel_to_hz(np.linspace(0, features.hz_to_mel(SAMPLE_RATE_HZ / 2), GROUPS + 1))
    return VoiceExplanation(
        EMOTIONS[winner], spectrum, drops[:count], times * HOP_SAMPLES / SAMPLE_RATE_HZ,
        drops[count:], edges_hz,
    )  # fmt: skip


def _flattened(spectrum: np.ndarray, edges: np.ndarray, axis: int) -> list[np.ndarray]:
    usual, out = spectrum.mean(axis=1, keepdims=True), []
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        one = spectrum.copy()
        place = np.s_[:, start:end] if axis == 1 else np.s_[start:end]
        one[place] = np.broadcast_to(usual, spectrum.shape)[place]
        out.append(one)
    return out


def _in_time(items: Iterable[np.ndarray], most_s: float) -> Iterator[np.ndarray]:
    """The items, until this thread has used up its seconds of CPU. Raises `OutOfTime`."""
    end = time.thread_time() + most_s
    for item in items:
        if time.thread_time() > end:
            raise OutOfTime
        yield item


def log_odds(logits: np.ndarray, winner: int) -> np.ndarray:
    """Log-odds of one class against all others: (n, 7) -> (n,)."""
    others = np.delete(logits, winner, axis=1)
    most = others.max(axis=1)
    return logits[:, winner] - most - np.log(np.exp(others - most[:, None]).sum(axis=1))


def write(explanations: dict[str, FaceExplanation | VoiceExplanation], folder: Path) -> list[Path]:
    """`explanation.json` and a picture for each modality in `folder`; needs matplotlib."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = folder / "explanation.json"
    numbers.write_text(json.dumps({name: found.to_json() for name, found in explanations.items()}, indent=1) + "\n")
    return [numbers, *(_draw(name, found, folder / f"{name}.png") for name, found in explanations.items())]


def _draw(name: str, found: FaceExplanation | VoiceExplanation, path: Path) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 3.4), layout="constrained")
    if isinstance(found, FaceExplanation):
        _draw_face(figure, found)
    else:
        _draw_voice(figure, found)
    figure.suptitle(f"What the {name}'s estimate “{found.emotion}” rests on", fontsize=10)
    figure.savefig(path, dpi=130)
    return path


def _draw_face(figure: Any, found: FaceExplanation) -> None:
    left, right = figure.subplots(1, 2)
    most = max(float(np.abs(found.drops).max()), 0.1)
    for axes in (left, right):
        axes.imshow(found.crop, cmap="gray", extent=(0, 48, 48, 0))
        axes.set_axis_off()
    half = PATCH / 2
    shown = {"cmap": "RdBu_r", "vmin": -most, "vmax": most, "alpha": 0.5, "interpolation": "bilinear"}
    edge = (48 - PATCH) / (PLACES - 1) / 2
    extent = (half - edge, 48 - half + edge, 48 - half + edge, half - edge)
    image = right.imshow(found.drops, extent=extent, **shown)
    right.set(xlim=(0, 48), ylim=(48, 0))
    figure.colorbar(image, ax=right, label="log-odds lost when covered, nats")


def _draw_voice(figure: Any, found: VoiceExplanation) -> None:
    grid = figure.add_gridspec(2, 2, width_ratios=(4, 1), height_ratios=(1, 3))
    time, spectrum, bands = (figure.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (1, 1)))
    widths = np.diff(found.starts_s)
    time.bar(found.starts_s[:-1], found.window_drops, widths, align="edge", color=_colours(found.window_drops))
    time.set(ylabel="nats lost", xlim=(0, found.starts_s[-1]), xticks=[])
    extent = (0, found.starts_s[-1], 0, len(found.spectrum))
    spectrum.imshow(found.spectrum, origin="lower", aspect="auto", extent=extent, cmap="magma")
    rows = np.linspace(0, len(found.spectrum), len(found.edges_hz))
    spectrum.set(xlabel="seconds of speech", ylabel="Hz")
    spectrum.set_yticks(rows, [f"{hz:.0f}" for hz in found.edges_hz], fontsize=7)
    bands.barh(rows[:-1], found.band_drops, np.diff(rows), align="edge", color=_colours(found.band_drops))
    bands.set(xlabel="nats lost", ylim=(0, len(found.spectrum)), yticks=[])


def _colours(drops: np.ndarray) -> list[str]:
    return ["#b2182b" if drop > 0 else "#2166ac" for drop in drops]
