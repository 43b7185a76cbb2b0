"""The recognisers of this process: loaded once, in the worker's child, one thread each."""

import atexit
import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from django.conf import settings
from PIL import Image

from emotion import checkpoint
from emotion.checkpoint import NoModel
from emotion.decoder import BrokenFile, Decoder, DecoderCrashed
from emotion.disparity import heard_along
from emotion.disparity.timeline import Span
from emotion.estimate import Estimate
from emotion.face import FaceRecogniser
from emotion.photo import UnusablePhoto
from emotion.recording import Speech, UnusableRecording, extract
from emotion.text import TextRecogniser, UnusableText
from emotion.video import SECONDS_PER_FRAME, Clip, frame_estimates, together
from emotion.voice import VoiceBaseline, VoiceRecogniser
from mhealth.checkins.reasons import Unreadable

WARM_UP_RATE_HZ = 16_000


@dataclass(frozen=True)
class Recogniser:
    """How one modality is read: bytes that a stranger sent in, an Estimate out."""

    decode: Callable[[bytes], object]
    predict: Callable[..., Estimate]


def read(modality: str, data: bytes, *, baseline: dict | None = None) -> Estimate:
    """Raises Unreadable, with a reason that a person can act on.

    baseline: of a voice, how this person usually sounds (`VoiceBaseline.to_json`).
    """
    try:
        recogniser = _recognisers()[modality]
        return recogniser().predict(_decoded(recogniser(), data), **_against(baseline))
    except (KeyError, NoModel) as problem:
        raise Unreadable("no_model") from problem
    except (BrokenFile, UnusablePhoto, UnusableRecording, UnusableText) as problem:
        raise Unreadable(problem.code) from problem


@dataclass(frozen=True)
class Watched:
    """What a video says, or why not, by modality. seen: (second, distribution) of each frame that was read.

    heard_along: seconds of the sound, and what the voice expresses window by window; computed when asked for.
    """

    estimates: dict[str, Estimate]
    reasons: dict[str, str]
    seen: list[tuple[float, np.ndarray]]
    heard_along: Callable[[], tuple[float, list[tuple[Span, np.ndarray]]]]


def watch(data: bytes, *, baseline: dict | None = None) -> Watched:
    """Face and voice of a video; each counts where the other cannot be read. Raises Unreadable for the whole.

    baseline: as for `read`.
    """
    clip, seen = _clip(data), []
    estimates, reasons = {}, {}

    def face() -> Estimate:
        read, dropped = frame_estimates(clip.frames, _face_model())
        seen.extend((at, estimate.probabilities) for at, estimate in read)
        return together([estimate for _, estimate in read], dropped, _face_model())

    def voice() -> Estimate:
        return _voice_model().predict(_speech(clip), **_against(baseline))

    for modality, look in (("face", face), ("voice", voice)):
        try:
            estimates[modality] = look()
        except NoModel:
            reasons[modality] = "no_model"
        except (UnusablePhoto, UnusableRecording) as problem:
            reasons[modality] = problem.code
    return Watched(estimates, reasons, seen, lambda: _heard(clip.samples, clip.rate_hz))


def _clip(data: bytes) -> Clip:
    try:
        return _twice(_decoder().video, data)
    except BrokenFile as problem:
        raise Unreadable(problem.code) from problem


def _speech(clip: Clip) -> Speech:
    if not clip.samples.size:
        raise UnusableRecording("silent")
    return extract(clip.samples, clip.rate_hz, band=_voice_model().band)


def along(data: bytes) -> tuple[float, list[tuple[Span, np.ndarray]]]:
    """Seconds of a recording that `read` has read before, and what it expresses window by window."""
    return _heard(*_twice(_decoder().recording, data))


def _heard(samples: np.ndarray, rate_hz: int) -> tuple[float, list[tuple[Span, np.ndarray]]]:
    return len(samples) / rate_hz, heard_along(samples, rate_hz, _voice_model())


def _against(baseline: dict | None) -> dict:
    return {"baseline": VoiceBaseline.from_json(baseline)} if baseline else {}


def explain(modality: str, data: bytes, *, video: bool = False) -> dict:
    """What the estimate of a photo or a recording rests on, as `emotion.explain` tells it. Raises Unreadable.

    video: the data is one; of its frames the best is looked into.
    """
    from emotion import explain as why

    try:
        if modality == "face":
            picture = _best_frame(data) if video else Image.fromarray(_twice(_decoder().photo, data))
            return why.explain_face(_face_model(), picture).to_json()
        model = _voice_model()
        speech = _speech(_clip(data)) if video else extract(*_twice(_decoder().recording, data), band=model.band)
        return why.explain_voice(model, speech).to_json()
    except NoModel as problem:
        raise Unreadable("no_model") from problem
    except why.OutOfTime as problem:
        raise Unreadable("out_of_time") from problem
    except (BrokenFile, UnusablePhoto, UnusableRecording) as problem:
        raise Unreadable(problem.code) from problem


def _best_frame(data: bytes) -> Image.Image:
    """The frame of a video whose face is fittest for reading. Raises UnusablePhoto."""
    clip = _clip(data)
    seen, _ = frame_estimates(clip.frames, _face_model())
    at, _ = max(seen, key=lambda pair: pair[1].quality)
    return Image.fromarray(clip.frames[round(at / SECONDS_PER_FRAME)])


def _decoded(recogniser: Recogniser, data: bytes):
    return _twice(recogniser.decode, data)


def _twice(decode: Callable[[bytes], Any], data: bytes):
    """A file that crashes the decoder gets one more try: the first time may have been the machine's fault."""
    try:
        return decode(data)
    except DecoderCrashed:
        pass
    try:
        return decode(data)
    except DecoderCrashed as again:
        raise BrokenFile("broken_file") from again


def _recognisers() -> dict[str, Callable[[], Recogniser]]:
    return {"face": _face, "voice": _voice, "text": _text}


@cache
def _decoder() -> Decoder:
    decoder = Decoder()
    atexit.register(decoder.close)
    return decoder


@cache
def _face_model() -> FaceRecogniser:
    return FaceRecogniser.load(_checkpoint("face"))


@cache
def _face() -> Recogniser:
    return Recogniser(lambda data: Image.fromarray(_decoder().photo(data)), _face_model().predict)


@cache
def _voice_model() -> VoiceRecogniser:
    return VoiceRecogniser.load(_checkpoint("voice"))


@cache
def _voice() -> Recogniser:
    model = _voice_model()

    def listen(data: bytes) -> Speech:
        return extract(*_decoder().recording(data), band=model.band)

    return Recogniser(listen, model.predict)


@cache
def _text() -> Recogniser:
    return Recogniser(bytes.decode, TextRecogniser.load(_checkpoint("text")).predict)


def _checkpoint(modality: str) -> Path:
    return checkpoint.find(settings.EMOTION_CHECKPOINTS, modality)


def warm_up() -> None:
    """Load what is there and read something once: the first call in a process costs seconds (imports, the child)."""
    for modality, sample in (("face", _grey_photo()), ("voice", _noise()), ("text", b"A quiet day.")):
        with contextlib.suppress(Unreadable):  # "no model yet" is a normal state, and there is no face in grey
            read(modality, sample)


def _grey_photo() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (640, 480), (128, 128, 128)).save(file, "JPEG")
    return file.getvalue()


def _noise() -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 0.1, 2 * WARM_UP_RATE_HZ)
    soundfile.write(file, samples, WARM_UP_RATE_HZ, format="WAV")
    return file.getvalue()
