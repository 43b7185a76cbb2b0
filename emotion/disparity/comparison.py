"""One recording of a voice against one photo, or against the frames of a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion.disparity.measure import Null
from emotion.disparity.timeline import Passage, Span, passage, timeline, voice_windows

if TYPE_CHECKING:
    from emotion.voice import VoiceRecogniser

Frames = Sequence[tuple[float, np.ndarray]]  # (second, distribution (7,))


@dataclass(frozen=True)
class Comparison:
    """overall: the whole face against the whole voice; whether there is an alert is said by this one alone.

    passages: 2.5 s each. They are many, so that some fall below 5 % by chance: they show where, not whether.
    """

    overall: Passage
    passages: Sequence[Passage]

    def to_json(self) -> dict[str, Any]:
        return {"overall": asdict(self.overall), "passages": [asdict(p) for p in self.passages]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Comparison:
        return cls(Passage(**stored["overall"]), [Passage(**p) for p in stored["passages"]])


def compare(
    face: Frames,
    whole_voice: np.ndarray,
    voice: Sequence[tuple[Span, np.ndarray]],
    duration_s: float,
    null: Null | None,
) -> Comparison:
    """face: a photo is one frame, which is held against every moment of the voice.  whole_voice: (7,).

    voice: as `timeline.voice_windows` gives it.  duration_s: of the recording.
    """
    whole_face = np.mean([p for _, p in face], axis=0)
    overall = passage(0.0, duration_s, whole_face, whole_voice, null)
    frames = _held(face[0][1], voice) if len(face) == 1 else face
    return Comparison(overall, timeline(frames, voice, null))


def heard_along(samples: np.ndarray, rate_hz: int, recogniser: VoiceRecogniser) -> list[tuple[Span, np.ndarray]]:
    """What a voice expresses window by window, without those in which nothing can be heard. samples: (n,) mono."""
    from emotion.recording import UnusableRecording, extract

    def predict(window: np.ndarray) -> np.ndarray | None:
        try:
            return recogniser.predict(extract(window, rate_hz, band=recogniser.band)).probabilities
        except UnusableRecording:
            return None

    return voice_windows(samples, rate_hz, predict)


def _held(photo: np.ndarray, voice: Sequence[tuple[Span, np.ndarray]]) -> Frames:
    return [((start + end) / 2, photo) for (start, end), _ in voice]
