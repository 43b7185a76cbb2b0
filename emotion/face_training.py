"""Train the served face network on FER2013: what a batch is, what is optimised, what is kept."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from emotion.data import fer2013
from emotion.networks.compact_face import SIDE, CompactFace
from emotion.training import Fitted, Schedule, fit

BATCH = 128


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of a face run, kept in its card."""

    epochs: int = 60
    minutes: float | None = None
    learning_rate: float = 0.05
    weight_decay: float = 5e-4
    average_decay: float = 0.998
    original_label: float = 0.7  # the rest goes to the FER+ raters' votes
    balance: float = 0.25  # 0 draws classes as they come, 1 equally often
    window: int = 44  # pixels of the random window that is learned from


def train(
    data: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    resume: bool = False,
) -> tuple[CompactFace, Fitted]:
    """Fit `CompactFace` to the training part and keep the epoch that reads the held-out tenth best."""
    recipe = recipe or Recipe()
    learn, choose = fer2013.split(fer2013.load(data, "train"))
    torch.manual_seed(seed)
    network = CompactFace()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast in bfloat16
    fitted = fit(
        network,
        _optimizer(network, recipe),
        batches=lambda rng: draw_batches(learn, recipe, rng),
        steps_per_epoch=math.ceil(len(learn) / BATCH),
        loss=_loss,
        score=lambda net: _accuracy(net, choose),
        schedule=Schedule(recipe.epochs, recipe.minutes, average_decay=recipe.average_decay, clip_norm=5.0),
        folder=Path(folder),
        seed=seed,
        resume=resume,
        title="face",
        refresh=lambda net: _measure_statistics(net, learn, recipe, seed),
    )
    return network, fitted


def _measure_statistics(network: nn.Module, faces: fer2013.Faces, recipe: Recipe, seed: int) -> None:
    """Batch-norm statistics of these weights over forty batches as they are learned from."""
    batches = islice(draw_batches(faces, recipe, np.random.default_rng([seed, 1])), 40)
    with torch.autocast("cpu", torch.bfloat16):
        update_bn(((images.contiguous(memory_format=torch.channels_last), 0) for images, _ in batches), network)


@torch.inference_mode()
def _accuracy(network: nn.Module, faces: fer2013.Faces) -> float:
    """Quick, for choosing an epoch: half precision, no mirror image."""
    with torch.autocast("cpu", torch.bfloat16):
        scores = torch.cat([network(part) for part in _to_tensor(faces.images).split(512)])
    return float((scores.argmax(1).numpy() == faces.labels).mean())


def _to_tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).float().div(255).unsqueeze(1).contiguous(memory_format=torch.channels_last)


def draw_batches(faces: fer2013.Faces, recipe: Recipe, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of (B, 1, window, window) grey in [0, 1] and (B, 7) soft labels."""
    targets = fer2013.soft_labels(faces, recipe.original_label).astype(np.float32)
    drawn = draw_balanced(faces.labels, recipe.balance, rng)
    for start in range(0, len(drawn), BATCH):
        chosen = drawn[start : start + BATCH]
        yield augment(_to_tensor(faces.images[chosen]), recipe.window, rng), torch.from_numpy(targets[chosen])


def draw_balanced(labels: np.ndarray, balance: float, rng: np.random.Generator) -> np.ndarray:
    """As many indices as labels, rarer classes oftener (count^-balance), by systematic resampling.

    Each picture comes as often as its weight says, rounded up or down: (n,) -> (n,) int.
    """
    weight = np.bincount(labels)[labels].astype(float) ** -balance
    edges = np.cumsum(weight) / weight.sum() * len(labels)
    ticks = rng.random() + np.arange(len(labels))
    return rng.permutation(np.minimum(np.searchsorted(edges, ticks), len(labels) - 1))


def augment(images: Tensor, window: int, rng: np.random.Generator) -> Tensor:
    """Other views of the same expressions: (B, 1, 48, 48) -> (B, 1, window, window), in [0, 1].

    Mirror, rotation, size, aspect, shift; gamma and a slope of light; an erased rectangle. Noise, blur,
    darkness, low resolution and JPEG are left out: robustness is measured on them, so nothing learns them.
    """
    images = _relight(_warp(images, window, rng), rng)
    return _erase(images, rng)


def _warp(images: Tensor, window: int, rng: np.random.Generator) -> Tensor:
    n = len(images)
    angle = np.deg2rad(np.clip(rng.normal(0, 10, n), -25, 25))
    size = np.exp(rng.uniform(-0.15, 0.15, n))
    aspect = np.exp(rng.uniform(-0.07, 0.07, n))
    mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    cover = window / SIDE
    matrix = np.zeros((n, 2, 3), np.float32)
    matrix[:, 0, 0] = mirror * np.cos(angle) * size * aspect * cover
    matrix[:, 0, 1] = -np.sin(angle) * size * aspect * cover
    matrix[:, 1, 0] = mirror * np.sin(angle) * size / aspect * cover
    matrix[:, 1, 1] = np.cos(angle) * size / aspect * cover
    matrix[:, :, 2] = rng.uniform(-0.14, 0.14, (n, 2))  # half a picture is 1
    grid = functional.affine_grid(torch.from_numpy(matrix), [n, 1, window, window], align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _relight(images: Tensor, rng: np.random.Generator) -> Tensor:
    n, side = len(images), images.shape[-1]
    gamma = torch.from_numpy(np.exp(rng.uniform(-0.4, 0.4, (n, 1, 1, 1))).astype(np.float32))
    slope = torch.from_numpy(rng.uniform(-0.25, 0.25, (n, 2, 1, 1)).astype(np.float32))
    axis = torch.linspace(-1, 1, side)
    light = 1 + slope[:, :1] * axis.view(1, 1, 1, side) + slope[:, 1:] * axis.view(1, 1, side, 1)
    return (images.clamp(1e-4, 1) ** gamma * light).clamp(0, 1)


def _erase(images: Tensor, rng: np.random.Generator) -> Tensor:
    side = images.shape[-1]
    chosen = np.nonzero(rng.random(len(images)) < 0.4)[0]
    corners = rng.integers(0, side - 6, (len(chosen), 2))
    sizes = rng.integers(6, side // 2, (len(chosen), 2))
    for k, (top, left), (height, width) in zip(chosen, corners, sizes, strict=True):
        images[k, :, top : top + height, left : left + width] = images[k].mean()
    return images


def _loss(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    images, targets = batch
    with torch.autocast("cpu", torch.bfloat16):
        scores = network(images.to(memory_format=torch.channels_last))
    return functional.cross_entropy(scores.float(), targets)


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]  # batch-norm and biases
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)
