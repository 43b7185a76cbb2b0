"""Attention fusion of the explainable multimodal system: the whole model in one file.

Every modality becomes one token; tokens look at each other (Vaswani et al. 2017) and are pooled by what the
network finds in them. The weights of that pooling are what the system shows as its explanation.

Shapes:  B clips in the batch   M modalities   D width of a token
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """Feature vectors of two or three modalities, any of them absent, to logits and weights per modality."""

    def __init__(self, widths: Sequence[int], classes: int, width: int = 64, heads: int = 4) -> None:
        """widths: length of each modality's feature vector, in the order in which they are given."""
        super().__init__()
        self.project = nn.ModuleList([nn.Sequential(nn.Linear(n, width), nn.LayerNorm(width)) for n in widths])
        self.attend = nn.MultiheadAttention(width, heads, dropout=0.1, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(width, classes))

    def forward(self, parts: Sequence[Tensor], present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """parts: per modality (B, features).  present: (B, M) bool, at least one per row; None: all are.

        Returns logits (B, classes) and the weight of each modality, (B, M), which sum to 1 and are 0 where absent.
        """
        tokens = torch.stack([layer(x) for layer, x in zip(self.project, parts, strict=True)], dim=1)  # (B, M, D)
        absent = torch.zeros(tokens.shape[:2], dtype=torch.bool) if present is None else ~present
        seen, _ = self.attend(tokens, tokens, tokens, key_padding_mask=absent, need_weights=False)
        tokens = self.norm(tokens + seen)
        weights = self.score(tokens).squeeze(2).masked_fill(absent, float("-inf")).softmax(1)  # (B, M)
        return self.head((weights[:, :, None] * tokens).sum(1)), weights
