"""What a therapist is shown: a table, a figure, the most telling passages in plain sentences. Not a diagnosis."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from emotion.disparity.comparison import Comparison
from emotion.disparity.measure import ALERT_BELOW
from emotion.disparity.timeline import Passage, telling

CAUTION = (
    "This is not a diagnosis: it compares what recognisers read from the face and the voice, and they err. "
    "People smile politely, and a feeling need not show."
)
UNCERTAINTY = (
    "Where face and voice do express the same, one recording in twenty is marked all the same; of single windows some "
    "are marked by chance, so that they show where, and not whether, the two differ."
)
NOTHING_TO_COMPARE = "How unusual this is cannot be said: there is no comparison for these recognisers."
DIGITS = 2
P_DIGITS = 3


@dataclass(frozen=True)
class Report:
    """passages: all windows, and the whole recording before them if that was compared.  telling: up to three windows.

    sentences: about those, ending with the caution.  whole: that the first passage is the whole recording.
    """

    passages: Sequence[Passage]
    telling: Sequence[Passage]
    sentences: Sequence[str]
    whole: bool = False

    def table(self) -> str:
        """CSV of all passages, rounded."""
        names = [field.name for field in fields(Passage)]
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(name, getattr(passage, name)) for name in names] for passage in self.passages)
        return file.getvalue()

    def figure(self, path: Path) -> None:
        """Draw the timeline; the format follows the file's name (.svg, .png)."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 3.6), layout="constrained")
        _draw(figure.subplots(), self.passages[1:] if self.whole else self.passages, self.telling)
        figure.savefig(path, dpi=150)


def report(passages: Sequence[Passage]) -> Report:
    """Sentences come from templates, so that every figure in them stands in the table."""
    chosen = telling(passages)
    return Report(passages, chosen, [_overview(passages), *map(sentence, chosen), CAUTION])


def report_on(comparison: Comparison) -> Report:
    """The whole recording first, then its most telling passages, then how sure that is."""
    parts = report(comparison.passages)
    overall = comparison.overall
    doubt = NOTHING_TO_COMPARE if overall.p_value is None else UNCERTAINTY
    return Report(
        [overall, *comparison.passages],
        parts.telling,
        [sentence(overall), *parts.sentences[:-1], doubt, CAUTION],
        whole=True,
    )


def sentence(passage: Passage) -> str:
    same = passage.face == passage.voice
    what = (
        f"face and voice both expressed {passage.face} "
        f"(probabilities {passage.face_probability:.2f} and {passage.voice_probability:.2f})"
        if same
        else f"the face expressed {passage.face} (probability {passage.face_probability:.2f}) "
        f"and the voice {passage.voice} ({passage.voice_probability:.2f})"
    )
    when = f"From {passage.start_s:.2f} s to {passage.end_s:.2f} s" if passage.end_s > passage.start_s else "In all,"
    return f"{when} {what}; {_unusual(passage)}."


def _unusual(passage: Passage) -> str:
    if passage.p_value is None:
        return f"divergence {passage.divergence_bits:.2f} bits, with no comparison to say how unusual that is"
    verdict = "unusual" if passage.alert else "not unusual"
    return (
        f"divergence {passage.divergence_bits:.2f} bits, {verdict} where both mean the same (p = {passage.p_value:.3f})"
    )


def _overview(passages: Sequence[Passage]) -> str:
    if not passages:
        return "Face and voice could not be compared at any moment."
    alerts = sum(bool(p.alert) for p in passages)
    return f"{len(passages)} windows were compared; in {alerts} of them face and voice differed unusually."


def _cell(name: str, value: object) -> object:
    digits = P_DIGITS if name == "p_value" else DIGITS
    return "" if value is None else round(value, digits) if isinstance(value, float) else value


def _draw(axes, passages: Sequence[Passage], chosen: Sequence[Passage]) -> None:
    middle = [(p.start_s + p.end_s) / 2 for p in passages]
    axes.plot(middle, [p.divergence_bits for p in passages], color="#30507a", marker="o", markersize=4, linewidth=1.5)
    for passage, at in zip(passages, middle, strict=True):
        if passage.alert:
            axes.axvspan(passage.start_s, passage.end_s, color="#c0504d", alpha=0.12, linewidth=0)
            axes.plot(at, passage.divergence_bits, color="#c0504d", marker="o", markersize=7)
    for passage in chosen:
        at = (passage.start_s + passage.end_s) / 2
        label = f"face {passage.face}\nvoice {passage.voice}"
        axes.annotate(label, (at, passage.divergence_bits), (0, 8), textcoords="offset points", ha="center", fontsize=8)
    end_s = max((p.end_s for p in passages), default=1.0)
    axes.set(xlabel="seconds", ylabel="divergence of face and voice (bits)", xlim=(0, end_s), ylim=(0, 1.25))
    axes.set_title(f"red: p < {ALERT_BELOW} among congruent clips. Not a diagnosis.", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
