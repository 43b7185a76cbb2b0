"""Where face and voice express different things: measure, null, timeline, report for a therapist. Not a diagnosis."""

from emotion.disparity.comparison import Comparison, compare, heard_along
from emotion.disparity.measure import Null, disagreement, jensen_shannon
from emotion.disparity.report import Report, report, report_on
from emotion.disparity.timeline import WINDOW_S, Passage, timeline, voice_windows, windows

__all__ = [
    "WINDOW_S",
    "Comparison",
    "Null",
    "Passage",
    "Report",
    "compare",
    "disagreement",
    "heard_along",
    "jensen_shannon",
    "report",
    "report_on",
    "timeline",
    "voice_windows",
    "windows",
]
