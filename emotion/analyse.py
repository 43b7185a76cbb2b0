"""One check-in from files: what each modality says, and what they say together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion.checkpoint import NoModel
from emotion.estimate import EMOTIONS, Estimate
from emotion.strangers import MESSAGES

if TYPE_CHECKING:
    from emotion.video import Clip

Reading = tuple[dict[str, Any], Estimate | None]  # what is told of a modality, and what is fused


def analyse(
    face: Path | None = None, voice: Path | None = None, text: str | None = None, video: Path | None = None
) -> dict[str, Any]:
    """Read each part that is given and fuse what could be read; ready for JSON.

    A video gives the face and the voice that are not given by files of their own. A modality has a `status`:
    "estimated", "unusable" (with `code` and `message`) or "no model".
    """
    read: dict[str, Reading] = {} if video is None else _read_video(video)
    if face is not None:
        read["face"] = _attempt(partial(_read_face, face))
    if voice is not None:
        read["voice"] = _attempt(partial(_read_voice, voice))
    if text is not None:
        read["text"] = _attempt(partial(_read_text, text))
    estimates = {name: estimate for name, (_, estimate) in read.items() if estimate}
    return {
        "modalities": {name: told for name, (told, _) in read.items()},
        "fused": _fuse(estimates) if estimates else None,
    }


def _read_face(path: Path) -> Estimate:
    from emotion.face import FaceRecogniser

    return FaceRecogniser.load().predict(path.read_bytes())


def _read_voice(path: Path) -> Estimate:
    from emotion.voice import VoiceRecogniser

    return VoiceRecogniser.load().predict(path.read_bytes())


def _read_text(text: str) -> Estimate:
    from emotion.text import TextRecogniser

    return TextRecogniser.load().predict(text)


def _read_video(path: Path) -> dict[str, Reading]:
    from emotion.decoder import NO_VIDEO_DECODER, BrokenFile, Decoder, DecoderCrashed
    from emotion.video import MESSAGES

    decoder = Decoder()
    try:
        clip = decoder.video(path.read_bytes())
    except (BrokenFile, DecoderCrashed) as problem:
        code = getattr(problem, "code", "broken_file")
        if code == NO_VIDEO_DECODER:
            raise NoModel("videos need PyAV or the program ffmpeg (see emotion/video.py)") from problem
        return {"video": ({"status": "unusable", "code": code, "message": MESSAGES[code]}, None)}
    finally:
        decoder.close()
    return {"face": _attempt(partial(_face_of, clip)), "voice": _attempt(partial(_voice_of, clip))}


def _face_of(clip: Clip) -> Estimate:
    from emotion.face import FaceRecogniser
    from emotion.video import read_frames

    return read_frames(clip.frames, FaceRecogniser.load())


def _voice_of(clip: Clip) -> Estimate:
    from emotion.recording import UnusableRecording, extract
    from emotion.voice import VoiceRecogniser

    if not clip.samples.size:
        raise UnusableRecording("silent")
    recogniser = VoiceRecogniser.load()
    return recogniser.predict(extract(clip.samples, clip.rate_hz, band=recogniser.band))


def _attempt(read: Callable[[], Estimate]) -> Reading:
    from emotion.photo import UnusablePhoto
    from emotion.recording import UnusableRecording
    from emotion.text import UnusableText

    try:
        estimate = read()
    except NoModel:
        return {"status": "no model"}, None
    except (UnusablePhoto, UnusableRecording, UnusableText) as problem:
        return {"status": "unusable", "code": problem.code, "message": problem.message}, None
    return {"status": "estimated", **summarise(estimate)}, estimate


def _fuse(estimates: dict[str, Estimate]) -> dict[str, Any]:
    from emotion.fusion import fuse

    fused = fuse(estimates, None)
    weights = {name: round(float(weight), 4) for name, weight in fused.weights.items()}
    return {**summarise(fused), "weights": weights}


def summarise(estimate: Estimate) -> dict[str, Any]:
    """An estimate as plain numbers."""
    return {
        "emotion": None if estimate.abstained else estimate.emotion,
        "abstained": estimate.abstained,
        "confidence": round(estimate.confidence, 4),
        "probabilities": dict(zip(EMOTIONS, (round(float(p), 4) for p in estimate.probabilities), strict=True)),
        "valence_derived": round(estimate.valence, 4),
        "arousal_derived": round(estimate.arousal, 4),
        "quality": round(estimate.quality, 4),
        "model": estimate.model_version,
        "details": estimate.details,
    }


def describe(result: dict[str, Any]) -> str:
    """The same for people: one block per modality, then the fusion."""
    blocks = [_block(name, part) for name, part in result["modalities"].items()]
    if result["fused"]:
        weights = ", ".join(f"{name} {weight:.2f}" for name, weight in result["fused"]["weights"].items())
        blocks.append(_block("together", result["fused"]) + f"\n  weights: {weights}")
    else:
        blocks.append("together: nothing could be read")
    blocks += [_rests_on(name, found) for name, found in result.get("explanations", {}).items()]
    return "\n".join(blocks)


def _rests_on(name: str, found: dict[str, Any]) -> str:
    """The most telling part of an explanation, in a line."""
    if name == "face":
        row, column = np.unravel_index(np.argmax(found["drops"]), np.shape(found["drops"]))
        return f"face: “{found['emotion']}” rests most on place {row + 1} from the top, {column + 1} from the left of 7"
    window, band = (int(np.argmax(found[key])) for key in ("window_drops", "band_drops"))
    start, end = found["starts_s"][window : window + 2]
    low, high = found["edges_hz"][band : band + 2]
    return f"voice: “{found['emotion']}” rests most on {start:.1f} to {end:.1f} s and on {low:.0f} to {high:.0f} Hz"


def _block(name: str, part: dict[str, Any]) -> str:
    if part.get("status") == "no model":
        return f"{name}: no model"
    if part.get("status") == "unusable":
        return f"{name}: unusable ({part['code']}). {part['message']}"
    stranger = (part.get("details", {}).get("stranger") or {}).get("code")
    if stranger:
        return f"{name}: not read as an emotion ({stranger}). {MESSAGES[stranger]}"
    head = "too unsure to say" if part["abstained"] else f"expressed {part['emotion']}"
    lines = [f"{name}: {head}, confidence {part['confidence']:.2f}, quality {part['quality']:.2f} [{part['model']}]"]
    ranked = sorted(part["probabilities"].items(), key=lambda item: -item[1])
    lines += [f"  {emotion:<10}{p:6.3f} {'█' * round(30 * p)}" for emotion, p in ranked]
    return "\n".join(lines)
