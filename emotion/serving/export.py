"""Write ONNX files: `python -m emotion export`. Needs torch and onnx; what is written needs neither.

A face or voice graph points into the safetensors file beside it (ONNX external data), so weights are stored
once, in 16 bits, and are widened when the graph is loaded. The detector's three nets carry their own.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from emotion import checkpoint
from emotion.serving import graphs
from emotion.serving.mtcnn import NETS, net_path
from emotion.serving.runtime import BELONGS_TO

OPSET = 18
STORED = {"F16": onnx.TensorProto.FLOAT16, "F32": onnx.TensorProto.FLOAT}
Places = dict[str, tuple[str, list[int], int, int]]  # name -> (dtype, shape, offset, length) in a safetensors file


def export(path: str | os.PathLike) -> Path:
    """Write the ONNX graph of the face or voice checkpoint at `path` beside it; returns where."""
    graph, card = graphs.load(path)
    inputs = graph.example(np.random.default_rng(0))
    dynamic = {name: {0: "count"} for name in (*graph.inputs, "logits", "features")}
    if isinstance(graph, graphs.VoiceGraph):
        dynamic["log_mel_db"][2] = "frames"
    model = to_onnx(graph, inputs, graph.inputs, ("logits", "features"), dynamic)
    _borrow_weights(model, Path(path))
    _say(model, {BELONGS_TO: card["sha256"], "network": card["network"]})
    return _write(model, Path(path).with_suffix(".onnx"))


def export_detector() -> list[Path]:
    """Write MTCNN's three nets from facenet-pytorch's wheel into the package."""
    from emotion import torchvision_ops

    torchvision_ops.ensure()
    from facenet_pytorch.models import mtcnn

    written = []
    for name, (class_name, side) in NETS.items():
        net = getattr(mtcnn, class_name)().eval()
        outputs = ("offsets", "landmarks", "probabilities") if name == "onet" else ("offsets", "probabilities")
        dynamic: dict[str, dict[int, str]] = {name: {0: "count"} for name in ("pixels", *outputs)}
        if name == "pnet":
            dynamic = {
                "pixels": {2: "height", 3: "width"},
                "offsets": {2: "y", 3: "x"},
                "probabilities": {2: "y", 3: "x"},
            }
        pixels = np.zeros((1 if name == "pnet" else 2, 3, side, side), np.float32)
        model = to_onnx(net, (pixels,), ("pixels",), outputs, dynamic)
        if name == "onet":  # the largest, and the last: what it is given to judge stays the same
            _halve_weights(model)
        _say(model, {"source_sha256": source_sha256(name), "source": "facenet-pytorch, MIT licence"})
        written.append(_write(model, net_path(name)))
    return written


def source_sha256(name: str) -> str:
    """Of the weights that facenet-pytorch's wheel holds for one of `NETS`."""
    spec = find_spec("facenet_pytorch")
    assert spec is not None
    return hashlib.sha256((Path(str(spec.origin)).parent / "data" / f"{name}.pt").read_bytes()).hexdigest()


def to_onnx(
    module: nn.Module,
    inputs: tuple[np.ndarray, ...],
    input_names: tuple[str, ...],
    output_names: tuple[str, ...],
    dynamic: dict[str, dict[int, str]],
) -> onnx.ModelProto:
    """The module's graph in which every parameter keeps its name: nothing is folded or fused yet.

    Torch's older exporter is used: it takes two seconds, the newer one half a minute for the same graph with
    twice the nodes. ONNX Runtime folds and fuses when it loads the file.
    """
    out: Any = io.BytesIO()  # torch's stubs know file names alone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            module,
            tuple(torch.from_numpy(array) for array in inputs),
            out,
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            input_names=list(input_names),
            output_names=list(output_names),
            dynamic_axes=dynamic,
            opset_version=OPSET,
        )
    return onnx.load_from_string(out.getvalue())


def _halve_weights(model: onnx.ModelProto) -> None:
    """Store each weight in 16 bits; a box moves by less than a tenth of a pixel."""
    stored, widened = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            stored.append(tensor)
            continue
        name = f"{tensor.name}.stored"
        stored.append(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name))
        widened.append(helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT))
    _rewrite(model.graph, stored, widened)


def _borrow_weights(model: onnx.ModelProto, weights: Path) -> None:
    """Replace each stored weight by a place in the safetensors file, widened where that holds 16 bits."""
    places, graph = tensor_places(weights), model.graph
    borrowed, widened = [], []
    for tensor in graph.initializer:
        place = places.get(tensor.name.removeprefix("network."))
        if place is None:  # a constant that the exporter made
            borrowed.append(tensor)
            continue
        dtype, shape, offset, length = place
        stored = f"{tensor.name}.stored" if dtype == "F16" else tensor.name
        borrowed.append(_external(stored, STORED[dtype], shape, weights.name, offset, length))
        if dtype == "F16":
            widened.append(helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT))
    _rewrite(graph, borrowed, widened)


def _rewrite(graph: onnx.GraphProto, weights: list[onnx.TensorProto], widened: list[onnx.NodeProto]) -> None:
    nodes = [*widened, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(weights)
    graph.node.extend(nodes)


def _external(name: str, dtype: int, shape: list[int], file: str, offset: int, length: int) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=dtype, dims=shape, data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", file), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def tensor_places(path: Path) -> Places:
    """Where each tensor of a safetensors file lies: 8 bytes of header length, a JSON header, then the data."""
    with path.open("rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {
        name: (told["dtype"], told["shape"], 8 + size + told["data_offsets"][0], -np.subtract(*told["data_offsets"]))
        for name, told in header.items()
    }


def _say(model: onnx.ModelProto, facts: dict[str, str]) -> None:
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)


def _write(model: onnx.ModelProto, path: Path) -> Path:
    model.producer_version = ""  # the same weights give the same bytes with every patch of torch
    checkpoint.replace(path, model.SerializeToString(deterministic=True))
    return path
