"""A trained network on disk: weights in safetensors and a JSON card beside them, bound by a SHA-256.

Torch is imported only where tensors are made or stored: cards and NumPy arrays are read without it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load as parse_arrays

if TYPE_CHECKING:  # what is served is read without torch
    from torch import Tensor

FORMAT = 1
FOLDER = Path(__file__).parent / "checkpoints"
PERMISSIVE = "permissive"  # in place of a folder: the shipped ones that may be used for everything


class NoModel(Exception):
    """There is no checkpoint here (yet): a normal state, the other modalities still count."""


class BadCheckpoint(Exception):
    """The files are there, but are not a checkpoint this version may trust."""


def default_path(name: str) -> Path:
    """The checkpoint that ships with the package: `name` is "face" or "voice"."""
    return FOLDER / f"{name}.safetensors"


def find(folder: str, name: str) -> Path:
    """Where the checkpoint `name` lies: shipped where the folder is empty; "permissive" leaves out non-commercial ones.

    The file need not be there: no face network of ours learned from permissively licensed data.
    """
    if folder != PERMISSIVE:
        return Path(folder or FOLDER) / f"{name}.safetensors"
    own, shipped = FOLDER / PERMISSIVE / f"{name}.safetensors", default_path(name)
    card = shipped.with_suffix(".json")
    free = not own.exists() and card.exists() and not json.loads(card.read_text()).get("non_commercial", True)
    return shipped if free else own


def save(path: str | os.PathLike, weights: dict[str, Tensor], card: dict[str, Any], *, half: bool = True) -> dict:
    """Write weights and card, each beside its place and then renamed; returns the card as written.

    half: store floating-point weights in 16 bits, which halves the file; `load` gives 32 bits back.
    """
    from safetensors.torch import save as pack_tensors

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = {name: _narrow(tensor) if half else tensor.contiguous() for name, tensor in weights.items()}
    blob = pack_tensors(stored)
    digest = hashlib.sha256(blob).hexdigest()
    card = {"format": FORMAT, **card, "sha256": digest, "bytes": len(blob)}
    replace(path, blob)
    write_card(path, card)
    return card


def as_stored(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `load` would give back after `save`: rounded to 16 bits."""
    return {name: _widen(_narrow(tensor)) for name, tensor in weights.items()}


def load(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read (weights in 32 bits, card). `NoModel` where nothing is, `BadCheckpoint` where it cannot be trusted."""
    from safetensors.torch import load as parse_tensors

    blob, card = _verified(path)
    return {name: _widen(tensor) for name, tensor in parse_tensors(blob).items()}, card


def load_arrays(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """As `load`, with NumPy arrays and without torch."""
    blob, card = _verified(path)
    arrays = parse_arrays(blob).items()
    return {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in arrays}, card


def verify(path: str | os.PathLike) -> dict[str, Any]:
    """The card, once the weights were found to be those that it names. Raises `NoModel`, `BadCheckpoint`."""
    return _verified(path)[1]


def _verified(path: str | os.PathLike) -> tuple[bytes, dict[str, Any]]:
    card = read_card(path)
    blob = Path(path).read_bytes()
    if hashlib.sha256(blob).hexdigest() != card.get("sha256"):
        raise BadCheckpoint(f"{path} does not have the SHA-256 that its card names")
    return blob, card


def read_card(path: str | os.PathLike) -> dict[str, Any]:
    """The card of the checkpoint at `path`, without reading the weights."""
    path = Path(path)
    if not path.exists() or not path.with_suffix(".json").exists():
        raise NoModel(f"no model at {path}")
    try:
        card = json.loads(path.with_suffix(".json").read_text())
    except ValueError as error:
        raise BadCheckpoint(f"{path.with_suffix('.json')} is not JSON") from error
    if card.get("format") != FORMAT:
        raise BadCheckpoint(f"{path} has format {card.get('format')}; this version reads {FORMAT}")
    return card


def write_card(path: str | os.PathLike, card: dict[str, Any]) -> None:
    """Write the card beside the weights at `path`."""
    replace(Path(path).with_suffix(".json"), (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())


def _narrow(tensor: Tensor) -> Tensor:
    import torch

    return (tensor.half() if tensor.dtype == torch.float32 else tensor).contiguous()


def _widen(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def replace(path: Path, blob: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(blob)
    beside.replace(path)
