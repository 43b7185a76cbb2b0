"""Models that know order: what a person took up before, in which order, says what they take up next.

    SasRec       the peer: Kang & McAuley (2018, ICDM), with cross-entropy over all items instead of one negative per
                 target, which alone makes it a strong peer (Klenitskiy & Vasilev 2023, RecSys)
    OrderedVae   ours: the same attention is the encoder of a variational auto-encoder, at every place; it is asked
                 for all of the items that follow soon, since what is wanted later is seldom the very next one.
                 (A variational auto-encoder over sequences, with a recurrent encoder: Sachdeva et al. 2019, WSDM.)

        after_t = Transformer(items up to t),   q(z_t | items up to t) = N(mean(after_t), sd(after_t)^2)
        loss    = mean over t of [-mean over 1 <= j <= ahead of log p(item_{t+j} | z_t)] + beta KL(q || N(0, 1))

Shapes:  B people in a batch   L items in a sequence   M places of all of them   N items   D width   K items ahead
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from recommender.attention import Transformer, padded

Judge = Callable[[Callable], float]


class Sequential(ABC):
    """What both share: passes over the people in random order, and the epoch that is judged best.

    length: of the past, in items.   patience: epochs without a better judgement before it ends at its best one.
    """

    network_: Transformer

    def __init__(
        self, width: int = 64, blocks: int = 2, length: int = 100, dropout: float = 0.2, epochs: int = 60,
        learning_rate: float = 1e-3, batch: int = 32, patience: int = 5, seed: int = 0,
    ) -> None:  # fmt: skip
        self.width, self.blocks, self.length, self.dropout = width, blocks, length, dropout
        self.epochs, self.learning_rate, self.batch = epochs, learning_rate, batch
        self.patience, self.seed = patience, seed

    def fit(self, sequences: Sequence[np.ndarray], n_items: int, judge: Judge | None = None):
        """sequences: of each person the items from old to new.   judge: called after each epoch with `score`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network_ = self._made(n_items)
            self._descend([s for s in sequences if len(s) > 1], judge)
        return self

    @torch.no_grad()
    def score(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """Logit of each item to come next (ours: soon), (U, N); of an empty past, all equal."""
        self.network_.eval()
        scores = np.zeros((len(sequences), self.network_.n_items), dtype=np.float32)
        known = [i for i, sequence in enumerate(sequences) if len(sequence)]
        for start in range(0, len(known), self.batch):
            part = known[start : start + self.batch]
            items, lengths = padded([sequences[i][-self.length :] for i in part], self.network_.n_items)
            last = self.network_(items, lengths)[torch.arange(len(part)), lengths - 1]
            scores[part] = self.network_.logits(last).numpy()
        return scores

    def _made(self, n_items: int) -> Transformer:
        return Transformer(n_items, self.width, self.blocks, self.length, self.dropout)

    @abstractmethod
    def _loss(self, part: list[np.ndarray], rng: np.random.Generator) -> Tensor:
        """What a batch of sequences is to make small; the rng says which parts of them are asked."""

    def _descend(self, sequences: list[np.ndarray], judge: Judge | None) -> None:
        network, rng = self.network_, np.random.default_rng(self.seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate, betas=(0.9, 0.98), fused=True)
        best, waited, kept = -math.inf, 0, None
        for _ in range(self.epochs):
            network.train()
            for part in self._batches(sequences, rng):
                optimizer.zero_grad()
                self._loss(part, rng).backward()
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


class SasRec(Sequential):
    """Self-attentive sequential recommendation: the newest items of everybody, each asked for the one after it."""

    def _loss(self, part: list[np.ndarray], rng: np.random.Generator) -> Tensor:
        newest = [sequence[-self.length - 1 :] for sequence in part]
        items, lengths = padded([s[:-1] for s in newest], self.network_.n_items)
        real = torch.arange(items.shape[1]) < lengths[:, None]  # (B, L)
        targets = torch.from_numpy(np.concatenate([s[1:] for s in newest]))
        return nn.functional.cross_entropy(self.network_.logits(self.network_(items, lengths)[real]), targets)


class OrderedVae(Sequential):
    """Our attention VAE where order is known.

    ahead: items that a place is asked for; of a sequence shorter than twice that, half is past.
    share: of the places that are asked in a pass; neighbours are asked for nearly the same items, so that few places
        teach as much as all and cost less.
    beta: weight of the KL term.
    """

    network_: Latent

    def __init__(
        self, ahead: int = 10, share: float = 0.25, beta: float = 1e-3, learning_rate: float = 2e-3, batch: int = 64,
        **others,
    ) -> None:  # fmt: skip
        super().__init__(learning_rate=learning_rate, batch=batch, **others)
        self.ahead, self.share, self.beta = ahead, share, beta

    def _made(self, n_items: int) -> Transformer:
        return Latent(n_items, self.width, self.blocks, self.length, self.dropout)

    def _loss(self, part: list[np.ndarray], rng: np.random.Generator) -> Tensor:
        items, lengths, asked, targets, there = self._questions(part, rng)
        with torch.autocast("cpu", torch.bfloat16):
            mean, log_variance = self.network_.posterior(self.network_(items, lengths)[asked])
        mean, log_variance = mean.float(), log_variance.float()
        z = mean + torch.randn(mean.shape) * (log_variance / 2).exp()
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network_.decode(z)
        logits = logits.float()
        log_p = logits.gather(1, targets) - logits.logsumexp(dim=1, keepdim=True)  # (M, K)
        likelihood = ((log_p * there).sum(dim=1) / there.sum(dim=1)).mean()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
        return self.beta * kl - likelihood

    def _questions(self, part: list[np.ndarray], rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Past items (B, L), their numbers (B,), the places asked (B, L), what follows each of them, and if it does.

        Places count from the end: a newest one that was asked for fewer items than others would answer so later.
        """
        windows = [window_of(sequence, self.length + self.ahead, rng) for sequence in part]
        past = [window[: max(len(window) - self.ahead, (len(window) + 1) // 2)] for window in windows]
        items, lengths = padded(past, self.network_.n_items)
        real = torch.arange(items.shape[1]) < lengths[:, None]
        chosen = torch.from_numpy(rng.random(int(real.sum())) < self.share)
        chosen[rng.integers(len(chosen))] = True
        followed = [following(window, len(known), self.ahead) for window, known in zip(windows, past, strict=True)]
        targets, there = (torch.from_numpy(np.concatenate(each))[chosen] for each in zip(*followed, strict=True))
        return items, lengths, real.masked_scatter(real, chosen), targets, there


class Latent(Transformer):
    """What is known after a place as a normal distribution; it begins as the bare transformer, almost without noise."""

    def __init__(self, *shape, **others) -> None:
        super().__init__(*shape, **others)
        self.mean, self.log_variance = nn.Linear(self.width, self.width), nn.Linear(self.width, self.width)
        self.popular = nn.Parameter(torch.zeros(self.n_items))
        for layer, start in ((self.mean, 0.0), (self.log_variance, -3.0)):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, start)

    def posterior(self, after: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | items so far), (…, D) each."""
        return after + self.mean(after), self.log_variance(after)

    def decode(self, z: Tensor) -> Tensor:
        """(…, D) to (…, N)."""
        return super().logits(z) + self.popular

    def logits(self, after: Tensor) -> Tensor:
        """Of the mean of q, (…, D) to (…, N)."""
        return self.decode(self.posterior(after)[0])


def window_of(sequence: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """The whole of a short sequence, or a random stretch of a long one: the old part of it teaches too."""
    start = int(rng.integers(max(len(sequence) - length, 0) + 1))
    return sequence[start : start + length]


def following(window: np.ndarray, places: int, ahead: int) -> tuple[np.ndarray, np.ndarray]:
    """The items after each of the first places, (M, K), and which of them are there, (M, K)."""
    at = np.arange(1, places + 1)[:, None] + np.arange(ahead)
    there = at < len(window)
    return window[np.minimum(at, len(window) - 1)], there
