"""Let facenet-pytorch import where torchvision's compiled operators do not fit this torch.

A CPU build of torch beside a torchvision built for CUDA cannot load torchvision's library, and then
`import torchvision` stops at "operator torchvision::nms does not exist". Of torchvision, facenet-pytorch
needs `to_tensor` and `batched_nms` alone: so, only where the library does not load, the missing schemas
are declared and `batched_nms` is replaced by the one below. On an ordinary install nothing happens.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import torch
from torch import Tensor

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # a library object that is collected takes its schemas away


def compiled_operators_load() -> bool:
    """True where torchvision's own library fits this torch."""
    spec = importlib.util.find_spec("torchvision")
    for folder in (spec and spec.submodule_search_locations) or ():
        for library in Path(folder).glob("_C*.so"):
            try:
                torch.ops.load_library(str(library))
                return True
            except OSError:
                continue
    return hasattr(torch.ops.torchvision, "nms") and not _declared


def ensure() -> None:
    """Make `import facenet_pytorch` work; call it before that import."""
    if _declared or compiled_operators_load():
        return
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _declared.append(library)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision says at import that it cannot decode pictures; we never ask it to
        import torchvision.ops.boxes
    torchvision.ops.boxes.batched_nms = batched_nms


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression within each group, as `torchvision.ops.batched_nms`.

    boxes: (n, 4) as x1, y1, x2, y2.   scores: (n,).   idxs: (n,) group of each box.
    Returns the indices kept, (k,) int64, by falling score. A box goes when its intersection over union
    with a better one of its group exceeds `iou_threshold`.
    """
    order = scores.argsort(descending=True, stable=True)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[rest, :2])
        high = torch.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        overlap = shared / (area[best] + area[rest] - shared)
        order = rest[(overlap <= iou_threshold) | (idxs[rest] != idxs[best])]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)
