"""The served face network: a small squeeze-and-excitation ResNet, the whole model in one file.

Shapes:  B faces in the batch   width channels of a stage

Residual blocks: He et al., CVPR 2016; the pooled short cut: He et al., "Bag of tricks", CVPR 2019;
squeeze and excitation: Hu et al., CVPR 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emotion.estimate import EMOTIONS

SIDE = 48  # pixels of the grey crop a caller gives
WIDTHS = (64, 128, 192)


def standardise(faces: Tensor) -> Tensor:
    """Remove each picture's own brightness and contrast: mean 0, variance 1; a flat picture becomes zeros.

    faces: (B, 1, h, w) in [0, 1].
    """
    faces = faces.float()
    mean = faces.mean((2, 3), keepdim=True)
    deviation = (faces - mean).square().mean((2, 3), keepdim=True).sqrt()
    return (faces - mean) / torch.clamp(deviation, min=1 / 255)


class SqueezeExcite(nn.Module):
    """Weigh channels by what the whole map shows."""

    def __init__(self, width: int, reduction: int = 8) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Linear(width, width // reduction), nn.ReLU(), nn.Linear(width // reduction, width), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, width, h, w) -> the same shape."""
        return x * self.weigh(x.mean((2, 3)))[:, :, None, None]


class Block(nn.Module):
    """Two 3×3 convolutions, squeeze and excitation, and a short cut; stride 2 halves the map."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width_out),
            nn.ReLU(),
            nn.Conv2d(width_out, width_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width_out),
            SqueezeExcite(width_out),
        )
        self.short_cut: nn.Module = nn.Identity()
        if stride != 1 or width_in != width_out:
            # The pool keeps the three quarters of the map that a strided 1×1 would throw away.
            self.short_cut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(width_in, width_out, 1, bias=False),
                nn.BatchNorm2d(width_out),
            )
        self.activate = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, width_in, h, w) -> (B, width_out, h/stride, w/stride), rounded up."""
        return self.activate(self.short_cut(x) + self.residual(x))


class CompactFace(nn.Module):
    """Grey faces to seven logits; `embed` gives the 192-d features beneath them."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, stem: int = 32, dropout: float = 0.3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        stages: list[nn.Module] = []
        width_in = stem
        for width in widths:
            stages += [Block(width_in, width, stride=2), Block(width, width, stride=1)]
            width_in = width
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width_in, len(EMOTIONS))

    def embed(self, faces: Tensor) -> Tensor:
        """faces: (B, 1, 48, 48) grey in [0, 1] -> (B, 192)."""
        x = self.stages(self.stem(standardise(faces)))  # (B, 192, 6, 6)
        return self.pool(x).flatten(1)

    def forward(self, faces: Tensor) -> Tensor:
        """faces: (B, 1, 48, 48) grey in [0, 1] -> logits (B, 7) in the order of `EMOTIONS`."""
        return self.head(self.dropout(self.embed(faces)))
