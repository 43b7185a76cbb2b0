"""SASRec, the peer that knows order: what a person took up before, in which order, says what they take up next.

Kang & McAuley (2018, ICDM), with cross-entropy over all items instead of one negative per target, which alone makes it
a strong peer (Klenitskiy & Vasilev 2023, RecSys).

Shapes:  B people in a batch   L items in a sequence   N items   D width
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

Judge = Callable[[Callable], float]


class SasRec:
    """Self-attentive sequential recommendation.

    length: of the past, in items.   patience: epochs without a better judgement before it ends at its best one.
    """

    def __init__(
        self, width: int = 64, blocks: int = 2, length: int = 100, dropout: float = 0.2, epochs: int = 60,
        learning_rate: float = 1e-3, batch: int = 32, patience: int = 5, seed: int = 0,
    ) -> None:  # fmt: skip
        self.width, self.blocks, self.length, self.dropout = width, blocks, length, dropout
        self.epochs, self.learning_rate, self.batch = epochs, learning_rate, batch
        self.patience, self.seed = patience, seed

    def fit(self, sequences: Sequence[np.ndarray], n_items: int, judge: Judge | None = None) -> SasRec:
        """sequences: of each person the items from old to new.   judge: called after each epoch with `score`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network_ = Transformer(n_items, self.width, self.blocks, self.length, self.dropout)
            self._descend([s[-self.length - 1 :] for s in sequences if len(s) > 1], judge)
        return self

    @torch.no_grad()
    def score(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """Logit of each item to come next, (U, N); of an empty past, all equal."""
        self.network_.eval()
        scores = np.zeros((len(sequences), self.network_.n_items), dtype=np.float32)
        known = [i for i, sequence in enumerate(sequences) if len(sequence)]
        for start in range(0, len(known), self.batch):
            part = known[start : start + self.batch]
            items, lengths = padded([sequences[i][-self.length :] for i in part], self.network_.n_items)
            last = self.network_(items, lengths)[torch.arange(len(part)), lengths - 1]
            scores[part] = self.network_.logits(last).numpy()
        return scores

    def _descend(self, sequences: list[np.ndarray], judge: Judge | None) -> None:
        network, rng = self.network_, np.random.default_rng(self.seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate, betas=(0.9, 0.98), fused=True)
        best, waited, kept = -math.inf, 0, None
        for _ in range(self.epochs):
            network.train()
            for part in self._batches(sequences, rng):
                optimizer.zero_grad()
                self._loss(part).backward()
                optimizer.step()
            value = judge(self.score) if judge else math.inf
            if value > best or not judge:
                best, waited, kept = value, 0, copy.deepcopy(network.state_dict())
            else:
                waited += 1
            if waited >= self.patience:
                break
        network.load_state_dict(kept or network.state_dict())
        network.eval()

    def _batches(self, sequences: list[np.ndarray], rng: np.random.Generator) -> Iterator[list[np.ndarray]]:
        order = rng.permutation(len(sequences))
        for i in range(0, len(order), self.batch):
            yield [sequences[j] for j in order[i : i + self.batch]]

    def _loss(self, part: list[np.ndarray]) -> Tensor:
        """Cross-entropy of the item that follows each place."""
        items, lengths = padded([s[:-1] for s in part], self.network_.n_items)
        real = torch.arange(items.shape[1]) < lengths[:, None]  # (B, L)
        targets = torch.from_numpy(np.concatenate([s[1:] for s in part]))
        return nn.functional.cross_entropy(self.network_.logits(self.network_(items, lengths)[real]), targets)


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
