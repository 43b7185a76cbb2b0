"""A video check-in: one frame a second for the face, the sound for the voice.

Decoding happens in `emotion.decoder`'s limited child only, with what is there: PyAV, or the operator's own `ffmpeg`
program on the PATH. PyAV is BSD and the extra `video`, but its wheels carry x264 and x265, which are GPL: build it
against an FFmpeg of your own (`pip install --no-binary av .[serving,video]`). OpenCV's wheels carry an LGPL one, but
give no sound. A program that the operator installs and we start is neither linked nor shipped.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

from emotion import ffmpeg
from emotion.estimate import EMOTIONS, Estimate
from emotion.photo import UnusablePhoto
from emotion.strangers import stranger

LONGEST_S = 60.0
MOST_BYTES = 60_000_000
FRAME_HEIGHT = 480  # pixels, what the face detector reads; sixty of them fit into the child's memory
SECONDS_PER_FRAME = 1.0
MOST_PIXELS = 9_000_000  # of one frame: 4K

MESSAGES = {
    "broken_file": "The file cannot be read as a video. Please record it again as MP4 or WebM.",
    "too_long": "The video is longer than a minute. Please send a shorter one.",
    "too_large": "The video is larger than 60 MB. Please send a shorter one.",
    "no_picture": "There is no picture in the video.",
}


class UnusableVideo(Exception):
    """A video that cannot be read. `code` is a key of `MESSAGES`, `message` is for the person."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.message = MESSAGES[code]
        super().__init__(self.message)


class NoVideoDecoder(Exception):
    """Neither PyAV nor the program `ffmpeg` is here."""


@dataclass(frozen=True)
class Clip:
    """frames: each (h, w, 3) uint8, upright, one a second.  samples: (N,) float32 mono, empty without sound."""

    frames: list[np.ndarray]
    samples: np.ndarray
    rate_hz: int


def decoder() -> str | None:
    """What would take a clip apart here, in words; None where nothing can."""
    if find_spec("av"):
        return "PyAV"
    program = ffmpeg.find()
    return program and f"the program {program}"


def decode(data: bytes) -> Clip:
    """Take a clip apart. Call it in `emotion.decoder`'s child. Raises `UnusableVideo`, `NoVideoDecoder`."""
    if len(data) > MOST_BYTES:
        raise UnusableVideo("too_large")
    try:
        import av
    except ImportError:
        return _with_program(data)
    try:
        with av.open(io.BytesIO(data), format=container_of(data)) as container:
            return _take_apart(container, av)
    except (av.FFmpegError, ValueError, OverflowError, EOFError) as error:
        raise UnusableVideo("broken_file") from error


def _with_program(data: bytes) -> Clip:
    program = ffmpeg.find()
    if program is None:
        raise NoVideoDecoder("neither PyAV nor ffmpeg is here")
    demuxer = container_of(data)
    try:
        frames = ffmpeg.frames(program, data, demuxer, FRAME_HEIGHT, MOST_PIXELS, LONGEST_S)
        samples = ffmpeg.sound(program, data, demuxer, LONGEST_S)
    except ffmpeg.NoStream as missing:
        raise UnusableVideo("no_picture") from missing
    except ffmpeg.Failed as error:
        raise UnusableVideo("broken_file") from error
    if len(frames) > LONGEST_S + 1:
        raise UnusableVideo("too_long")
    return Clip(frames, samples, ffmpeg.SOUND_HZ)


def container_of(data: bytes) -> str:
    """MP4 (ISO 14496-12) or WebM/Matroska, by the first bytes: no other demuxer is ever tried."""
    if data[4:8] == b"ftyp":
        return "mp4"
    if data[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    raise UnusableVideo("broken_file")


def _take_apart(container: Any, av: Any) -> Clip:
    if container.duration and container.duration / av.time_base > LONGEST_S:
        raise UnusableVideo("too_long")
    if not container.streams.video:
        raise UnusableVideo("no_picture")
    streams = [container.streams.video[0], *container.streams.audio[:1]]
    if streams[0].width * streams[0].height > MOST_PIXELS:
        raise UnusableVideo("too_large")
    for stream in streams:
        stream.thread_count = 1
    sound = av.AudioResampler(format="flt", layout="mono")
    frames: list[np.ndarray] = []
    heard: list[np.ndarray] = []
    rate_hz = streams[-1].rate if len(streams) > 1 else 0
    for frame in container.decode(*streams):
        if (frame.time or 0) > LONGEST_S:  # the header may have said otherwise
            raise UnusableVideo("too_long")
        if isinstance(frame, av.AudioFrame):
            heard += [part.to_ndarray()[0] for part in sound.resample(frame)]
        elif (frame.time or 0) >= len(frames) * SECONDS_PER_FRAME:
            frames.append(_upright(frame))
    samples = np.concatenate(heard) if heard else np.zeros(0, np.float32)
    return Clip(frames, samples.astype(np.float32), int(rate_hz))


def _upright(frame: Any) -> np.ndarray:
    factor = max(1.0, min(frame.width, frame.height) / FRAME_HEIGHT)
    size = {"width": round(frame.width / factor), "height": round(frame.height / factor)}
    pixels = frame.to_ndarray(format="rgb24", **size)
    return np.ascontiguousarray(np.rot90(pixels, round(getattr(frame, "rotation", 0) / 90)))


def read_frames(frames: Sequence[np.ndarray], recogniser: Any) -> Estimate:
    """The face over a clip: the mean distribution of the frames that show one; `details` has each emotion's votes.

    A frame without exactly one readable face is dropped. Raises `UnusablePhoto` with the commonest reason where
    none is left.
    """
    read, dropped = frame_estimates(frames, recogniser)
    return together([estimate for _, estimate in read], dropped, recogniser)


def frame_estimates(frames: Sequence[np.ndarray], recogniser: Any) -> tuple[list[tuple[float, Estimate]], Counter[str]]:
    """(second, estimate) of each frame that shows one face, and why the others were dropped. Raises `UnusablePhoto`."""
    read, dropped = [], Counter[str]()
    for number, frame in enumerate(frames):
        try:
            read.append((number * SECONDS_PER_FRAME, recogniser.predict(Image.fromarray(frame))))
        except UnusablePhoto as problem:
            dropped[problem.code] += 1
    if not read:
        raise UnusablePhoto(dropped.most_common(1)[0][0] if dropped else "no_face")
    return read, dropped


def together(read: Sequence[Estimate], dropped: Counter[str], recogniser: Any) -> Estimate:
    """One estimate of the frames that were read, of which there is at least one."""
    mean = np.mean([estimate.probabilities for estimate in read], axis=0)
    strangers = Counter(code for estimate in read if (code := stranger(estimate)))
    votes = Counter(estimate.emotion for estimate in read)
    majority = max(votes, key=lambda emotion: (votes[emotion], mean[EMOTIONS.index(emotion)]))
    return Estimate(
        probabilities=mean / mean.sum(),
        quality=float(np.mean([estimate.quality for estimate in read])),
        model_version=recogniser.version,
        abstained=bool(mean.max() < recogniser.threshold or np.mean([e.abstained for e in read]) > 0.5),
        details=_most(strangers, len(read))
        | {
            "frames": len(read) + dropped.total(),
            "frames_read": len(read),
            "dropped": dict(dropped),
            "votes": dict(votes),
            "majority": majority,
        },
    )


def _most(strangers: Counter[str], frames: int) -> dict[str, Any]:
    """The commonest reason to take the clip for a stranger, where most of its frames were taken for one."""
    if 2 * strangers.total() <= frames:
        return {}
    code, count = strangers.most_common(1)[0]
    return {"stranger": {"code": code, "frames": count}}
