"""The served text network: bags of n-grams, one convolution over words, attention; read by NumPy where it serves.

Shapes:  B texts   W words, padded   D width of an n-gram   H channels   K classes
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emotion.estimate import EMOTIONS
from emotion.words import BUCKETS

Batch = tuple[Tensor, Tensor, Tensor]


class CompactText(nn.Module):
    def __init__(self, classes: int = len(EMOTIONS), width: int = 32, channels: int = 96, dropout: float = 0.4):
        super().__init__()
        self.grams = nn.EmbeddingBag(BUCKETS, width, mode="mean")
        nn.init.normal_(self.grams.weight, 0, 0.1)
        self.phrase = nn.Conv1d(width, channels, 3, padding=1)
        self.attend = nn.Linear(channels, 1)
        self.judge = nn.Linear(2 * channels, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: Batch) -> Tensor:
        """batch: n-grams (N,), where each word begins in them (sum of W,), words per text (B,) -> logits (B, K)."""
        grams, begins, lengths = batch
        there = torch.arange(int(lengths.max()))[None] < lengths[:, None]  # (B, W)
        embedded = self.grams(grams, begins)  # (sum of W, D)
        x = torch.zeros(*there.shape, embedded.shape[1], dtype=embedded.dtype)
        x[there] = embedded
        x = self.phrase(self.dropout(x).transpose(1, 2)).relu().transpose(1, 2)  # (B, W, H)
        weight = self.attend(x).squeeze(-1).masked_fill(~there, -torch.inf).softmax(1)  # (B, W)
        mean = (weight[..., None] * x).sum(1)
        strongest = x.masked_fill(~there[..., None], 0.0).amax(1)  # after the rectifier nothing is below 0
        return self.judge(self.dropout(torch.cat([mean, strongest], dim=1)))


def collate(texts: list[list[list[int]]]) -> Batch:
    """Texts as `words.ngrams` gives them; none may be empty."""
    bags = [bag for text in texts for bag in text]
    sizes = torch.tensor([len(bag) for bag in bags])
    begins = torch.cat([torch.zeros(1, dtype=torch.long), sizes.cumsum(0)[:-1]])
    return torch.tensor([gram for bag in bags for gram in bag]), begins, torch.tensor([len(text) for text in texts])
