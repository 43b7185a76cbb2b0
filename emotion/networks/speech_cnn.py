"""The voice network of the face-speech disparity system: the whole model in one file.

162 numbers per recording (zero crossings 1, chroma 12, MFCC 20, RMS 1, mel 128, each a mean over time) are read
as a signal of that length by four 1-d convolutions: 557,288 numbers. Dropout before the last layer is ours.

Shapes:  B recordings in the batch   F = 162 features
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

FEATURES = 162
CLASSES = 8  # RAVDESS
WIDTHS = (256, 256, 128, 64)


class SamePool(nn.Module):
    """Keras' "same" maximum over 5 in steps of 2: (B, C, n) -> (B, C, ceil(n / 2))."""

    def forward(self, x: Tensor) -> Tensor:
        missing = max((-(-x.shape[-1] // 2) - 1) * 2 + 5 - x.shape[-1], 0)
        left = missing // 2  # the odd one goes to the right
        return functional.max_pool1d(functional.pad(x, (left, missing - left), value=float("-inf")), 5, 2)


class SpeechCnn(nn.Module):
    """Feature vectors to logits."""

    def __init__(self, classes: int = CLASSES, dropout: float = 0.3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width_in, width in zip((1, *WIDTHS[:-1]), WIDTHS, strict=True):
            layers += [nn.Conv1d(width_in, width, 5, padding=2), nn.ReLU(), SamePool()]
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(11 * WIDTHS[-1], 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, classes)
        )

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, F), standardised -> logits (B, classes)."""
        x = self.blocks(features[:, None])  # 162 → 81 → 41 → 21 → 11 steps: (B, 64, 11)
        return self.head(x.flatten(1))
