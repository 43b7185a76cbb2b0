"""Read trained networks with ONNX Runtime: one thread each, no torch.

The ONNX file beside a checkpoint holds the graph alone; its weights are those of the safetensors file, by
offset, and it names that file's SHA-256. `python -m emotion export` writes it anew (emotion.serving.export).
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from emotion import checkpoint
from emotion.checkpoint import BadCheckpoint

BELONGS_TO = "checkpoint_sha256"  # metadata key of an ONNX file
ENGINES = ("auto", "onnx", "torch")

Network = Callable[..., tuple[np.ndarray, np.ndarray]]


class NotExported(BadCheckpoint):
    """There is no ONNX file beside these weights, or it was made from other weights."""


def session(path: str | os.PathLike) -> onnxruntime.InferenceSession:
    """One graph, ready to run on one thread: a worker has one core, and a forked child inherits no threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # it never gives back what one large input took
    return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])


class OnnxNetwork:
    """Called with a graph's inputs, gives its outputs."""

    engine = "onnx"

    def __init__(self, path: str | os.PathLike) -> None:
        self._session = session(path)
        self._inputs = [given.name for given in self._session.get_inputs()]

    @property
    def metadata(self) -> dict[str, str]:
        return self._session.get_modelmeta().custom_metadata_map

    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(self._session.run(None, dict(zip(self._inputs, inputs, strict=True))))


def load(path: str | os.PathLike, network: str, engine: str = "auto") -> tuple[Any, dict[str, Any]]:
    """What reads the checkpoint at `path`, and its card.

    engine: "onnx", "torch", or "auto": ONNX where the file beside the weights was made from them, else torch where
    it is installed. Raises `checkpoint.NoModel`, `checkpoint.BadCheckpoint`.
    """
    card = checkpoint.verify(path)
    if card.get("network") != network:
        raise BadCheckpoint(f"{path} holds {card.get('network')}, not {network}")
    if engine == "torch":
        return _with_torch(path), card
    try:
        return exported(path, card), card
    except NotExported:
        if engine == "onnx" or not importlib.util.find_spec("torch"):
            raise
        return _with_torch(path), card


def exported(path: str | os.PathLike, card: dict[str, Any]) -> OnnxNetwork:
    """The ONNX network of a checkpoint. Raises `NotExported`."""
    graph = Path(path).with_suffix(".onnx")
    if not graph.exists():
        raise NotExported(f"{graph} is missing: write it with `python -m emotion export`")
    try:
        network = OnnxNetwork(graph)
    except Exception as error:  # its classes differ between releases; weights of another length end here, too
        raise NotExported(f"{graph} does not fit its weights: write it anew with `python -m emotion export`") from error
    if network.metadata.get(BELONGS_TO) != card["sha256"]:
        raise NotExported(f"{graph} was made from other weights: write it anew with `python -m emotion export`")
    return network


def _with_torch(path: str | os.PathLike) -> Network:
    from emotion.serving import graphs

    return graphs.TorchNetwork(graphs.load(path)[0])
