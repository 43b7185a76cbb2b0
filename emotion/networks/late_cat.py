"""Late concatenation of the adaptive CNN-LSTM system: both embeddings side by side, the whole model in one file.

Shapes:  B check-ins in the batch
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emotion.estimate import EMOTIONS
from emotion.networks import cnn112, mfcc_lstm


class LateCat(nn.Module):
    """128-d face ⊕ 128-d voice → 256 → dense 128 → logits; 33,799 numbers of its own."""

    def __init__(self, classes: int = len(EMOTIONS)) -> None:
        super().__init__()
        self.head = nn.Sequential(
            nn.Linear(cnn112.EMBEDDING + mfcc_lstm.EMBEDDING, 128), nn.ReLU(), nn.Linear(128, classes)
        )

    def forward(self, face: Tensor, voice: Tensor) -> Tensor:
        """face: (B, 128) of `Cnn112.embed`.  voice: (B, 128) of `MfccLstm.embed` -> logits (B, classes)."""
        return self.head(torch.cat([face, voice], dim=1))  # (B, 256) -> (B, classes)
