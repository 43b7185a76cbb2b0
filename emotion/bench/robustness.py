"""E8: what noise, darkness, blur, compression and small faces cost ours and its peers; voices: `robustness_voice`.

Every method reads the same disguised faces of 48×48, from people and pictures that none of them learned from: the
held-out tenth of FER2013's training part, by which they chose their epoch or cost, and CK+, which they never saw.
FER2013's public test stays closed. No condition is part of anybody's augmentation (`face_training.augment`: mirror,
rotation, size, aspect, shift, gamma of .67 to 1.5, a slope of light, an erased rectangle); darkness goes beyond its
gamma and adds the noise of a sensor.

Shapes:  n faces, (n, 48, 48) uint8
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from emotion.bench import Place, face, fer_package, robustness_voice
from emotion.bench.cells import Cell
from emotion.checkpoint import default_path, read_card
from emotion.data import ckplus, fer2013
from emotion.evaluate import scores, uar_interval

FER, CK = "FER2013 held-out tenth", "CK+"
PEERS = ("hog_svm", "cnn112", face.PACKAGE)
COUNT = 1200  # of the held-out tenth, drawn once
CLEAN = "as taken"
Disguise = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def noisy(faces: np.ndarray, rng: np.random.Generator, snr_db: float) -> np.ndarray:
    """White noise as far below each face's own contrast as the ratio says."""
    wide = faces.astype(np.float32)
    spread = wide.std((1, 2), keepdims=True) * 10 ** (-snr_db / 20)
    return _whole(wide + spread * rng.standard_normal(faces.shape, dtype=np.float32))


def dark(faces: np.ndarray, rng: np.random.Generator, light: float = 0.15, sensor: float = 2.0) -> np.ndarray:
    """A seventh of the light, and the noise of a sensor: 2 of 255 grey values."""
    return _whole(light * faces.astype(np.float32) + sensor * rng.standard_normal(faces.shape, dtype=np.float32))


def blurred(faces: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Out of focus: a Gaussian of `sigma` pixels of the 48."""
    return _whole(ndimage.gaussian_filter(faces.astype(np.float32), (0, sigma, sigma)))


def compressed(faces: np.ndarray, rng: np.random.Generator, quality: int = 20) -> np.ndarray:
    """Each face through JPEG."""
    return np.stack([_through_jpeg(face, quality) for face in faces])


def _through_jpeg(face: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(face).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def small(faces: np.ndarray, rng: np.random.Generator, side: int) -> np.ndarray:
    """A face far away: averaged to side × side pixels, enlarged again."""

    def again(face: np.ndarray) -> np.ndarray:
        few = Image.fromarray(face).resize((side, side), Image.Resampling.BOX)
        return np.asarray(few.resize(face.shape[::-1], Image.Resampling.BICUBIC))

    return np.stack([again(face) for face in faces])


def _whole(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


CONDITIONS: dict[str, Disguise] = {
    CLEAN: lambda faces, rng: faces,
    "noise at 20 dB": partial(noisy, snr_db=20),
    "noise at 10 dB": partial(noisy, snr_db=10),
    "noise at 0 dB": partial(noisy, snr_db=0),
    "dark": dark,
    "blur of 1 pixel": partial(blurred, sigma=1),
    "blur of 2 pixels": partial(blurred, sigma=2),
    "JPEG of quality 20": compressed,
    "24 pixels": partial(small, side=24),
    "16 pixels": partial(small, side=16),
}


def disguised(condition: str, faces: np.ndarray, seed: int) -> np.ndarray:
    """The faces under a condition; equal for every method."""
    return CONDITIONS[condition](faces, np.random.default_rng([seed, list(CONDITIONS).index(condition)]))


def cells(quick: bool = False) -> list[Cell]:
    """CK+ for all methods, the tenth for those that did not learn it, and voices."""
    minutes = {face.OURS: 1.5, "hog_svm": 0.3, "cnn112": 3.0, face.PACKAGE: 0.5}
    found = [Cell("E8", method, CK, 0, cost) for method, cost in minutes.items()]
    if quick:
        return found[:1]
    found += [Cell("E8", method, FER, 0, 2 * cost) for method, cost in minutes.items() if method != face.PACKAGE]
    return found + robustness_voice.cells()


def missing(cell: Cell) -> str | None:
    return fer_package.missing() if cell.method == face.PACKAGE else None


def work(cell: Cell, place: Place) -> dict[str, Any]:
    """Accuracy and UAR under every condition."""
    if cell.method in robustness_voice.METHODS:
        return robustness_voice.work(cell, place)
    images, truth, groups = pictures(cell.data, place.data)
    answer = reader(cell.method, place)
    model = {"model": read_card(default_path("face"))["sha256"][:8]} if cell.method == face.OURS else {}
    told = {name: judged(answer(disguised(name, images, cell.seed)), truth, groups) for name in CONDITIONS}
    return {"n": len(truth), **model, "conditions": told}


def pictures(data: str, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces, labels and who must stay together: people of CK+, near-identical pictures of FER2013."""
    if data == CK:
        images, labels, people = ckplus.load(folder / "ckplus48")
        truth = ckplus.served(labels)
        kept = truth >= 0
        return images[kept], truth[kept], people[kept]
    _, tenth = fer2013.split(fer2013.load(folder, "train"))
    some = tenth.take(np.sort(np.random.default_rng(0).permutation(len(tenth))[:COUNT]))
    return some.images, some.labels, fer2013.duplicate_groups(some.images)


def reader(method: str, place: Place) -> Callable[[np.ndarray], np.ndarray]:
    """Scores of a method. A peer that E4 has not fitted yet is fitted as it does; the public test stays closed."""
    if method == face.OURS:
        return face.released()
    if method == face.PACKAGE:
        return fer_package.answer()
    from emotion.bench import face_methods

    folder = face.peer_folder(place.cache, method, 0)
    try:
        return face_methods.read_fitted(method, folder)
    except FileNotFoundError:
        learn, choose = fer2013.split(fer2013.load(place.data, "train"))
        return face_methods.METHODS[method](learn, choose, folder, 0)[0]


def judged(found: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """found: (n, 7) scores. UAR among the classes that occur, with its interval over groups."""
    said = found.argmax(1)
    told = scores(truth, said)
    interval = uar_interval(truth, said, groups, np.random.default_rng(0))
    return {"accuracy": told["accuracy"], "uar": told["uar"], "uar_interval_95": interval}


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    """A table for each set of faces, and `robustness.svg` in `out`."""
    told = [f"{len(lines)} of {total} cells"]
    sets = [(data, [line for line in lines if line["data"] == data]) for data in (FER, CK)]
    sets = [(data, found) for data, found in sets if found]
    told += [f"### {data}\n\n{_table(found)}" for data, found in sets]
    if sets:
        _draw(sets, out / "robustness.svg")
    told += robustness_voice.report([line for line in lines if line["method"] in robustness_voice.METHODS])
    return "\n\n".join(told)


def _table(lines: list[dict[str, Any]]) -> str:
    rows = [f"| {lines[0]['n']} faces | {' | '.join('`' + line['method'] + '`' for line in lines)} |"]
    rows.append("|---" * (len(lines) + 1) + "|")
    for name in CONDITIONS:
        shown = [f"{100 * line['conditions'][name]['uar']:.1f} ({100 * retained(line, name):.0f})" for line in lines]
        rows.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join([*rows, "", "UAR in %, in brackets the share of the UAR of faces as taken."])


def retained(line: dict[str, Any], name: str) -> float:
    """What is left of the UAR under a condition."""
    return float(line["conditions"][name]["uar"] / line["conditions"][CLEAN]["uar"])


def _draw(sets: list[tuple[str, list[dict[str, Any]]]], path: Path) -> None:
    from matplotlib.figure import Figure

    methods = sorted({line["method"] for _, lines in sets for line in lines})
    figure = Figure(figsize=(4.5 * len(sets), 3.8), layout="constrained")
    for axes, (data, lines) in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        for line in sorted(lines, key=lambda line: methods.index(line["method"])):
            values = [100 * line["conditions"][name]["uar"] for name in CONDITIONS]
            place = methods.index(line["method"])
            axes.plot(values, list(CONDITIONS), "osv^"[place % 4], color=f"C{place}", label=line["method"], alpha=0.8)
        axes.axvline(100 / 7, color="#888888", linestyle=":")
        axes.set(xlabel=f"UAR, % ({data}; dotted: chance of seven)", xlim=(0, 100))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.invert_yaxis()
        axes.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    figure.savefig(path)
