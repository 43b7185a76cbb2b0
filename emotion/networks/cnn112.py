"""The face network of the adaptive CNN-LSTM system with Q-learning fusion: the whole model in one file.

Three 3×3 blocks without padding, batch normalisation and ReLU, a pool after the first two, global average
pooling to the 128-d embedding that `late_cat` joins. 128,391 numbers as Keras counts: the rows of the source
add up to this, its printed total of 128,395 does not.

Shapes:  B faces in the batch
"""

from __future__ import annotations

from torch import Tensor, nn

from emotion.estimate import EMOTIONS

SIDE = 112
EMBEDDING = 128


def block(width_in: int, width_out: int) -> list[nn.Module]:
    """Convolution with bias, as Keras has it, before the batch normalisation."""
    return [nn.Conv2d(width_in, width_out, 3), nn.BatchNorm2d(width_out, eps=1e-3, momentum=0.01), nn.ReLU()]


class Cnn112(nn.Module):
    """Grey faces of 112×112 pixels to logits; `embed` gives the 128-d features beneath them."""

    def __init__(self, classes: int = len(EMOTIONS), dropout: float = 0.4) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *block(1, 32), nn.MaxPool2d(2), *block(32, 64), nn.MaxPool2d(2), *block(64, EMBEDDING)
        )
        self.head = nn.Sequential(nn.Linear(EMBEDDING, 256), nn.ReLU(), nn.Dropout(dropout), nn.Linear(256, classes))

    def embed(self, faces: Tensor) -> Tensor:
        """faces: (B, 1, 112, 112) grey in [0, 1] -> (B, 128)."""
        return self.blocks(faces).mean((2, 3))  # 112 → 110 → 55 → 53 → 26 → 24 pixels

    def forward(self, faces: Tensor) -> Tensor:
        """faces: (B, 1, 112, 112) grey in [0, 1] -> logits (B, classes)."""
        return self.head(self.embed(faces))
