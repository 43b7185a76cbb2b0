"""Where things lie in the drawings of the staff pages: viewBox coordinates, so that the web process plots nothing."""

import math

from emotion.disparity import Passage, Report

WIDTH, HEIGHT = 640, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 34, 34
TICKS_S = (1, 2, 5, 10, 15)


def timeline(report: Report) -> dict:
    """Divergence along a recording: a point for each passage, a band behind unusual ones, words at the telling ones."""
    passages = report.passages[1:]
    end_s = max((p.end_s for p in passages), default=1.0)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "bottom": HEIGHT - BOTTOM,
        "line": " ".join(f"{_x(_middle(p), end_s):.1f},{_y(p.divergence_bits):.1f}" for p in passages),
        "points": [_point(p, end_s, p in report.telling) for p in passages],
        "bands": [_band(p, end_s) for p in passages if p.alert],
        "seconds": [(f"{_x(at, end_s):.1f}", at) for at in _ticks(end_s)],
        "bits": [(f"{_y(at):.1f}", at) for at in (0, 0.5, 1)],
    }


def _point(passage: Passage, end_s: float, telling: bool) -> dict:
    x, y = _x(_middle(passage), end_s), _y(passage.divergence_bits)
    words = (f"face {passage.face}", f"voice {passage.voice}") if telling else ()
    anchor = "start" if x < LEFT + 60 else "end" if x > WIDTH - RIGHT - 60 else "middle"
    labels = [(f"{y - 20 + 11 * line:.1f}", word) for line, word in enumerate(words)]
    return {"x": f"{x:.1f}", "y": f"{y:.1f}", "alert": passage.alert, "labels": labels, "anchor": anchor}


def _band(passage: Passage, end_s: float) -> dict:
    left, right = _x(passage.start_s, end_s), _x(passage.end_s, end_s)
    return {"x": f"{left:.1f}", "width": f"{right - left:.1f}", "y": TOP, "height": HEIGHT - TOP - BOTTOM}


def _middle(passage: Passage) -> float:
    return (passage.start_s + passage.end_s) / 2


def _x(at_s: float, end_s: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * at_s / end_s


def _y(bits: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * bits


def _ticks(end_s: float) -> list[int]:
    step = next((s for s in TICKS_S if end_s / s <= 8), 30)
    return list(range(0, int(end_s) + 1, step))


SIDE = 26  # of a place of the face
FACE_PLACES = 7


def places(found: dict) -> dict:
    """The places of a face, red where covering one takes the emotion away, blue where it brings it out."""
    rows = found["drops"]
    most = _strongest([drop for row in rows for drop in row])
    cells = [_cell(drop, most, x * SIDE, y * SIDE) for y, row in enumerate(rows) for x, drop in enumerate(row)]
    size = FACE_PLACES * SIDE
    return {"emotion": found["emotion"], "side": SIDE, "size": size, "cells": cells, "most": f"{math.exp(most):.1f}"}


def moments(found: dict) -> dict:
    """Bars for stretches of time and for groups of pitches, all on one scale."""
    most = _strongest([*found["window_drops"], *found["band_drops"]])
    return {
        "emotion": found["emotion"],
        "groups": [
            (
                "Moments, from the first word on",
                _bars(found["window_drops"], found["starts_s"], "{:.1f} to {:.1f} s", most),
            ),
            ("Pitches", _bars(found["band_drops"], found["edges_hz"], "{:.0f} to {:.0f} Hz", most)),
        ],
    }


def _strongest(drops: list[float]) -> float:
    return max((abs(drop) for drop in drops), default=0) or 1


def _cell(drop: float, most: float, x: float, y: float) -> dict:
    kind = "mh-more" if drop > 0 else "mh-less"
    return {"x": x, "y": y, "kind": kind, "opacity": f"{abs(drop) / most:.2f}", "odds": _odds(drop)}


def _bars(drops: list[float], edges: list[float], words: str, most: float) -> list[dict]:
    """Each with its length in per cent of the longest."""
    spans = zip(edges[:-1], edges[1:], drops, strict=True)
    return [
        {
            "name": words.format(low, high),
            "kind": "mh-more" if drop > 0 else "mh-less",
            "length": f"{100 * abs(drop) / most:.0f}",
            "odds": _odds(drop),
        }
        for low, high, drop in spans
    ]


def _odds(drop: float) -> str:
    """A fall of the log-odds, in nats, as what the part multiplied the odds by."""
    return f"× {math.exp(drop):.2f}"
