"""The face network of the face-speech disparity system: the whole model in one file.

Four 3×3 blocks without padding, each with batch normalisation, pool and dropout: 1,440,967 numbers as Keras
counts. The source states dropout without its rate; 0.25 in the blocks and 0.5 before the end are ours.

Shapes:  B faces in the batch
"""

from __future__ import annotations

from torch import Tensor, nn

from emotion.estimate import EMOTIONS

SIDE = 100
WIDTHS = (32, 64, 128, 256)


class Cnn100(nn.Module):
    """Colour faces of 100×100 pixels to logits."""

    def __init__(self, classes: int = len(EMOTIONS), dropout: float = 0.25) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width_in, width in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True):
            layers += [nn.Conv2d(width_in, width, 3), nn.ReLU(), nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)]
            layers += [nn.MaxPool2d(2), nn.Dropout(dropout)]
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(4096, 256), nn.ReLU(), nn.Dropout(2 * dropout), nn.Linear(256, classes))

    def forward(self, faces: Tensor) -> Tensor:
        """faces: (B, 3, 100, 100) in [0, 1] -> logits (B, classes)."""
        x = self.blocks(faces)  # 100 → 98 → 49 → 47 → 23 → 21 → 10 → 8 → 4 pixels: (B, 256, 4, 4)
        return self.head(x.flatten(1))  # (B, 4096) -> (B, classes)
