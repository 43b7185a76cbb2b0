"""Where face and voice express different things: measure, null, timeline, report for a therapist. Not a diagnosis."""

from emotion.disparity.measure import Null, disagreement, jensen_shannon
from emotion.disparity.report import Report, report
from emotion.disparity.timeline import WINDOW_S, Passage, timeline, voice_windows, windows

__all__ = [
    "WINDOW_S",
    "Null",
    "Passage",
    "Report",
    "disagreement",
    "jensen_shannon",
    "report",
    "timeline",
    "voice_windows",
    "windows",
]
