"""The network of the attention VAE, and what it is trained to make small.

    logits = bias + tau * standardised EASE + repeat term + context x activity + gain * z.k        (decoder)
    z ~ q(z | history, context);  prior p(z | context) a mixture of Gaussians: a new person is the prior
    loss = multinomial -log p(targets) + beta_u KL(q || p) + squared error of the reward / (2 noise^2)

Shapes:  B moments in the batch   L deliveries in a history   N activities   A attributes   D key width
         Z latent width   C context columns   M mixture parts   R repeat features   F token features

Everything in the logits but the last term is linear and stands on its own; the gain starts at zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recommender.context import RANKING_BLOCKS, columns_of
from recommender.reward import RewardConfig

TOKEN_FEATURES = 7  # completed, said so; helpfulness, said so; mood change, said so; gap to the delivery before
REPEAT_FEATURES = ("delivered", "completed", "helpfulness", "recency")
EMOTION, SENSING = columns_of(["emotion"]), columns_of(["sensing"])
FED = columns_of(RANKING_BLOCKS)  # columns that reach scores; `sensing` only scales the emotion among them


@dataclass(frozen=True)
class VaeConfig:
    """Hyper-parameters.

    regularisation: EASE's lambda.   popularity: how far it grows with an item's popularity (`linear.ease_weights`).
    keep: share of a table's row shown as input while its whole is the target.
    beta: weight of the KL term per target.   weight_clip: largest inverse propensity.
    attention: pool the history by the present context; off, by its mean.
    trust_gate: scale the emotion by a learned function of how it was sensed.
    deep: train the latent part at all.   significance: level of the paired test that lets it stay.
    """

    latent: int = 16
    width: int = 32
    mixture: int = 4
    history_length: int = 64
    regularisation: float = 20.0
    popularity: float = 0.0
    keep: float = 0.5
    beta: float = 0.01
    id_dropout: float = 0.2
    modality_dropout: float = 0.2
    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    batch: int = 256
    epochs: int = 30
    patience: int = 8
    weight_clip: float = 10.0
    reward_weight: float = 0.5
    attention: bool = True
    trust_gate: bool = True
    deep: bool = True
    significance: float = 0.05
    reward: RewardConfig = RewardConfig()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VaeConfig:
        return cls(**{**values, "reward": RewardConfig.from_dict(values.get("reward", {}))})


@dataclass
class Items:
    """The activities to score: attributes (N, A), ids (N,), equal to the number of known ids where unknown."""

    attributes: Tensor
    ids: Tensor


@dataclass
class Batch:
    """Moments as tensors.

    activity: (B, L) known ids, padded.   features: (B, L, F).   age_days: (B, L) since each delivery.
    seen: (B, L) bool, False where padded.   context: (B, C).   linear: (B, N) standardised EASE scores.
    repeat: (B, N, R).
    table: (B, N known) of 0 and 1 where histories have neither times nor outcomes; then L is 0.
    """

    activity: Tensor
    features: Tensor
    age_days: Tensor
    seen: Tensor
    context: Tensor
    linear: Tensor
    repeat: Tensor
    table: Tensor | None = None

    @property
    def known(self) -> Tensor:
        """(B,) bool: people with any history."""
        return self.seen.any(dim=1) if self.table is None else self.table.any(dim=1)


@dataclass
class Targets:
    """weights: (B, N) of each target.   closed: (B, N) bool, not to be predicted.   activity, reward: (B,)."""

    weights: Tensor
    closed: Tensor | None = None
    activity: Tensor | None = None
    reward: Tensor | None = None


class Network(nn.Module):
    """All learned parts except EASE and the reward head. n_context 0: a model without a context block."""

    def __init__(self, config: VaeConfig, n_ids: int, n_attributes: int, n_context: int) -> None:
        super().__init__()
        d, z, m = config.width, config.latent, config.mixture
        self.config, self.n_ids, self.n_context = config, n_ids, n_context
        self.tau = nn.Parameter(torch.ones(()))
        self.bias = nn.Embedding(n_ids + 1, 1, padding_idx=n_ids)
        self.attribute_bias = nn.Linear(n_attributes, 1, bias=False)
        self.repeat = nn.Linear(len(REPEAT_FEATURES), 1, bias=False)
        fed = len(FED) if n_context else 0
        self.context_activity = nn.Parameter(torch.zeros(fed, n_attributes))
        self.trust = nn.Linear(len(SENSING), 1)
        self.own_key = nn.Embedding(n_ids + 1, d, padding_idx=n_ids)
        self.attribute_key = nn.Linear(n_attributes, d, bias=False)
        self.token, self.outcome = nn.Linear(TOKEN_FEATURES, d), nn.Linear(TOKEN_FEATURES, d)
        self.context_in = nn.Parameter(torch.randn(fed, d) / math.sqrt(max(fed, 1)))
        self.present_bias = nn.Parameter(torch.zeros(d))
        self.query, self.attend, self.no_history = nn.Linear(d, d), nn.Linear(d, d), nn.Parameter(torch.zeros(d))
        self.decay = nn.Parameter(torch.zeros(()))
        posterior = nn.Linear(2 * d, 2 * z)
        self.encoder = nn.Sequential(nn.Linear(2 * d, 2 * d), nn.GELU(), posterior)
        self.prior = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, m * (2 * z + 1)))
        self.decode = nn.Linear(z, d)
        self.rate = nn.Linear(d, 1)
        self.gain = nn.Parameter(torch.zeros(()))
        for layer in (self.bias, self.attribute_bias, self.repeat):
            nn.init.zeros_(layer.weight)
        with torch.no_grad():
            self.own_key.weight.mul_(0.1)
            self.own_key.weight[n_ids] = 0.0
            posterior.bias[z:] = -3.0  # begin almost without noise, or the gain learns to stay at zero

    @property
    def linear_parameters(self) -> list[nn.Parameter]:
        layers = (self.bias, self.attribute_bias, self.repeat, self.trust)
        return [self.tau, self.context_activity, *(p for layer in layers for p in layer.parameters())]

    @property
    def deep_parameters(self) -> list[nn.Parameter]:
        """All others: the linear parts stay as they were accepted."""
        linear = {id(p) for p in self.linear_parameters}
        return [p for p in self.parameters() if id(p) not in linear]

    def fed(self, context: Tensor) -> Tensor:
        """The columns that reach scores, (B, C'), the emotion scaled by how far its sensing is trusted."""
        if not self.n_context:
            return context[:, :0]
        if self.config.trust_gate:
            scaled = context[:, EMOTION] * 2 * torch.sigmoid(self.trust(context[:, SENSING]))
            context = context.index_copy(1, torch.tensor(EMOTION), scaled)
        return context[:, FED]

    def linear_parts(self, batch: Batch, items: Items) -> dict[str, Tensor]:
        """Named parts of the linear logits, each (B, N) or (1, N)."""
        own = _dropped(self.bias(items.ids), self.config.id_dropout, self.training)
        tastes = self.context_activity @ items.attributes.T  # (C', N)
        return {
            "bias": (own + self.attribute_bias(items.attributes)).T,
            "linear": self.tau * batch.linear,
            "repeat": self.repeat(batch.repeat).squeeze(-1),
            "context": self.fed(batch.context) @ tastes,
        }

    def keys(self, items: Items) -> Tensor:
        """k_i = P attributes_i + e_i, (N, D); e_i is dropped at random so that P must carry what it can."""
        own = _dropped(self.own_key(items.ids), self.config.id_dropout, self.training)
        return self.attribute_key(items.attributes) + own

    def pool(self, batch: Batch, tokens: Tensor, present: Tensor) -> Tensor:
        """Pool the history by what matters now, (B, D).  tokens: (B, L, D), present: (B, D)."""
        none = self.no_history.expand(len(tokens), 1, -1)
        tokens = torch.cat([none, tokens], dim=1)  # (B, 1+L, D)
        seen = torch.cat([torch.ones_like(batch.seen[:, :1]), batch.seen], dim=1)
        if self.config.attention:
            age = torch.cat([torch.zeros_like(batch.age_days[:, :1]), batch.age_days], dim=1)
            scores = (self.query(present).unsqueeze(1) * self.attend(tokens)).sum(-1) / math.sqrt(tokens.shape[-1])
            scores = scores - nn.functional.softplus(self.decay) * torch.log1p(age)  # older counts less
            weights = scores.masked_fill(~seen, -torch.inf).softmax(dim=1)
        else:
            weights = seen / seen.sum(dim=1, keepdim=True)
        return (weights.unsqueeze(-1) * tokens).sum(dim=1)

    def pool_table(self, table: Tensor, known_keys: Tensor, present: Tensor) -> Tensor:
        """The same where nothing but the activities is known, (B, D): a token's weight is then that of its activity.

        table: (B, N) of 0 and 1.   present: (B, D), its rows equal, as there is no context. The weights of a row have
        length one: a mean over hundreds of films would leave nothing to tell people apart by.
        """
        blank = torch.zeros(TOKEN_FEATURES, dtype=known_keys.dtype)
        tokens = torch.cat([known_keys * self.outcome(blank) + self.token(blank), self.no_history[None]])  # (N+1, D)
        weights = torch.ones_like(tokens[:, 0])
        if self.config.attention and len(present):
            scores = self.attend(tokens) @ self.query(present[0]) / math.sqrt(tokens.shape[-1])
            weights = (scores - scores.max().detach()).exp()
        counted = torch.cat([table, torch.ones_like(table[:, :1])], dim=1) * weights  # (B, N+1)
        return counted @ tokens / counted.norm(dim=1, keepdim=True)

    def encode(self, batch: Batch, known_keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean and log variance of q(z | history, context), (B, Z) each, and the present, (B, D)."""
        present = self.fed(batch.context) @ self.context_in + self.present_bias
        if batch.table is not None:
            pooled = self.pool_table(batch.table, known_keys, present)
        else:
            padded = torch.cat([known_keys, torch.zeros_like(known_keys[:1])])  # the last row is an unknown activity
            tokens = padded[batch.activity] * self.outcome(batch.features) + self.token(batch.features)  # what x how
            pooled = self.pool(batch, tokens, present)
        hidden = self.encoder(torch.cat([pooled, present], dim=1))
        mean, log_variance = hidden.chunk(2, dim=1)
        return mean, log_variance.clamp(-6, 2), present

    def prior_parts(self, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mixture log weights (B, M), means (B, M, Z) and log variances (B, M, Z) of p(z | context)."""
        z, m = self.config.latent, self.config.mixture
        out = self.prior(present)
        means, log_variances = out[:, m:].reshape(len(out), m, 2 * z).chunk(2, dim=2)
        return out[:, :m].log_softmax(dim=1), means, log_variances.clamp(-4, 2)

    def expected_z(self, batch: Batch, known_keys: Tensor) -> Tensor:
        """Mean of q where there is a history, of the prior where there is none, (B, Z)."""
        mean, _, present = self.encode(batch, known_keys)
        log_weights, means, _ = self.prior_parts(present)
        new = (log_weights.exp().unsqueeze(-1) * means).sum(dim=1)
        return torch.where(batch.known.unsqueeze(1), mean, new)

    def sampled_z(self, batch: Batch, known_keys: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One draw from q (from the prior's mean without history) and its KL estimate, (B, Z) and (B,)."""
        mean, log_variance, present = self.encode(batch, known_keys)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        z = mean + noise * (log_variance / 2).exp()
        log_q = _log_normal(z, mean, log_variance)
        log_weights, means, log_variances = self.prior_parts(present)
        log_p = torch.logsumexp(log_weights + _log_normal(z.unsqueeze(1), means, log_variances), dim=1)
        new = (log_weights.exp().unsqueeze(-1) * means).sum(dim=1)
        known = batch.known
        return torch.where(known.unsqueeze(1), z, new), torch.where(known, log_q - log_p, torch.zeros_like(log_q))

    def logits(self, batch: Batch, items: Items, known: Items) -> dict[str, Tensor]:
        """Named parts of the logits, each (B, N) or (1, N); known: the activities that histories are made of."""
        parts = self.linear_parts(batch, items)
        if self.gain.item() != 0.0:
            z = self.expected_z(batch, self.keys(known))
            parts["latent"] = self.latent_part(z, self.keys(items))
        return parts

    def loss(self, batch: Batch, targets: Targets, items: Items, noise: torch.Generator, deep: bool) -> Tensor:
        """Multinomial negative log-likelihood per target + beta_u KL + reward error.

        A person with more targets weighs the KL term by their number, as the likelihood does (RecVAE, eq. 12).
        """
        parts = self.linear_parts(batch, items)
        logits = parts["bias"] + parts["linear"] + parts["repeat"] + parts["context"]
        kl, rate = torch.zeros(()), torch.zeros(())
        if deep:
            keys = self.keys(items)
            z, kl = self.sampled_z(batch, keys, noise)
            logits = logits + self.latent_part(z, keys)
            if targets.reward is not None:
                guess = self.rate(self.decode(z) * keys[targets.activity]).squeeze(-1)
                rate = ((guess - targets.reward) ** 2).sum() / (2 * self.config.reward.noise**2)
        logits = logits.masked_fill(targets.closed, -torch.inf) if targets.closed is not None else logits
        log_p = logits.log_softmax(dim=1)
        likelihood = (targets.weights * torch.where(targets.weights > 0, log_p, torch.zeros_like(log_p))).sum()
        count = targets.weights.sum(dim=1)
        total = -likelihood + self.config.beta * (count * kl).sum() + self.config.reward_weight * rate
        return total / count.sum().clamp(min=1.0)

    def latent_part(self, z: Tensor, keys: Tensor) -> Tensor:
        """gain * z.k, (B, N)."""
        return self.gain * self.decode(z) @ keys.T


def _dropped(rows: Tensor, p: float, training: bool) -> Tensor:
    """Drop whole rows at random while training."""
    if not training or p <= 0:
        return rows
    return rows * (torch.rand(len(rows), 1) >= p)


def _log_normal(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    return (-0.5 * ((x - mean) ** 2 / log_variance.exp() + log_variance + math.log(math.tau))).sum(-1)
