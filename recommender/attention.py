"""Causal self-attention over the items that a person took up, from old to new.

Shapes:  B people in a batch   L items in a sequence   N items   D width
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


class Transformer(nn.Module):
    """Causal blocks over item and place embeddings; items are scored by their own embeddings."""

    def __init__(self, n_items: int, width: int, blocks: int, length: int, dropout: float) -> None:
        super().__init__()
        self.n_items, self.width, self.length = n_items, width, length
        self.item = nn.Embedding(n_items + 1, width, padding_idx=n_items)
        self.place = nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(width, dropout) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width)
        for table in (self.item, self.place):
            nn.init.normal_(table.weight, 0, 1 / math.sqrt(width))
        with torch.no_grad():
            self.item.weight[n_items] = 0.0

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """What is known after each place, (B, L, D).  items: (B, L), padded at the end.  lengths: (B,).

        Places count from the end, as in the paper: the newest item of everybody has the same.
        """
        at = torch.arange(items.shape[1]) + self.length - lengths[:, None]
        x = self.item(items) * math.sqrt(self.width) + self.place(at.clamp(max=self.length - 1))
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        after: Tensor = self.norm(x)
        return after

    def logits(self, after: Tensor) -> Tensor:
        """(…, D) to (…, N)."""
        return after @ self.item.weight[: self.n_items].T


class Block(nn.Module):
    """Attention to this place and those before it, then two layers at each place; residuals around both."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.p = dropout
        self.norm, self.norm_two = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.feed = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D). Padding stands at the end, where no place before it looks."""
        q = self.norm(x)
        p = self.p if self.training else 0.0
        attended = nn.functional.scaled_dot_product_attention(
            self.query(q), self.key(x), self.value(x), dropout_p=p, is_causal=True
        )
        x = q + attended
        y = self.norm_two(x)
        fed: Tensor = y + self.feed(y)
        return fed


def padded(sequences: Sequence[np.ndarray], blank: int) -> tuple[Tensor, Tensor]:
    """Items (B, L), `blank` after the end of each, and the lengths, (B,)."""
    lengths = np.array([len(sequence) for sequence in sequences])
    items = np.full((len(sequences), lengths.max()), blank, dtype=np.int64)
    for row, sequence in zip(items, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(items), torch.from_numpy(lengths)


def sequences_of(shown: np.ndarray, age: np.ndarray) -> list[np.ndarray]:
    """Items of each row from old to new.  shown: (U, N) of 0 and 1.   age: (U, N) later rows of the same person."""
    taken = [np.flatnonzero(row) for row in shown]
    return [items[np.argsort(-ages[items], kind="stable")] for items, ages in zip(taken, age, strict=True)]
