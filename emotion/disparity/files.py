"""Face against voice from files: a photo or a clip, and a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emotion.checkpoint import NoModel
from emotion.decoder import NO_VIDEO_DECODER, BrokenFile, Decoder, DecoderCrashed
from emotion.disparity import reference
from emotion.disparity.comparison import Comparison, Frames, compare, heard_along
from emotion.disparity.measure import Null
from emotion.face import FaceRecogniser
from emotion.photo import UnusablePhoto
from emotion.recording import UnusableRecording, decode, extract
from emotion.video import MESSAGES, Clip, frame_estimates
from emotion.voice import VoiceRecogniser


class CannotCompare(Exception):
    """One of the two cannot be read; the message says which and why."""


def compare_files(
    face: Path | None, video: Path | None, voice: Path | None, null: Path | None = None
) -> tuple[Comparison, str]:
    """The comparison, and why it has no p-values ("" if it has). A clip's own sound is heard where no voice is given.

    null: instead of the one that ships. Raises `CannotCompare`, `NoModel`; one that is given and was made with other
    checkpoints is refused.
    """
    clip = None if video is None else _clip(video)
    eye, ear = FaceRecogniser.load(), VoiceRecogniser.load()
    seen = _seen(face, clip, eye)
    samples, rate_hz = _heard(voice, clip)
    whole = _voice(samples, rate_hz, ear)
    known, doubt = _null({"face": eye.version, "voice": ear.version}, null)
    along = heard_along(samples, rate_hz, ear)
    return compare(seen, whole, along, len(samples) / rate_hz, known), doubt


def _null(versions: dict[str, str], path: Path | None) -> tuple[Null | None, str]:
    try:
        return reference.load(path).for_models(versions), ""
    except (reference.OtherModels, NoModel) as problem:
        if path is not None:
            raise CannotCompare(str(problem)) from problem
        return None, f"no p-values: {problem}"


def _clip(path: Path) -> Clip:
    decoder = Decoder()
    try:
        return decoder.video(path.read_bytes())
    except (BrokenFile, DecoderCrashed) as problem:
        code = getattr(problem, "code", "broken_file")
        if code == NO_VIDEO_DECODER:
            raise NoModel("videos need PyAV or the program ffmpeg (see emotion/video.py)") from problem
        raise CannotCompare(f"{path}: {MESSAGES[code]}") from problem
    finally:
        decoder.close()


def _seen(photo: Path | None, clip: Clip | None, recogniser: FaceRecogniser) -> Frames:
    try:
        if clip is not None:
            return [(at, e.probabilities) for at, e in frame_estimates(clip.frames, recogniser)[0]]
        assert photo is not None
        return [(0.0, recogniser.predict(photo.read_bytes()).probabilities)]
    except UnusablePhoto as problem:
        raise CannotCompare(f"the face: {problem.message}") from problem


def _heard(voice: Path | None, clip: Clip | None) -> tuple[np.ndarray, int]:
    try:
        if voice is not None:
            return decode(voice)
    except UnusableRecording as problem:
        raise CannotCompare(f"the voice: {problem.message}") from problem
    assert clip is not None
    if not clip.samples.size:
        raise CannotCompare("the clip has no sound that can be heard: give --voice")
    return clip.samples, clip.rate_hz


def _voice(samples: np.ndarray, rate_hz: int, recogniser: VoiceRecogniser) -> np.ndarray:
    try:
        return recogniser.predict(extract(samples, rate_hz, band=recogniser.band)).probabilities
    except UnusableRecording as problem:
        raise CannotCompare(f"the voice: {problem.message}") from problem
