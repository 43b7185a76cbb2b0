"""The voice network of the adaptive CNN-LSTM system with Q-learning fusion: the whole model in one file.

120 steps of 13 MFCC, 25 ms apart (3 s), through two LSTM: 131,335 numbers as Keras counts, which has one bias
per gate. Torch has two; the second is frozen at zero.

Shapes:  B recordings in the batch   T = 120 steps   C = 13 cepstral coefficients
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emotion.estimate import EMOTIONS

STEPS = 120
COEFFICIENTS = 13
STEP_S = 0.025
EMBEDDING = 128


class MfccLstm(nn.Module):
    """MFCC sequences to logits; `embed` gives the 128-d features beneath them."""

    def __init__(self, classes: int = len(EMOTIONS), dropout: float = 0.3) -> None:
        super().__init__()
        self.first = one_bias(nn.LSTM(COEFFICIENTS, 128, batch_first=True))
        self.second = one_bias(nn.LSTM(128, 64, batch_first=True))
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Sequential(nn.Linear(64, EMBEDDING), nn.ReLU())
        self.head = nn.Linear(EMBEDDING, classes)

    def embed(self, mfcc: Tensor, steps: Tensor | None = None) -> Tensor:
        """mfcc: (B, T, C), padded at the end.  steps: (B,) int from 1 to T, how many are real -> (B, 128)."""
        every, _ = self.second(self.first(mfcc)[0])  # (B, T, 64)
        # A causal network's state at the last real step has seen nothing of the padding: that is Keras' mask.
        last = torch.full((len(mfcc),), mfcc.shape[1]) if steps is None else steps
        state = every[torch.arange(len(mfcc)), last - 1]  # (B, 64)
        return self.dense(self.dropout(state))

    def forward(self, mfcc: Tensor, steps: Tensor | None = None) -> Tensor:
        """mfcc: (B, T, C), padded at the end.  steps: (B,) int, how many are real -> logits (B, classes)."""
        return self.head(self.embed(mfcc, steps))


def one_bias(lstm: nn.LSTM) -> nn.LSTM:
    """Freeze the second bias of each gate at zero, and open the forget gates as Keras does."""
    width = lstm.hidden_size
    bias, second = lstm.get_parameter("bias_ih_l0"), lstm.get_parameter("bias_hh_l0")
    with torch.no_grad():
        second.zero_()
        bias.zero_()
        bias[width : 2 * width] = 1
    second.requires_grad_(False)
    return lstm
