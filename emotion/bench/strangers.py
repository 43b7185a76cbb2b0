"""E11: how many strangers are refused where one familiar face or voice in twenty is.

Every method has its threshold from half of the faces, or from all but one of the people, that the network did not learn
from, and is told on the other. The score of ours is fitted for each family of strangers without that family, so no
method has seen what it is asked about; "as served" is the shipped fit, which has seen other things of each family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp

from emotion import checkpoint, strangers
from emotion.bench import Place, real_things
from emotion.bench.cells import Cell

METHODS = ("max probability", "energy", "ours, family never seen", "ours, as served")
REAL = "real pictures"
KNOWN = 500  # held-out faces that set the peers' thresholds on real pictures
TEST_SEED = 2
PICTURES, SOUNDS = 150, 20


def cells(quick: bool) -> list[Cell]:
    made = [Cell("E11", method, modality, minutes=2.0) for modality in ("voice", "face") for method in METHODS]
    return [*made, Cell("E11", "all", REAL, minutes=0.5)]


def missing(cell: Cell) -> str | None:
    return real_things.missing() if cell.data == REAL else None


def real_pictures(data: Path) -> dict[str, Any]:
    """Photographs that nobody made for this bench: ours as shipped, peers that refuse one held-out face in twenty."""
    from emotion.data import fer2013
    from emotion.face import FaceRecogniser, look

    recogniser = FaceRecogniser.load()
    guard = recogniser.guard
    assert guard is not None
    scores: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        METHODS[0]: lambda logits, rows: logsumexp(logits, axis=1) - logits.max(1),
        METHODS[1]: lambda logits, rows: -logsumexp(logits, axis=1),
        METHODS[3]: lambda logits, rows: guard.score(rows) - guard.threshold,
    }

    def read(faces: np.ndarray) -> dict[str, np.ndarray]:
        logits, inner = look(recogniser.network, faces)
        rows = strangers.of_faces(faces, inner)
        return {name: score(logits, rows) for name, score in scores.items()}

    _, held_out = fer2013.split(fer2013.load(data, "train"))
    usual = read(held_out.images[np.random.default_rng(TEST_SEED).permutation(len(held_out))[:KNOWN]])
    above = {name: float(np.quantile(values, 0.95)) for name, values in usual.items()} | {METHODS[3]: 0.0}
    sets = real_things.strangers(TEST_SEED)
    found = {family: read(faces) for family, faces in {**sets, "LFW's faces": real_things.people()}.items()}
    shares = {
        family: {name: float((values > above[name]).mean()) for name, values in told.items()}
        for family, told in found.items()
    }
    false = shares.pop("LFW's faces")
    n = {family: len(faces) for family, faces in sets.items()}
    return {"refused": shares, "false_refusals_lfw": false, "n": n, "model": recogniser.version[-8:]}


def work(cell: Cell, place: Place) -> dict[str, Any]:
    if cell.data == REAL:
        return real_pictures(place.data)
    from emotion.strangers_fit import FALSE_REFUSALS

    rows = _gathered(cell.data, place.data) | {"accepted": 1 - FALSE_REFUSALS[cell.data]}
    score = _scorer(cell.method, cell.data, rows)
    splits = rows["splits"]
    refused = {}
    for family, things in rows["strange"].items():
        of = score(family)
        refused[family] = float(np.mean([(of(things) > _threshold(of, rows, known)).mean() for known, _ in splits]))
    usual = score("")
    false = [
        float((usual(_take(rows["familiar"], judged)) > _threshold(usual, rows, known)).mean())
        for known, judged in splits
    ]
    sizes = [int(np.size(judged)) for _, judged in splits]
    other = {
        name: float(np.mean([(usual(v) > _threshold(usual, rows, k)).mean() for k, _ in splits]))
        for name, v in rows["other"].items()
    }
    return {
        "refused": refused,
        "mean_refused": float(np.mean(list(refused.values()))),
        "false_refusals": float(np.average(false, weights=sizes)),
        "false_refusals_elsewhere": other,
        "n": {"familiar": len(rows["familiar"]["rows"])} | {f: len(v["rows"]) for f, v in rows["strange"].items()},
        "refused_before": rows["before"],
        "model": checkpoint.read_card(checkpoint.default_path(cell.data))["sha256"][:8],
    }


def _threshold(score: Callable[[dict], np.ndarray], rows: dict[str, Any], known: np.ndarray) -> float:
    return float(np.quantile(score(_take(rows["familiar"], known)), rows["accepted"]))


def _take(both: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, np.ndarray]:
    return {name: array[chosen] for name, array in both.items()}


def _scorer(method: str, modality: str, rows: dict[str, Any]) -> Callable[[str], Callable[[dict], np.ndarray]]:
    """family -> score of {"rows": (n, D), "logits": (n, 7)}, (n,), higher for what is stranger."""
    if method == "max probability":
        return lambda family: lambda x: logsumexp(x["logits"], axis=1) - x["logits"].max(1)
    if method == "energy":  # Liu et al., NeurIPS 2020
        return lambda family: lambda x: -logsumexp(x["logits"], axis=1)
    if method == "ours, as served":
        path = checkpoint.default_path(modality)
        guard = strangers.load(path, checkpoint.read_card(path))
        assert guard is not None, f"python -m emotion calibrate-strangers {modality}"
        return lambda family: lambda x: guard.score(x["rows"])

    @cache
    def without(family: str) -> Callable[[dict], np.ndarray]:
        from emotion.strangers_fit import learn

        known = [things for name, things in rows["learn_from"].items() if name != family]
        fitted = learn(modality, rows["people"], known, rows["familiar"]["rows"])
        return lambda x: fitted.score(x["rows"])

    return without


@cache
def _gathered(modality: str, data: Path) -> dict[str, Any]:
    return _faces(data) if modality == "face" else _voices(data)


def _faces(data: Path) -> dict[str, Any]:
    from emotion.data import ckplus, fer2013
    from emotion.face import FaceRecogniser, look
    from emotion.strangers_fit import faces_of, strange_pictures

    path = checkpoint.default_path("face")
    people, _, learn_from = faces_of(path, data)
    network = FaceRecogniser.load(path).network

    def read(faces: np.ndarray) -> dict[str, np.ndarray]:
        logits, inner = look(network, faces)
        return {"rows": strangers.of_faces(faces, inner), "logits": logits}

    _, held_out = fer2013.split(fer2013.load(data, "train"))
    order = np.random.default_rng(TEST_SEED).permutation(len(held_out))
    material, familiar = held_out.images[order[:PICTURES]], held_out.images[order[PICTURES : PICTURES + 1500]]
    half = np.arange(len(familiar)) % 2 == 0
    return {
        "people": people,
        "learn_from": learn_from,
        "familiar": read(familiar),
        "splits": [(np.flatnonzero(a), np.flatnonzero(~a)) for a in (half, ~half)],
        "other": {"CK+": read(ckplus.load(data / "ckplus48")[0][::2])},
        "strange": {f: read(x) for f, x in strange_pictures(material, PICTURES, TEST_SEED).items()},
        "before": {},
    }


def _voices(data: Path) -> dict[str, Any]:
    from emotion.bench.strange_things import SOUNDS as FAMILIES
    from emotion.bench.strange_things import sound
    from emotion.features import SAMPLE_RATE_HZ
    from emotion.recording import decode
    from emotion.strangers_fit import hear, some_clips, voices_of
    from emotion.voice import VoiceRecogniser
    from emotion.voice_corpus import training_clips

    path = checkpoint.default_path("voice")
    people, _, learn_from = voices_of(path, data)
    recogniser = VoiceRecogniser.load(path)
    unseen = recogniser.card["training"]["held_out_to_choose_the_epoch"]

    def read(signals: Sequence[tuple[np.ndarray, int]]) -> dict[str, np.ndarray] | None:
        found = [hear(recogniser, samples, rate_hz) for samples, rate_hz in signals]
        usable = [(rows[0], logits[0]) for rows, logits in found if rows]
        if not usable:
            return None
        rows, logits = zip(*usable, strict=True)
        return {"rows": np.concatenate(rows), "logits": np.concatenate(logits)}

    mine = some_clips([clip for clip in training_clips(data) if clip.person in unseen], 60, TEST_SEED)
    owner = np.array([clip.person for clip in mine])
    sounds = {f: read([(sound(f, i, TEST_SEED), SAMPLE_RATE_HZ) for i in range(SOUNDS)]) for f in FAMILIES}
    return {
        "people": people,
        "learn_from": learn_from,
        "familiar": read([decode(clip.path) for clip in mine]),
        "splits": [(np.flatnonzero(owner != p), np.flatnonzero(owner == p)) for p in sorted(set(owner))],
        "other": {},  # every corpus of voices at hand is learned from
        "strange": {f: heard for f, heard in sounds.items() if heard},
        "before": {f: 1 - (len(heard["rows"]) if heard else 0) / SOUNDS for f, heard in sounds.items()},
    }


def report(lines: Sequence[dict[str, Any]], total: int, out: Path) -> str:
    """A table for each modality in Markdown, and `strangers.svg` in `out`."""
    told = [f"{len(lines)} of {total} cells"]
    for modality in ("face", "voice"):
        mine = [line for line in lines if line["data"] == modality]
        if mine:
            told.append(_table(modality, mine))
    told += [_real_table(line) for line in lines if line["data"] == REAL]
    if lines:
        _draw(lines, out / "strangers.svg")
    return "\n\n".join(told)


def _table(modality: str, lines: Sequence[dict[str, Any]]) -> str:
    rows = [
        f"| {modality}: refused, % | {' | '.join(line['method'] for line in lines)} |",
        "|---" * (len(lines) + 1) + "|",
    ]
    for family in lines[0]["refused"]:
        rows.append(f"| {family} | " + " | ".join(f"{100 * line['refused'][family]:.0f}" for line in lines) + " |")
    rows.append(
        "| **mean of families** | " + " | ".join(f"**{100 * line['mean_refused']:.1f}**" for line in lines) + " |"
    )
    rows.append("| false refusals | " + " | ".join(f"{100 * line['false_refusals']:.1f}" for line in lines) + " |")
    for name in lines[0]["false_refusals_elsewhere"]:
        shown = " | ".join(f"{100 * line['false_refusals_elsewhere'][name]:.1f}" for line in lines)
        rows.append(f"| false refusals, {name} | {shown} |")
    return "\n".join(rows)


def _real_table(line: dict[str, Any]) -> str:
    methods = list(line["false_refusals_lfw"])
    rows = [f"| real pictures: refused, % | {' | '.join(methods)} |", "|---" * (len(methods) + 1) + "|"]
    for family, shares in line["refused"].items():
        rows.append(f"| {family} ({line['n'][family]}) | {' | '.join(f'{100 * shares[m]:.0f}' for m in methods)} |")
    mean = {m: np.mean([shares[m] for shares in line["refused"].values()]) for m in methods}
    rows.append(f"| **mean of families** | {' | '.join(f'**{100 * mean[m]:.1f}**' for m in methods)} |")
    false = line["false_refusals_lfw"]
    return "\n".join(
        [*rows, f"| false refusals, LFW's faces | {' | '.join(f'{100 * false[m]:.0f}' for m in methods)} |"]
    )


def _draw(lines: Sequence[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    marks = dict(zip(METHODS, "xv^o", strict=True))
    for axes, modality in zip(figure.subplots(1, 2), ("face", "voice"), strict=True):
        for line in (line for line in lines if line["data"] == modality):
            values = [100 * v for v in line["refused"].values()]
            axes.plot(values, list(line["refused"]), marks[line["method"]], label=line["method"], alpha=0.8)
        axes.axvline(80, color="#888888", linestyle=":")
        axes.set(xlabel=f"{modality}: refused, % (dotted: goal)", xlim=(-3, 103))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.invert_yaxis()
    figure.legend(*figure.axes[0].get_legend_handles_labels(), fontsize=7, ncols=4, loc="outside lower center")
    figure.savefig(path)
