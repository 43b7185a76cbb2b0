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
from safetensors.torch import load_file, save_file
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
ROUNDS_FILE = "rounds.json"
FITTED = "fitted.safetensors"  # what a finished cell leaves, for benches that ask it again


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
    inputs = torch.from_numpy(np.concatenate([hog(learn.images), hog(learn.images[:, :, ::-1])]))
    labels, asked = torch.from_numpy(np.tile(learn.labels, 2)), hog(choose.images)
    tried = []
    for cost in COSTS:
        coef, intercept = linear_svm(inputs, labels, cost)
        said = (asked @ coef.numpy().T + intercept.numpy()).argmax(1)
        tried.append((float((said == choose.labels).mean()), cost, {"coef": coef, "intercept": intercept}))
    _, chosen, kept = max(tried, key=lambda trial: trial[0])
    folder.mkdir(parents=True, exist_ok=True)
    save_file(kept, folder / FITTED)
    return _read_hog_svm(kept), {"cost": chosen}


def linear_svm(inputs: Tensor, labels: Tensor, cost: float) -> tuple[Tensor, Tensor]:
    """One-against-rest SVMs with squared hinge loss and balanced classes: (n, D), (n,) -> (C, D), (C,).

    The objective of liblinear (Fan et al., JMLR 2008) as scikit-learn's `LinearSVC` states it, the constant column
    included. It is convex, so the answer is the same; L-BFGS on all classes at once takes a tenth of the time.
    """
    n, classes = len(labels), int(labels.max()) + 1
    signs = 2.0 * functional.one_hot(labels, classes).to(inputs.dtype) - 1  # (n, C)
    weight = n / (classes * torch.bincount(labels).to(inputs.dtype))  # of a class, by its rows
    costs = torch.where(signs > 0, weight, torch.ones(()))  # against the rest: that weighs one, as it does there
    plane = torch.zeros(inputs.shape[1] + 1, classes, dtype=inputs.dtype, requires_grad=True)
    solver = torch.optim.LBFGS(
        [plane], max_iter=200, tolerance_grad=0, tolerance_change=1e-6, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        solver.zero_grad()
        slack = (1 - signs * (inputs @ plane[:-1] + plane[-1])).clamp(min=0)
        value = 0.5 * (plane**2).sum() + cost * (costs * slack**2).sum()
        value.backward()
        return value

    solver.step(objective)
    return plane[:-1].detach().T.contiguous(), plane[-1].detach().contiguous()


def _read_hog_svm(kept: dict[str, Tensor]) -> Answer:
    coef, intercept = kept["coef"].numpy(), kept["intercept"].numpy()  # (7, D), (7,)
    return lambda images: hog(images) @ coef.T + intercept


def enlarge(faces: Tensor, side: int, channels: int) -> Tensor:
    """(B, 1, h, w) in [0, 1] -> (B, channels, side, side)."""
    large = functional.interpolate(faces, (side, side), mode="bilinear", align_corners=False)
    return large.expand(-1, channels, -1, -1)


def _read_network(network: nn.Module, side: int, channels: int) -> Answer:
    @torch.inference_mode()
    def answer(images: np.ndarray) -> np.ndarray:
        network.eval()
        parts = _tensors(images).split(256)
        return np.concatenate([network(enlarge(part, side, channels)).numpy() for part in parts])

    return answer


def fit_network(make: type[nn.Module], side: int, channels: int):
    """A published network at its own input size, for `BUDGET_CPU_S` of training."""

    def fit(learn: Faces, choose: Faces, folder: Path, seed: int) -> tuple[Answer, dict]:
        torch.manual_seed(seed)
        network = make()

        def loss(asked: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                scores = asked(enlarge(batch[0], side, channels))
            return functional.cross_entropy(scores.float(), batch[1])

        few = choose.take(np.random.default_rng(0).permutation(len(choose))[:500])

        @torch.inference_mode()
        def score(asked: nn.Module) -> float:
            with torch.autocast("cpu", torch.bfloat16):
                parts = [enlarge(part, side, channels) for part in _tensors(few.images).split(250)]
                said = torch.cat([asked(part).argmax(1) for part in parts])
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
        save_file(network.state_dict(), folder / FITTED)
        settings = {"steps": steps, "epochs_of_data": round(seen, 2), "best_round": fitted.epoch}
        return _read_network(network, side, channels), settings

    return fit


def _tensors(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).float().div(255).unsqueeze(1)


def _endless(learn: Faces, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches that ours learns from: same augmentation, same mixture of labels and votes, same balance."""
    for epoch in cycle(range(1000)):
        yield from face_training.draw_batches(learn, face_training.Recipe(), np.random.default_rng([seed, epoch]))


def _rounds(network: nn.Module, loss: Callable, batch: tuple[Tensor, Tensor], folder: Path) -> int:
    """How many rounds of steps the budget buys on this machine; measured once and kept for a resumed run."""
    kept = folder / ROUNDS_FILE
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


NETWORKS: dict[str, tuple[type[nn.Module], int, int]] = {  # class, side and channels of what it looks at
    "cnn112": (cnn112.Cnn112, cnn112.SIDE, 1),
    "cnn100": (cnn100.Cnn100, cnn100.SIDE, 3),
}
METHODS = {"hog_svm": fit_hog_svm, **{name: fit_network(*how) for name, how in NETWORKS.items()}}


def read_fitted(method: str, folder: Path) -> Answer:
    """A method of `METHODS` as an earlier cell fitted it. Raises `FileNotFoundError`."""
    kept = load_file(folder / FITTED)
    if method not in NETWORKS:
        return _read_hog_svm(kept)
    make, side, channels = NETWORKS[method]
    network = make()
    network.load_state_dict(kept)
    return _read_network(network, side, channels)
