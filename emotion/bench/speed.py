"""E7: what one check-in costs, ours and as facenet-pytorch's and librosa's own READMEs show, and what speed loses.

CPU is that of this process (`time.process_time`), on one thread: wall clock says little on a busy machine.
Stock is the README's usage: `MTCNN()` on the opened photo, its crop through `InceptionResnetV1` (an untrained
one costs the same), `librosa.load` and `librosa.feature.mfcc`. It ends before any emotion is read.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emotion import photo
from emotion.bench import Place, pictures
from emotion.bench.cells import Cell
from emotion.evaluate import scores
from emotion.face import CROP_SIDE, FRAMING, FaceRecogniser

MEDIA = pictures.PORTRAIT.parent
PHONE_SIZE, PHONE_RATE_HZ, RECORDING_S = (4000, 3000), 48_000, 10
SEED = 7
COUNTS = {"portrait": 24, "CK+ pasted": 40, "FER2013 validation pasted": 40}
# name: pictures, size, guess of minutes. JPEG decoding halves the larger ones: ours sees other pixels than stock.
UAR_SETS = {
    "FER2013 validation pasted": (200, (640, 480), 6.0),
    "FER2013 validation pasted, 1920 × 1440": (100, (1920, 1440), 6.0),
}
SAME_FACE = 0.9  # intersection over union from which two boxes are the same


def cells(quick: bool) -> list[Cell]:
    costs = [
        Cell("E7 cost", method, data, minutes=minutes)
        for method, data, minutes in (
            ("ours", "12 MP", 0.2),
            ("ours", "1024 px", 0.2),
            ("stock", "1024 px", 0.3),
            ("stock", "12 MP", 2.0),
        )
    ]
    boxes = [Cell("E7 boxes", "ours against stock", name, SEED, minutes=4.0) for name in COUNTS]
    uar = [Cell("E7 UAR", "ours against stock", name, SEED, minutes) for name, (_, _, minutes) in UAR_SETS.items()]
    return costs if quick else costs + boxes + uar


def work(cell: Cell, place: Place) -> dict[str, Any]:
    """Costs, boxes or UAR, by the cell's bench."""
    if cell.bench == "E7 cost":
        return cost(cell.method, cell.data)
    return boxes(_pictures(cell, place)) if cell.bench == "E7 boxes" else uar(_pictures(cell, place))


def _pictures(cell: Cell, place: Place) -> Iterable[pictures.Picture]:
    if cell.data == "portrait":
        return pictures.portraits(COUNTS[cell.data], cell.seed)
    made = pictures.pasted_ckplus if cell.data.startswith("CK+") else pictures.pasted_fer2013
    if cell.bench == "E7 UAR":
        count, size, _ = UAR_SETS[cell.data]
        return made(place.data, count, cell.seed, (size,))
    return made(place.data, COUNTS[cell.data], cell.seed)


def cost(method: str, data: str) -> dict[str, Any]:
    """CPU seconds of one check-in: median over repeats after one to warm up."""
    jpeg, wav = phone_photo(1024 if data == "1024 px" else max(PHONE_SIZE)), phone_recording()
    face, voice, repeats = (*_ours(), 20) if method == "ours" else (*_stock(), 5)
    spent: dict[str, list[float]] = {"face": [], "voice": []}
    for number in range(repeats + 1):
        for name, read, given in (("face", face, jpeg), ("voice", voice, wav)):
            began = time.process_time()
            read(given)
            if number:
                spent[name].append(time.process_time() - began)
    both = [sum(pair) for pair in zip(*spent.values(), strict=True)]
    medians = {f"{name}_cpu_s": round(statistics.median(values), 4) for name, values in spent.items()}
    return {
        "n": repeats,
        "cpu_s": round(statistics.median(both), 4),
        **medians,
        "jpeg_bytes": len(jpeg),
        "photo": Image.open(io.BytesIO(jpeg)).size,
    }


def _ours() -> tuple[Callable[[bytes], Any], Callable[[bytes], Any]]:
    from emotion.voice import VoiceRecogniser

    return FaceRecogniser.load(engine="onnx").predict, VoiceRecogniser.load(engine="onnx").predict


def _stock() -> tuple[Callable[[bytes], Any], Callable[[bytes], Any]]:
    mtcnn = stock_detector()  # first: it makes facenet-pytorch importable where torchvision does not fit torch
    import librosa
    from facenet_pytorch import InceptionResnetV1

    resnet = InceptionResnetV1(pretrained=None).eval()

    def face(jpeg: bytes) -> Any:
        return resnet(mtcnn(Image.open(io.BytesIO(jpeg))).unsqueeze(0))

    def voice(wav: bytes) -> Any:
        samples, rate_hz = librosa.load(io.BytesIO(wav))
        return librosa.feature.mfcc(y=samples, sr=rate_hz)

    return face, voice


@lru_cache(maxsize=1)
def stock_detector() -> Any:
    import torch

    from emotion import torchvision_ops

    torch.set_num_threads(1)
    torchvision_ops.ensure()
    from facenet_pytorch import MTCNN

    return MTCNN()


def phone_photo(longer_side: int) -> bytes:
    """The shipped portrait in a 4:3 photo, as large as its height allows, as a JPEG of quality 92."""
    width, height = longer_side, longer_side * PHONE_SIZE[1] // PHONE_SIZE[0]
    with Image.open(pictures.PORTRAIT) as portrait:
        large = portrait.convert("RGB").resize((height, height), Image.Resampling.BICUBIC)
    picture = Image.new("RGB", (width, height), (96, 104, 112))
    picture.paste(large, ((width - height) // 2, 0))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=92)
    return out.getvalue()


def phone_recording() -> bytes:
    """The shipped sentence, begun anew until ten seconds are full, 48 kHz, 16 bit."""
    import soundfile
    import soxr

    samples, rate_hz = soundfile.read(MEDIA / "librivox.wav")
    out = io.BytesIO()
    filled = np.resize(samples, RECORDING_S * rate_hz)
    soundfile.write(out, soxr.resample(filled, rate_hz, PHONE_RATE_HZ), PHONE_RATE_HZ, format="WAV", subtype="PCM_16")
    return out.getvalue()


def boxes(made: Iterable[pictures.Picture]) -> dict[str, Any]:
    """How far our box lies from the stock detector's on the whole picture, where either finds a face."""
    overlaps, ours_alone, stock_alone, neither = [], 0, 0, 0
    for picture in made:
        ours, stock = our_box(picture.jpeg), stock_box(picture.jpeg)
        if ours is not None and stock is not None:
            overlaps.append(overlap(ours, stock))
        ours_alone += stock is None and ours is not None
        stock_alone += ours is None and stock is not None
        neither += ours is None and stock is None
    same = sum(value >= SAME_FACE for value in overlaps)
    return {
        "n": len(overlaps) + ours_alone + stock_alone + neither,
        "found_by_stock": len(overlaps) + stock_alone,
        "found_by_both": len(overlaps),
        "found_by_ours_alone": ours_alone,
        "same_box": same,
        "same_box_share_of_found_by_stock": round(same / max(len(overlaps) + stock_alone, 1), 4),
        "overlap_median": round(float(np.median(overlaps)), 4) if overlaps else None,
        "overlap_least": round(min(overlaps), 4) if overlaps else None,
    }


def uar(made: Iterable[pictures.Picture]) -> dict[str, Any]:
    """UAR of our whole path against stock detection on the whole picture and torch for the network, same faces.

    Told of the faces that both find, and of all pictures with a face that was not found as a wrong answer.
    """
    served, trained = FaceRecogniser.load(engine="onnx"), FaceRecogniser.load(engine="torch")
    rows = []
    for picture in made:
        whole, fast, full = Image.open(io.BytesIO(picture.jpeg)), our_box(picture.jpeg), stock_box(picture.jpeg)
        ours = -1 if fast is None else _read(served, photo.decode(picture.jpeg), fast, picture.jpeg)
        stock = -1 if full is None else _read(trained, whole.convert("RGB"), full, picture.jpeg)
        rows.append((picture.label, ours, stock))
    table = np.array(rows)
    both = table[(table[:, 1:] >= 0).all(1)]
    told: dict[str, Any] = {"n": len(both), "pictures": len(table)}
    told |= {f"missed_by_{name}": int((table[:, i] < 0).sum()) for i, name in ((1, "ours"), (2, "stock"))}
    for suffix, part in (("", both), ("_of_all", table)):
        found = {name: scores(part[:, 0], part[:, i])["uar"] for i, name in ((1, "ours"), (2, "stock"))}
        told |= {f"uar_{name}{suffix}": round(value, 4) for name, value in found.items()}
        told[f"uar_loss_points{suffix}"] = round(100 * (found["stock"] - found["ours"]), 2)
    return told | {"same_answer": round(float(np.mean(both[:, 1] == both[:, 2])), 4)}


def _read(recogniser: FaceRecogniser, picture: Image.Image, box: np.ndarray, jpeg: bytes) -> int:
    whole = Image.open(io.BytesIO(jpeg)).width
    crop = photo.crop_square(picture, box * picture.width / whole, FRAMING, CROP_SIDE)
    return int(recogniser.predict_crops([crop])[0].probabilities.argmax())


@lru_cache(maxsize=1)
def _recogniser() -> FaceRecogniser:
    return FaceRecogniser.load(engine="onnx")


def our_box(jpeg: bytes) -> np.ndarray | None:
    """The largest face as a check-in finds it, in pixels of the whole photo."""
    upright = photo.decode(jpeg)
    faces = _recogniser().detector.find(upright)
    return faces[0].box * Image.open(io.BytesIO(jpeg)).width / upright.width if faces else None


def stock_box(jpeg: bytes) -> np.ndarray | None:
    """The largest face of facenet-pytorch's detector with its defaults on the whole photo."""
    found, probabilities = stock_detector().detect(Image.open(io.BytesIO(jpeg)))
    return None if found is None else np.asarray(found[0], float)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.maximum(high - low, 0).prod()
    return float(shared / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - shared))


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    """Markdown: costs, ratios, boxes, UAR."""
    costs = {(line["method"], line["data"]): line for line in lines if line["bench"] == "E7 cost"}
    told = [
        f"{len(lines)} of {total} cells",
        "",
        "| photo | ours CPU (s) | face / voice | stock CPU (s) | face / voice | ratio |",
    ]
    told.append("|---|---|---|---|---|---|")
    for ours_on, stock_on in (("12 MP", "12 MP"), ("12 MP", "1024 px"), ("1024 px", "1024 px")):
        ours, stock = costs.get(("ours", ours_on)), costs.get(("stock", stock_on))
        if ours and stock:
            parts = [f"{line['face_cpu_s']:.3f} / {line['voice_cpu_s']:.3f}" for line in (ours, stock)]
            ratio = stock["cpu_s"] / ours["cpu_s"]
            name = f"ours {ours_on}, stock {stock_on}"
            told.append(
                f"| {name} | {ours['cpu_s']:.3f} | {parts[0]} | {stock['cpu_s']:.3f} | {parts[1]} | {ratio:.1f}× |"
            )
    told += [
        "",
        "| pictures | n | stock finds | same box (IoU ≥ .9) | median IoU | ours alone finds |",
        "|---|---|---|---|---|---|",
    ]
    for line in (line for line in lines if line["bench"] == "E7 boxes"):
        share = f"{line['same_box']} ({100 * line['same_box_share_of_found_by_stock']:.1f} %)"
        told.append(
            f"| {line['data']} | {line['n']} | {line['found_by_stock']} | {share} | {line['overlap_median']} |"
            f" {line['found_by_ours_alone']} |"
        )
    return "\n".join([*told, *_uar_table([line for line in lines if line["bench"] == "E7 UAR"])])


def _uar_table(lines: list[dict[str, Any]]) -> list[str]:
    told = [
        "",
        "| pictures | faces both find | UAR ours / stock | loss | same answer | found by ours / stock | UAR of all |",
    ]
    told.append("|---|---|---|---|---|---|---|")
    for line in lines:
        n = line["pictures"]
        found = f"{n - line['missed_by_ours']} / {n - line['missed_by_stock']} of {n}"
        both, every = (f"{100 * line['uar_ours' + s]:.1f} / {100 * line['uar_stock' + s]:.1f}" for s in ("", "_of_all"))
        loss, same = line["uar_loss_points"], 100 * line["same_answer"]
        told.append(f"| {line['data']} | {line['n']} | {both} | {loss} points | {same:.1f} % | {found} | {every} |")
    return told
