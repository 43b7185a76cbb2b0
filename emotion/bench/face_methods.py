"""The methods of the face bench: HOG with a linear SVM, the published CNNs at one CPU budget, and ours.

Shapes:  n faces   D numbers of a HOG   every answer is scores (n, 7) in the order of `EMOTIONS`
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from emotion import face_training, training
from emotion.data.fer2013 import Faces
from emotion.networks import cnn100, cnn112

Answer = Callable[[np.ndarray], np.ndarray]  # images (n, 48, 48) uint8 -> scores (n, 7)

BUDGET_CPU_S = 600.0  # of training, the same for each published network
ROUND_STEPS = 25  # after which the held-out tenth is looked at and the state is saved
BATCH = 128
COSTS = (0.003, 0.03)


def hog(images: np.ndarray, cell: int = 8, bins: int = 9) -> np.ndarray:
    """Histograms of oriented gradients (Dalal & Triggs 2005): (n, 48, 48) uint8 -> (n, 900) float32.

    Unsigned orientations, cells of 8 pixels, blocks of 2×2 cells in steps of one, L2-Hys.
    """
    x = np.sqrt(images.astype(np.float32))
    down, across = np.gradient(x, axis=(1, 2))
    size, angle = np.hypot(down, across), np.arctan2(down, across) % np.pi * bins / np.pi - 0.5
    low = np.floor(angle).astype(int)
    upper = angle - low
    n, cells = len(x), x.shape[1] // cell
    table = np.zeros((n, cells, cells, bins), np.float32)
    for index, share in ((low % bins, 1 - upper), ((low + 1) % bins, upper)):
        for b in range(bins):
            votes = np.where(index == b, size * share, 0).reshape(n, cells, cell, cells, cell)
            table[..., b] += votes.sum((2, 4))
    blocks = np.concatenate([table[:, i : cells - 1 + i, j : cells - 1 + j] for i in (0, 1) for j in (0, 1)], axis=3)
    for _ in range(2):  # normalise, clip, normalise again
        blocks = np.minimum(blocks / np.sqrt((blocks**2).sum(3, keepdims=True) + 1e-3), 0.2)
    return (blocks / np.sqrt((blocks**2).sum(3, keepdims=True) + 1e-3)).reshape(n, -1)


def fit_hog_svm(learn: Faces, choose: Faces, folder: Path, seed: int) -> tuple[Answer, dict]:
    """Linear SVM on HOG of the faces and their mirror images; its cost is chosen on the held-out tenth."""
    from sklearn.svm import LinearSVC

    inputs = np.concatenate([hog(learn.images), hog(learn.images[:, :, ::-1])])
    labels = np.tile(learn.labels, 2)
    best, chosen, model = -1.0, 0.0, None
    for cost in COSTS:
        tried = LinearSVC(C=cost, class_weight="balanced", dual=False, max_iter=200, random_state=seed)
        found = float((tried.fit(inputs, labels).predict(hog(choose.images)) == choose.labels).mean())
        if found > best:
            best, chosen, model = found, cost, tried
    assert model is not None
    return lambda images: model.decision_function(hog(images)), {"cost": chosen}


def fit_network(make: type[nn.Module], side: int, channels: int):
    """A published network at its own input size, for `BUDGET_CPU_S` of training."""

    def fit(learn: Faces, choose: Faces, folder: Path, seed: int) -> tuple[Answer, dict]:
        torch.manual_seed(seed)
        network = make()

        def enlarge(faces: Tensor) -> Tensor:  # (B, 1, h, w) in [0, 1] -> (B, channels, side, side)
            large = functional.interpolate(faces, (side, side), mode="bilinear", align_corners=False)
            return large.expand(-1, channels, -1, -1)

        def loss(asked: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                scores = asked(enlarge(batch[0]))
            return functional.cross_entropy(scores.float(), batch[1])

        @torch.inference_mode()
        def answer(images: np.ndarray) -> np.ndarray:
            network.eval()
            return np.concatenate([network(enlarge(part)).numpy() for part in _tensors(images).split(256)])

        few = choose.take(np.random.default_rng(0).permutation(len(choose))[:500])

        @torch.inference_mode()
        def score(asked: nn.Module) -> float:
            with torch.autocast("cpu", torch.bfloat16):
                said = torch.cat([asked(enlarge(part)).argmax(1) for part in _tensors(few.images).split(250)])
            return float((said.numpy() == few.labels).mean())

        source = _endless(learn, seed)
        rounds = _rounds(network, loss, next(source), folder)
        fitted = training.fit(
            network,
            torch.optim.Adam(network.parameters(), lr=1e-3),
            batches=lambda rng: islice(_endless(learn, int(rng.integers(2**31))), ROUND_STEPS),
            steps_per_epoch=ROUND_STEPS,
            loss=loss,
            score=score,
            schedule=training.Schedule(epochs=rounds, clip_norm=5.0),
            folder=folder,
            seed=seed,
            resume=True,
            title=make.__name__,
        )
        steps = rounds * ROUND_STEPS
        seen = steps * BATCH / len(learn)
        return answer, {"steps": steps, "epochs_of_data": round(seen, 2), "best_round": fitted.epoch}

    return fit


def _tensors(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).float().div(255).unsqueeze(1)


def _endless(learn: Faces, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches that ours learns from: same augmentation, same mixture of labels and votes, same balance."""
    for epoch in cycle(range(1000)):
        yield from face_training.draw_batches(learn, face_training.Recipe(), np.random.default_rng([seed, epoch]))


def _rounds(network: nn.Module, loss: Callable, batch: tuple[Tensor, Tensor], folder: Path) -> int:
    """How many rounds of steps the budget buys on this machine; measured once and kept for a resumed run."""
    kept = folder / "rounds.json"
    if kept.exists():
        return int(json.loads(kept.read_text())["rounds"])
    costs = []
    for _ in range(3):
        began = time.process_time()
        loss(network, batch).backward()
        costs.append(time.process_time() - began)
    network.zero_grad()
    rounds = max(1, math.floor(BUDGET_CPU_S / (min(costs) * ROUND_STEPS)))
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({"rounds": rounds, "seconds_per_step": min(costs)}))
    return rounds


METHODS = {
    "hog_svm": fit_hog_svm,
    "cnn112": fit_network(cnn112.Cnn112, cnn112.SIDE, 1),
    "cnn100": fit_network(cnn100.Cnn100, cnn100.SIDE, 3),
}
