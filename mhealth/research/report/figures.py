"""Figures of the report as SVG: the same numbers give the same bytes. Arms differ by colour, dash and marker, so that
they stay apart in grey and for colour-blind readers."""

import io
import re
from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe & Ito
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
STYLE = {
    "svg.hashsalt": "report",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e6ea",
    "grid.linewidth": 0.8,
    "axes.edgecolor": "#6b7280",
    "legend.frameon": False,
}
WIDTH = 7.2  # inches: the text width of a printed page


def staying(table: pd.DataFrame, completed: pd.DataFrame, arms: Sequence[str], last_day: int) -> str:
    """Share still in the trial as steps, with a marker per questionnaire: the share that answered it."""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _figure(1, height=3.1)
        for place, arm in enumerate(arms):
            own = table[table["arm"] == arm]
            steps = [*zip(own["day"], own["share"], strict=True), (last_day, own["share"].iloc[-1] if len(own) else 1)]
            days, shares = zip(*steps, strict=True)
            axes.step(
                days, shares, where="post", color=COLOURS[place], linestyle=DASHES[place], label=f"{arm}: in the trial"
            )
            given = completed[completed["arm"] == arm]
            look = {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": "none"}
            axes.plot(
                given["day"] + (place - (len(arms) - 1) / 2) * last_day / 70,
                given["share"],
                label=f"{arm}: answered",
                **look,
            )
        axes.set(
            xlim=(0, last_day * 1.03), ylim=(0, 1.04), xlabel="Days since allocation", ylabel="Share of the randomised"
        )
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.legend(loc="lower left", ncols=2)
        return _svg(figure)


def trajectories(table: pd.DataFrame, arms: Sequence[str], scales: Sequence[tuple[str, str]]) -> str:
    """One panel per scale: observed means with their 95 % bands; table as `course.trajectories` makes it."""
    with matplotlib.rc_context(STYLE):
        figure, panels = _figure(len(scales), height=3.1)
        for axes, (name, column) in zip(panels, scales, strict=True):
            for place, arm in enumerate(arms):
                own = table[(table["arm"] == arm) & (table["scale"] == column)].sort_values("day")
                look = {
                    "color": COLOURS[place],
                    "marker": MARKERS[place],
                    "linestyle": DASHES[place],
                    "markersize": 4.5,
                }
                axes.plot(own["day"], own["mean"], label=arm, **look)
                axes.fill_between(
                    own["day"].to_numpy(float),
                    own["low"].to_numpy(float),
                    own["high"].to_numpy(float),
                    color=COLOURS[place],
                    alpha=0.16,
                    linewidth=0,
                )
            axes.set(title=name.capitalize(), xlabel="Days since allocation")
            axes.set_xticks(sorted(table["day"].unique()))
        panels[0].set_ylabel("Mean score")
        _shared_floor(panels)
        _legend_below(figure, panels[0])
        return _svg(figure)


def forest(rows: pd.DataFrame) -> str:
    """Hedges' g with its interval, one line per row: label, g, g_low, g_high."""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _figure(1, height=0.9 + 0.36 * len(rows))
        places = range(len(rows))[::-1]
        low, high = rows["g"] - rows["g_low"], rows["g_high"] - rows["g"]
        axes.errorbar(rows["g"], list(places), xerr=[low, high], fmt="s", color=COLOURS[0], capsize=3, markersize=5)
        axes.axvline(0, color="#374151", linewidth=1)
        axes.set(
            yticks=list(places),
            yticklabels=rows["label"],
            xlabel="Hedges' g with 95 % interval (below 0: lower scores than the reference)",
        )
        axes.set_ylim(-0.6, len(rows) - 0.4)
        reach = max(abs(rows["g_low"]).max(), abs(rows["g_high"]).max(), 0.5) * 1.1
        axes.set_xlim(-reach, reach)
        axes.grid(axis="y", visible=False)
        return _svg(figure)


def weekly(table: pd.DataFrame, arms: Sequence[str], measures: Sequence[tuple[str, str]]) -> str:
    """One panel per measure: the mean of those who took part that week."""
    with matplotlib.rc_context(STYLE):
        figure, panels = _figure(len(measures), height=2.9)
        for axes, (column, title) in zip(panels, measures, strict=True):
            for place, arm in enumerate(arms):
                own = table[table["arm"] == arm].sort_values("week")
                look = {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": DASHES[place], "markersize": 4}
                axes.plot(own["week"], own[column], label=arm, **look)
            axes.set(title=title, xlabel="Week from allocation")
            axes.set_ylim(0, max(1.0, 1.1 * table[column].max()))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        panels[0].set_ylabel("Mean per person and week")
        _legend_below(figure, panels[0])
        return _svg(figure)


def _figure(n_panels: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, list(figure.subplots(1, n_panels, squeeze=False)[0])


def _shared_floor(panels: Sequence[Axes]) -> None:
    """All panels on one scale: scores of the scales are compared by eye."""
    top = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(0, top)


def _legend_below(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)))


def _svg(figure: Figure) -> str:
    """Without the XML head and metadata, so that it stands in a page; no date, no version of the library."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    whole = re.sub(r"<metadata>.*?</metadata>\s*", "", text.getvalue(), flags=re.DOTALL)
    return whole[whole.index("<svg") :]
