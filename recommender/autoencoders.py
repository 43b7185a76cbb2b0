"""Variational auto-encoders on a table of interactions: peers of our model.

Both have `fit(x, judge)` and `score(x)`, x: (U, N) of 0 and 1; `score` takes people who were not fitted as well.
judge: called after each epoch with `score`; the best epoch is kept. Without it, all epochs are run.

Shapes:  B people in a batch   N items   Z latent width
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

Judge = Callable[[Callable], float]


class MultVae:
    """Variational auto-encoder with a multinomial likelihood (Liang et al. 2018, WWW): N-600-200-600-N, tanh."""

    def __init__(
        self, hidden: int = 600, latent: int = 200, dropout: float = 0.5, beta: float = 0.2, epochs: int = 100,
        learning_rate: float = 1e-3, batch: int = 500, patience: int = 12, seed: int = 0,
    ) -> None:  # fmt: skip
        self.hidden, self.latent, self.dropout, self.beta = hidden, latent, dropout, beta
        self.epochs, self.learning_rate, self.batch = epochs, learning_rate, batch
        self.patience, self.seed = patience, seed

    def fit(self, x: np.ndarray, judge: Judge | None = None) -> MultVae:
        x = np.asarray(x, dtype=np.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._build(x.shape[1])
            self._descend(x, judge)
        return self

    @torch.no_grad()
    def score(self, x: np.ndarray, batch: int = 1000) -> np.ndarray:
        x = np.asarray(x, dtype=np.float32)
        rows = (torch.from_numpy(x[i : i + batch]) for i in range(0, len(x), batch))
        return torch.cat([self.decoder_(self._encoded(part, 0.0)[0]) for part in rows]).numpy()

    def _build(self, n: int) -> None:
        self.encoder_: nn.Module = nn.Sequential(
            nn.Linear(n, self.hidden), nn.Tanh(), nn.Linear(self.hidden, 2 * self.latent)
        )
        self.decoder_: nn.Module = nn.Sequential(
            nn.Linear(self.latent, self.hidden), nn.Tanh(), nn.Linear(self.hidden, n)
        )
        for layer in (*self.encoder_.modules(), *self.decoder_.modules()):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.normal_(layer.bias, 0, 0.001)
        parameters = [*self.encoder_.parameters(), *self.decoder_.parameters()]
        self._optimizer, self._steps = torch.optim.Adam(parameters, lr=self.learning_rate), 0

    def _encoded(self, rows: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | row), (B, Z) each."""
        shown = nn.functional.dropout(nn.functional.normalize(rows), dropout)
        mean, log_variance = self.encoder_(shown).chunk(2, dim=1)
        return mean, log_variance

    def _descend(self, x: np.ndarray, judge: Judge | None) -> None:
        modules = nn.ModuleList([self.encoder_, self.decoder_])
        rng, best, waited, kept = np.random.default_rng(self.seed), -np.inf, 0, None
        for _ in range(self.epochs):
            self._epoch(x, rng)
            value = judge(self.score) if judge else np.inf
            if value > best or not judge:
                best, waited, kept = value, 0, copy.deepcopy(modules.state_dict())
            else:
                waited += 1
            if waited >= self.patience:
                break
        modules.load_state_dict(kept or modules.state_dict())

    def _rows(self, x: np.ndarray, rng: np.random.Generator) -> Iterator[Tensor]:
        order = rng.permutation(len(x))
        for i in range(0, len(x), self.batch):
            yield torch.from_numpy(x[order[i : i + self.batch]])

    def _epoch(self, x: np.ndarray, rng: np.random.Generator) -> None:
        """Minus the evidence bound, beta annealed from 0 (equation 6)."""
        for rows in self._rows(x, rng):
            self._steps += 1
            mean, log_variance = self._encoded(rows, self.dropout)
            z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
            likelihood = (rows * self.decoder_(z).log_softmax(dim=1)).sum(dim=1).mean()
            kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
            self._optimizer.zero_grad()
            (min(self.beta, self._steps / 5000) * kl - likelihood).backward()
            self._optimizer.step()


class RecVae(MultVae):
    """RecVAE (Shenbin et al. 2020, WSDM): dense encoder, composite prior, a KL weight per person, alternating updates.

    gamma: weight of the KL term per item of a person (equation 12).   encoder_epochs: for each one of the decoder.
    """

    def __init__(self, gamma: float = 0.005, learning_rate: float = 5e-4, encoder_epochs: int = 3, **others) -> None:
        super().__init__(learning_rate=learning_rate, **others)
        self.gamma, self.encoder_epochs = gamma, encoder_epochs

    def _build(self, n: int) -> None:
        self.encoder_, self.decoder_ = DenseEncoder(n, self.hidden, self.latent), nn.Linear(self.latent, n)
        nn.init.xavier_uniform_(self.decoder_.weight)
        self._old: nn.Module = copy.deepcopy(self.encoder_)
        self._optimizers = [
            torch.optim.Adam(part.parameters(), lr=self.learning_rate) for part in (self.encoder_, self.decoder_)
        ]

    def _epoch(self, x: np.ndarray, rng: np.random.Generator) -> None:
        """The encoder with noise in its input, pulled to the encoder of the epoch before; then the decoder without."""
        for _ in range(self.encoder_epochs):
            self._pass(x, rng, self._optimizers[0], self.dropout)
        self._old = copy.deepcopy(self.encoder_)
        self._pass(x, rng, self._optimizers[1], 0.0)

    def _pass(self, x: np.ndarray, rng: np.random.Generator, optimizer: torch.optim.Optimizer, dropout: float) -> None:
        for rows in self._rows(x, rng):
            mean, log_variance = self._encoded(rows, dropout)
            z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
            likelihood = (rows * self.decoder_(z).log_softmax(dim=1)).sum(dim=1)
            kl = (_log_normal(z, mean, log_variance) - self._log_prior(z, rows)).sum(dim=1)
            for each in self._optimizers:
                each.zero_grad()
            (self.gamma * rows.sum(dim=1) * kl - likelihood).mean().backward()
            optimizer.step()

    def _log_prior(self, z: Tensor, rows: Tensor) -> Tensor:
        """.15 standard normal + .75 the encoder before + .1 a wide normal, per coordinate, (B, Z)."""
        with torch.no_grad():
            mean, log_variance = self._old(nn.functional.normalize(rows)).chunk(2, dim=1)
        zero = torch.zeros(())
        parts = [
            math.log(0.15) + _log_normal(z, zero, zero),
            math.log(0.75) + _log_normal(z, mean, log_variance),
            math.log(0.10) + _log_normal(z, zero, zero + 10.0),
        ]
        return torch.stack(parts).logsumexp(dim=0)


class DenseEncoder(nn.Module):
    """Five layers, each fed by the sum of all before it, swish and layer norm (figure 2b)."""

    def __init__(self, n: int, hidden: int, latent: int, depth: int = 5) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(n if i == 0 else hidden, hidden) for i in range(depth)])
        self.norms = nn.ModuleList([nn.LayerNorm(hidden, eps=0.1) for _ in range(depth)])
        self.out = nn.Linear(hidden, 2 * latent)

    def forward(self, rows: Tensor) -> Tensor:
        """(B, N) to (B, 2 Z)."""
        before = torch.zeros(())
        hidden = rows
        for layer, norm in zip(self.layers, self.norms, strict=True):
            hidden = norm(nn.functional.silu(layer(hidden) + before))
            before = before + hidden
        return self.out(hidden)


def _log_normal(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    return -0.5 * ((x - mean) ** 2 / log_variance.exp() + log_variance + math.log(math.tau))
