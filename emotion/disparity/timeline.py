"""Face against voice along a recording, in windows of 2.5 seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emotion.disparity.measure import ALERT_BELOW, Null, disagreement, jensen_shannon
from emotion.estimate import EMOTIONS

WINDOW_S = 2.5
STEP_S = 1.25

Distributions = Mapping[str, np.ndarray]
Span = tuple[float, float]


@dataclass(frozen=True)
class Passage:
    """One window: seconds from the start, what was expressed with which probability, and how unusual that is.

    divergence_bits: Jensen–Shannon.  p_value, alert: None where there is no null to compare with.
    sentiment: of the words in the window, [-1, 1], where there are any; shown beside, never part of the alert.
    """

    start_s: float
    end_s: float
    face: str
    face_probability: float
    voice: str
    voice_probability: float
    divergence_bits: float
    score: float
    p_value: float | None
    alert: bool | None
    sentiment: float | None = None


def windows(duration_s: float, length_s: float = WINDOW_S, step_s: float = STEP_S) -> list[Span]:
    """Spans that cover a recording; one that is shorter than a window is one span."""
    if duration_s <= length_s:
        return [(0.0, float(duration_s))]
    starts = np.arange(0, duration_s - length_s + 1e-9, step_s)
    return [(float(s), float(s + length_s)) for s in starts]


def timeline(
    face: Iterable[tuple[float, np.ndarray]],
    voice: Iterable[tuple[Span, np.ndarray]],
    null: Null | None = None,
    sentiment: Callable[[float, float], float | None] = lambda start, end: None,
) -> list[Passage]:
    """Compare each window of the voice with the mean of the face's frames in it.

    face: (second, distribution (7,)) of each frame in which a face was read; a photo is one frame at any
    second of the only window.  voice: ((start, end), distribution (7,)) of each window that could be heard.
    A window without a frame is left out.
    """
    frames = sorted(face, key=lambda frame: frame[0])
    passages = []
    for (start, end), heard in voice:
        seen = [distribution for at, distribution in frames if start <= at <= end]
        if seen:
            passages.append(passage(start, end, np.mean(seen, axis=0), np.asarray(heard), null, sentiment(start, end)))
    return passages


def passage(
    start: float, end: float, face: np.ndarray, voice: np.ndarray, null: Null | None, sentiment: float | None = None
) -> Passage:
    """One face against one voice, (7,) each, between two seconds."""
    score = disagreement(face, voice)
    p_value = null.p_value(score) if null else None
    return Passage(
        start_s=start,
        end_s=end,
        face=EMOTIONS[int(face.argmax())],
        face_probability=float(face.max()),
        voice=EMOTIONS[int(voice.argmax())],
        voice_probability=float(voice.max()),
        divergence_bits=jensen_shannon(face, voice),
        score=score,
        p_value=p_value,
        alert=None if p_value is None else p_value < ALERT_BELOW,
        sentiment=sentiment,
    )


def voice_windows(
    samples: np.ndarray, rate_hz: int, predict: Callable[[np.ndarray], np.ndarray | None]
) -> list[tuple[Span, np.ndarray]]:
    """Read a recording window by window. samples: (n,) mono in [-1, 1].

    predict: the samples of a window to a distribution (7,), or None where nothing can be heard.
    """
    found: list[tuple[Span, np.ndarray]] = []
    for start, end in windows(len(samples) / rate_hz):
        heard = predict(samples[int(start * rate_hz) : int(end * rate_hz)])
        if heard is not None:
            found.append(((start, end), heard))
    return found


def telling(passages: Sequence[Passage], most: int = 3) -> list[Passage]:
    """The passages of largest disagreement that do not overlap, in the order of time."""
    chosen: list[Passage] = []
    for passage in sorted(passages, key=lambda p: (-p.score, p.start_s)):
        if len(chosen) < most and all(passage.end_s <= c.start_s or passage.start_s >= c.end_s for c in chosen):
            chosen.append(passage)
    return sorted(chosen, key=lambda p: p.start_s)
