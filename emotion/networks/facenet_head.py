"""FaceNet's embedding with an expression head, for those who hold its published VGGFace2 weights.

Schroff et al., CVPR 2015; Inception-ResNet-v1 as in facenet-pytorch. Its weights are not shipped and
never fetched: they are read from a configured file whose SHA-256 is known beforehand.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from emotion.checkpoint import BadCheckpoint, NoModel
from emotion.estimate import EMOTIONS


class FaceNetHead(nn.Module):
    """(B, 3, 160, 160) faces in [0, 1] to seven logits, through a 512-d embedding of unit length."""

    def __init__(self, dropout: float = 0.4) -> None:
        super().__init__()
        from emotion import torchvision_ops

        torchvision_ops.ensure()
        from facenet_pytorch import InceptionResnetV1

        self.backbone = InceptionResnetV1(pretrained=None, classify=False)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(512, len(EMOTIONS)))

    def embed(self, faces: Tensor) -> Tensor:
        """faces: (B, 3, 160, 160) in [0, 1] -> (B, 512) of unit length."""
        return self.backbone((faces * 255 - 127.5) / 128)  # the scale its weights were trained on

    def forward(self, faces: Tensor) -> Tensor:
        """faces: (B, 3, 160, 160) in [0, 1] -> logits (B, 7)."""
        return self.head(self.embed(faces))

    def load_backbone(self, path: str | os.PathLike, sha256: str) -> None:
        """Take the embedding's weights from a PyTorch state file; its classifier, if any, is left out.

        Raises `NoModel` where there is no file, `BadCheckpoint` where it is not the file that was named.
        """
        path = Path(path)
        if not path.is_file():
            raise NoModel(f"no FaceNet weights at {path}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256.lower():
            raise BadCheckpoint(f"{path} does not have the configured SHA-256")
        weights = torch.load(path, map_location="cpu", weights_only=True)
        kept = {name: value for name, value in weights.items() if not name.startswith("logits.")}
        self.backbone.load_state_dict(kept)
