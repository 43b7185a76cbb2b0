"""Attention VAE over activity histories: the whole model in one file.

    logits = bias + tau * standardised EASE + repeat term + context x activity + gain * z.k        (decoder)
    z ~ q(z | history, context);  prior p(z | context) a mixture of Gaussians: a new person is the prior

Shapes:  B moments in the batch   L deliveries in a history   N activities   A attributes   D key width
         Z latent width   C context columns   M mixture parts   R repeat features   F token features

Everything but the last term is linear and stands on its own. The deep part enters through a gain that starts at zero
and stays only if it ranks better for held-out people or times by a paired test: what ships is never worse there than
its linear path. A history without deliveries pools to a learned "no history" token and takes z from the prior.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensor_bytes
from scipy import stats
from torch import Tensor, nn

from recommender.catalogue import Activity, Delivery, attribute_matrix, attribute_names
from recommender.context import COLUMNS, RANKING_BLOCKS, Context, columns_of
from recommender.linear import cross_fitted_weights, ease_weights
from recommender.metrics import ranking_metrics
from recommender.policy import UPDATE_RULES
from recommender.reward import OutcomeModel, PersonalReward, RewardConfig, RewardHead, Row

FORMAT = "recommender-vae/1"
TOKEN_FEATURES = 7  # completed, said so; helpfulness, said so; mood change, said so; gap to the delivery before
REPEAT_FEATURES = ("delivered", "completed", "helpfulness", "recency")
DAY_S = 86_400.0
EMOTION, SENSING = columns_of(["emotion"]), columns_of(["sensing"])
FED = columns_of(RANKING_BLOCKS)  # columns that reach scores; `sensing` only scales the emotion among them


class IncompatibleModel(ValueError):
    """The folder holds no model of this format, or its parts do not belong together."""


class NothingToLearn(ValueError):
    """The histories hold no delivery of a known activity."""


@dataclass(frozen=True)
class VaeConfig:
    """Hyper-parameters.

    regularisation: EASE's lambda.   keep: share of a rating history shown as input, the rest is the target.
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
    keep: float = 0.7
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
        reward = {**values.get("reward", {})}
        if "blocks" in reward:
            reward["blocks"] = tuple(reward["blocks"])
        return cls(**{**values, "reward": RewardConfig(**reward)})


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
    """

    activity: Tensor
    features: Tensor
    age_days: Tensor
    seen: Tensor
    context: Tensor
    linear: Tensor
    repeat: Tensor


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

    def encode(self, batch: Batch, known_keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean and log variance of q(z | history, context), (B, Z) each, and the present, (B, D)."""
        present = self.fed(batch.context) @ self.context_in + self.present_bias
        padded = torch.cat([known_keys, torch.zeros_like(known_keys[:1])])  # the last row is an unknown activity
        tokens = padded[batch.activity] * self.outcome(batch.features) + self.token(
            batch.features
        )  # what x how it went
        hidden = self.encoder(torch.cat([self.pool(batch, tokens, present), present], dim=1))
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
        return torch.where(batch.seen.any(dim=1, keepdim=True), mean, new)

    def sampled_z(self, batch: Batch, known_keys: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One draw from q (from the prior's mean without history) and its KL estimate, (B, Z) and (B,)."""
        mean, log_variance, present = self.encode(batch, known_keys)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        z = mean + noise * (log_variance / 2).exp()
        log_q = _log_normal(z, mean, log_variance)
        log_weights, means, log_variances = self.prior_parts(present)
        log_p = torch.logsumexp(log_weights + _log_normal(z.unsqueeze(1), means, log_variances), dim=1)
        new = (log_weights.exp().unsqueeze(-1) * means).sum(dim=1)
        known = batch.seen.any(dim=1)
        return torch.where(known.unsqueeze(1), z, new), torch.where(known, log_q - log_p, torch.zeros_like(log_q))

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


@dataclass
class _People:
    """Histories end to end, oldest delivery first: person p owns start[p]:start[p + 1].

    activity: (T,) known ids.   features: (T, F).   at_s: (T,).   strength: (T,).   start: (U + 1,).
    """

    activity: np.ndarray
    features: np.ndarray
    at_s: np.ndarray
    strength: np.ndarray
    start: np.ndarray

    def spread(self, first: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return row numbers and positions of `length` deliveries from `first` on for each row, flat."""
        rows = np.repeat(np.arange(len(length)), length)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(length) - length, length)
        return rows, first[rows] + within


@dataclass
class _Moment:
    """A decision moment: the first `length` deliveries of a person, at a time, in a context; and what followed."""

    person: int
    length: int
    at_s: float
    context: np.ndarray
    target: int = -1
    weight: float = 0.0
    reward: float = 0.0
    reward_variance: float = 0.0


@dataclass(frozen=True)
class Ranked:
    """One activity of a ranking; score is a logit of engagement."""

    activity: str
    score: float


class Recommender:
    """Attention VAE with its linear path and a Bayesian reward head.

    After `fit`: report_ says what the validation kept, and with which figures.
    """

    report_: dict[str, Any]
    data_until_: datetime | None  # the last delivery learnt from
    outcomes_: OutcomeModel | None
    reward_head_: RewardHead | None  # None without contexts

    def __init__(self, config: VaeConfig | None = None, seed: int = 0) -> None:
        self.config, self.seed = config or VaeConfig(), seed

    def fit(
        self,
        histories: Sequence[Sequence[Delivery]],
        contexts: Sequence[Sequence[Context]] | None,
        activities: Sequence[Activity],
    ) -> Recommender:
        """Learn from each person's deliveries, oldest first.

        contexts: the moment of each delivery, shaped like `histories`; None for data without contexts, where the
        same model runs with its context block removed and the order of a history does not matter.
        Raises NothingToLearn.
        """
        self._start(activities, with_context=contexts is not None)
        if contexts is None:
            return self._learn_matrix(self._strengths(histories))
        people = self._people(histories)
        moments = self._moments(histories, contexts, people)
        if not moments:
            raise NothingToLearn("no delivery of a known activity")
        self.data_hash_ = _hash_of(histories)
        self.data_until_ = max(delivery.at for history in histories for delivery in history)
        self._reward(histories, moments)
        self._learn_log(people, moments)
        self._learn_rewards(people, moments)
        return self

    def fit_matrix(
        self,
        x: np.ndarray,
        activities: Sequence[Activity],
        shown: np.ndarray | None = None,
        wanted: np.ndarray | None = None,
    ) -> Recommender:
        """Learn from a table of interactions without times or contexts.

        x: (U, N) non-negative strengths.   shown, wanted: (V, N) validation rows, what is given and what should be
        ranked high; without them a tenth of the people is held out, a fifth of whose items are wanted.
        """
        self._start(activities, with_context=False)
        return self._learn_matrix(np.asarray(x, dtype=np.float64), shown, wanted)

    def logits(
        self,
        history: Sequence[Delivery],
        context: Context | None = None,
        activities: Sequence[Activity] | None = None,
        at: datetime | None = None,
    ) -> np.ndarray:
        """Return the engagement logit of each activity, (N,), in the order given (default: the catalogue)."""
        parts = self._parts([(history, context, at)], activities)
        return _total(parts)[0]

    def logits_of_matrix(self, x: np.ndarray, batch: int = 512) -> np.ndarray:
        """Return engagement logits for rows of interactions without times, (U, N)."""
        rows = [self._matrix_logits(x[i : i + batch]) for i in range(0, len(x), batch)]
        return np.concatenate(rows) if rows else np.zeros(x.shape)

    def rank(
        self,
        history: Sequence[Delivery],
        context: Context | None = None,
        activities: Sequence[Activity] | None = None,
        k: int | None = None,
        at: datetime | None = None,
    ) -> list[Ranked]:
        """Return the k activities most likely to be engaged with, best first."""
        names = [activity.id for activity in (self.activities_ if activities is None else activities)]
        scores = self.logits(history, context, activities, at) if names else np.zeros(0)
        order = np.argsort(-scores, kind="stable")[:k]
        return [Ranked(names[i], float(scores[i])) for i in order]

    def score(
        self,
        history: Sequence[Delivery],
        context: Context,
        activities: Sequence[Activity] | None = None,
        in_training: bool = True,
        update_rule: str = "personal",
        at: datetime | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return posterior mean and sd of the reward of each activity, (N,) and (N,): what `policy.decide` takes.

        in_training: the deliveries up to `data_until_` were in the log this model was trained on.
        update_rule: "personal" takes in all other deliveries one by one; "pooled" and "frozen" leave them out.
        at: the moment of the decision; later deliveries are ignored. Without it, the whole history counts.
        """
        person = self._personal(history, in_training, update_rule, at)
        extra = self._engagement(history, context, activities, at)
        return person.score(context.vector(), activities, extra)

    def explain(
        self,
        history: Sequence[Delivery],
        context: Context,
        activity: str,
        activities: Sequence[Activity] | None = None,
        in_training: bool = True,
        update_rule: str = "personal",
        at: datetime | None = None,
    ) -> dict[str, float]:
        """Return named parts whose sum is the activity's `score`, largest share first.

        Names: "past:<activity>" (linear path), "repeat", "bias", "context:<column>" (engagement), "latent" (what the
        deep part adds), "attribute:…", "attribute:…*<column>", "activity:…", "personal:…" and "baseline".
        """
        offered = self.activities_ if activities is None else list(activities)
        index = [a.id for a in offered].index(activity)
        extra = self._engagement(history, context, activities, at)
        person = self._personal(history, in_training, update_rule, at)
        parts = person.explain(context.vector(), index, activities, extra)
        slope = parts.pop("model:engagement", 0.0)
        centred = extra[index, 0] - extra[:, 0].mean()
        if slope and centred:
            coefficient = slope / centred / self.logit_scale_
            for name, values in self._named_logits(history, context, activities, at).items():
                value = float(coefficient * (values[index] - values.mean()))
                if value:
                    parts[name] = parts.get(name, 0.0) + value
        return dict(sorted(parts.items(), key=lambda pair: -abs(pair[1])))

    def save(self, folder: str | Path) -> Path:
        """Write `model.safetensors` and `card.json`, each beside and renamed; returns the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"network.{name}": value for name, value in self.network_.state_dict().items()}
        tensors["ease.weights"] = torch.from_numpy(self.ease_)
        if self.reward_head_ is not None:
            for name, array in self.reward_head_.arrays().items():
                tensors[name] = torch.from_numpy(np.ascontiguousarray(array))
        data = tensor_bytes({name: value.contiguous() for name, value in tensors.items()})
        _write(folder / "model.safetensors", data)
        _write(folder / "card.json", (json.dumps(self.card(data), indent=1, sort_keys=True) + "\n").encode())
        return folder

    def card(self, data: bytes) -> dict[str, Any]:
        """Everything about the model that is not a tensor; data: the bytes of the tensor file."""
        return {
            "format": FORMAT,
            "config": asdict(self.config),
            "seed": self.seed,
            "activities": [{**asdict(a), "tags": list(a.tags)} for a in self.activities_],
            "columns": list(COLUMNS) if self.with_context_ else [],
            "data_hash": self.data_hash_,
            "data_until": self.data_until_.isoformat() if self.data_until_ else None,
            "logit_scale": self.logit_scale_,
            "outcomes": self.outcomes_.to_dict() if self.outcomes_ else None,
            "report": self.report_,
            "tensors_sha256": hashlib.sha256(data).hexdigest(),
        }

    @classmethod
    def load(cls, folder: str | Path) -> Recommender:
        """Read what `save` wrote; raises IncompatibleModel for anything else."""
        folder = Path(folder)
        try:
            card = json.loads((folder / "card.json").read_text())
            data = (folder / "model.safetensors").read_bytes()
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise IncompatibleModel(f"{folder} holds no model: {error}") from error
        if not isinstance(card, dict) or card.get("format") != FORMAT:
            raise IncompatibleModel(f"{folder} is not of format {FORMAT}")
        if hashlib.sha256(data).hexdigest() != card.get("tensors_sha256"):
            raise IncompatibleModel(f"{folder}: the tensors are not those of the card")
        if card["columns"] and card["columns"] != list(COLUMNS):
            raise IncompatibleModel(f"{folder}: the model was trained on other context columns")
        model = cls(VaeConfig.from_dict(card["config"]), card["seed"])
        model._restore(card, load_tensors(data))
        return model

    def _restore(self, card: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        activities = [Activity(**{**a, "tags": tuple(a["tags"])}) for a in card["activities"]]
        self._start(activities, with_context=bool(card["columns"]))
        prefix = "network."
        self.network_.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
        self.network_.eval()
        self.ease_ = tensors["ease.weights"].numpy()
        self.report_ = card["report"]
        self.data_hash_, self.logit_scale_ = card["data_hash"], card["logit_scale"]
        self.data_until_ = datetime.fromisoformat(card["data_until"]) if card["data_until"] else None
        if card["outcomes"]:
            self.outcomes_ = OutcomeModel.from_dict(card["outcomes"])
            self.reward_head_ = RewardHead(activities, self.config.reward, ["engagement"])
            self.reward_head_.load_arrays({k: v.numpy() for k, v in tensors.items() if k.startswith("reward.")})

    def _start(self, activities: Sequence[Activity], with_context: bool) -> None:
        if not activities or len({a.id for a in activities}) < len(activities):
            raise ValueError("activities must be there and have ids that differ")
        self.activities_ = list(activities)
        self.with_context_ = with_context
        self.place_ = {activity.id: i for i, activity in enumerate(self.activities_)}
        self.attribute_names_ = attribute_names(self.activities_) or ("",)
        # in double precision an explanation adds up to its score to the last digits; film ratings need no explanation
        self.dtype_ = torch.float64 if with_context else torch.float32
        self.items_ = self._items(None)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            n_context = len(COLUMNS) if with_context else 0
            network = Network(self.config, len(self.activities_), len(self.attribute_names_), n_context)
        self.network_ = network.to(self.dtype_)
        self.ease_ = np.zeros((len(self.activities_),) * 2)
        self.report_ = {}
        self.data_hash_, self.logit_scale_ = "", 1.0
        self.data_until_ = None
        self.outcomes_ = None
        self.reward_head_ = None

    def _items(self, activities: Sequence[Activity] | None) -> Items:
        activities = self.activities_ if activities is None else activities
        ids = [self.place_.get(activity.id, len(self.place_)) for activity in activities]
        attributes = attribute_matrix(activities, self.attribute_names_)
        return Items(self._tensor(attributes), torch.tensor(ids, dtype=torch.long))

    def _people(self, histories: Sequence[Sequence[Delivery]]) -> _People:
        if any(a.at > b.at for history in histories for a, b in zip(history, history[1:], strict=False)):
            raise ValueError("a history must run from the oldest delivery to the newest")
        flat = [delivery for history in histories for delivery in history]
        at = np.array([delivery.at.timestamp() for delivery in flat], dtype=float)
        start = np.cumsum([0, *map(len, histories)])
        gaps = np.diff(at, prepend=at[:1]) / DAY_S
        gaps[start[:-1][start[:-1] < len(flat)]] = 0.0
        return _People(
            np.array([self.place_.get(d.activity, len(self.place_)) for d in flat], dtype=np.int64),
            np.array([_token(d, gap) for d, gap in zip(flat, gaps, strict=True)]).reshape(-1, TOKEN_FEATURES),
            at,
            np.array([_strength(delivery) for delivery in flat], dtype=float),
            start,
        )

    def _moments(self, histories, contexts, people: _People) -> list[_Moment]:
        """Every delivery of a known activity as a moment whose past is known; oldest first within a person."""
        moments = []
        for p, (history, moods) in enumerate(zip(histories, contexts, strict=True)):
            for i, (delivery, context) in enumerate(zip(history, moods, strict=True)):
                if delivery.activity not in self.place_:
                    continue
                place = people.start[p] + i
                weight = people.strength[place] * min(1 / (delivery.probability or 1.0), self.config.weight_clip)
                target, at_s = self.place_[delivery.activity], people.at_s[place]
                moments.append(_Moment(p, i, at_s, context.vector(), target, weight))
        return moments

    def _strengths(self, histories: Sequence[Sequence[Delivery]]) -> np.ndarray:
        x = np.zeros((len(histories), len(self.activities_)))
        for row, history in zip(x, histories, strict=True):
            for delivery in history:
                if delivery.activity in self.place_:
                    row[self.place_[delivery.activity]] += _strength(delivery)
        return x

    def _matrix_of(self, people: _People, until_s: float) -> np.ndarray:
        """X_ui = sum of completion x (helpfulness or 1) before a time, (U, N)."""
        n, users = len(self.activities_), len(people.start) - 1
        owner = np.repeat(np.arange(users), np.diff(people.start))
        past = people.at_s < until_s
        x = np.zeros((users, n + 1))
        np.add.at(x, (owner[past], people.activity[past]), people.strength[past])
        return x[:, :n]

    def _learn_log(self, people: _People, moments: list[_Moment]) -> None:
        """Train on the first four fifths of the time, judge on the last, then refit EASE on all of it."""
        cut = float(np.quantile([m.at_s for m in moments], 0.8)) if len(moments) > 4 else math.inf
        past = self._matrix_of(people, cut)
        fold, crossed = cross_fitted_weights(past, self.config.regularisation, self.seed)
        self.ease_ = ease_weights(past.T @ past, self.config.regularisation)
        train = [m for m in moments if m.at_s < cut]
        held_out = [m for m in moments if m.at_s >= cut and m.weight > 0]

        def batches(rng: np.random.Generator):
            for chosen in _chunks(rng.permutation(len(train)), self._batch_size(len(train))):
                part = [train[i] for i in chosen]
                batch = self._batch(people, part, crossed, fold[[m.person for m in part]])
                yield self._with_modality_dropout(batch, rng), _targets(part, len(self.activities_))

        parts = [[held_out[i] for i in chosen] for chosen in _chunks(np.arange(len(held_out)), 1024)]
        judged = [(part, self._batch(people, part, self.ease_)) for part in parts]

        def judge() -> np.ndarray:
            return self._ndcg_of_moments(judged)

        self._train(batches, judge, len(train))
        full = self._matrix_of(people, math.inf)
        self.ease_ = ease_weights(full.T @ full, self.config.regularisation)

    def _learn_matrix(self, x: np.ndarray, shown=None, wanted=None) -> Recommender:
        """Train on random shares of each row, judge on the validation rows."""
        if not (x > 0).any():
            raise NothingToLearn("no interaction")
        self.data_hash_ = hashlib.sha256(x.tobytes()).hexdigest()
        fitted = x
        if shown is None or wanted is None:
            fitted, shown, wanted = _hold_out_people(x, np.random.default_rng(self.seed))
        judged = (wanted > 0).any(axis=1)
        shown, wanted = np.asarray(shown, dtype=float)[judged], wanted[judged] > 0
        fold, crossed = cross_fitted_weights(fitted, self.config.regularisation, self.seed)
        self.ease_ = ease_weights(fitted.T @ fitted, self.config.regularisation)
        rows = np.flatnonzero((fitted > 0).sum(axis=1) > 1)

        def batches(rng: np.random.Generator):
            for chosen in _chunks(rng.permutation(rows), self._batch_size(len(rows))):
                kept = fitted[chosen] * (rng.random((len(chosen), x.shape[1])) < self.config.keep)
                scores = _by_fold(kept, crossed, fold[chosen])
                target = (fitted[chosen] > 0) & (kept == 0)
                yield self._matrix_batch(kept, scores, rng), _matrix_targets(target, kept > 0)

        def judge() -> np.ndarray:
            k = min(100, x.shape[1])
            return ranking_metrics(self.logits_of_matrix(shown), shown > 0, wanted, ks=(k,))["ndcg", k]

        self._train(batches, judge, len(rows))
        self.ease_ = ease_weights(x.T @ x, self.config.regularisation)
        return self

    def _train(self, batches, judge, examples: int) -> None:
        """Three nested models, each kept only if held-out ranking says so: EASE, all linear parts, all parts."""
        network, config = self.network_, self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            start = _state(network)
            base = judge()
            self._descend(network.linear_parameters, batches, judge, deep=False)
            linear = judge()
            if linear.size and linear.mean() < base.mean():
                network.load_state_dict(start)
                linear = base
            kept, deep, p = _state(network), linear, 1.0
            if config.deep and linear.size > 4:
                with torch.no_grad():
                    network.gain.fill_(0.0)
                self._descend(network.deep_parameters, batches, judge, deep=True)
                deep = judge()
                p = _paired_p(deep, linear)
            stays = bool(p < config.significance)
            if not stays:
                network.load_state_dict(kept)
        network.eval()
        self.report_ = {
            "examples": examples,
            "judged": int(base.size),
            "ndcg_ease": _mean(base),
            "ndcg_linear": _mean(linear),
            "ndcg_deep": _mean(deep),
            "deep_p": p,
            "deep_stays": stays,
        }

    def _batch_size(self, examples: int) -> int:
        """At least twenty steps per epoch, where the data are that many."""
        return int(np.clip(examples // 20, 16, self.config.batch))

    def _descend(self, parameters: list[nn.Parameter], batches, judge, deep: bool) -> None:
        """AdamW with early stopping by the held-out ranking; ends at the best epoch."""
        network, config = self.network_, self.config
        optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        rng, noise = np.random.default_rng([self.seed, deep]), torch.Generator().manual_seed(self.seed)
        best, best_state, waited = _mean(judge()) or 0.0, _state(network), 0
        for _ in range(config.epochs):
            network.train()
            for batch, targets in batches(rng):
                loss = self._loss(batch, targets, noise, deep)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
            network.eval()
            value = _mean(judge())
            if value is None:  # nothing to judge by: a fixed number of passes
                best_state = _state(network)
            elif value > best:
                best, best_state, waited = value, _state(network), 0
            else:
                waited += 1
            if waited >= config.patience:
                break
        network.load_state_dict(best_state)

    def _loss(self, batch: Batch, targets: _Targets, noise: torch.Generator, deep: bool) -> Tensor:
        """Multinomial negative log-likelihood per target + beta_u KL + reward error.

        A person with more targets weighs the KL term by their number, as the likelihood does (RecVAE, eq. 12).
        """
        network = self.network_
        parts = network.linear_parts(batch, self.items_)
        logits = parts["bias"] + parts["linear"] + parts["repeat"] + parts["context"]
        kl, rate = torch.zeros(()), torch.zeros(())
        if deep:
            keys = network.keys(self.items_)
            z, kl = network.sampled_z(batch, keys, noise)
            logits = logits + network.latent_part(z, keys)
            if targets.reward is not None:
                guess = network.rate(network.decode(z) * keys[targets.activity]).squeeze(-1)
                rate = ((guess - targets.reward) ** 2).sum() / (2 * self.config.reward.noise**2)
        logits = logits.masked_fill(targets.closed, -torch.inf) if targets.closed is not None else logits
        log_p = logits.log_softmax(dim=1)
        likelihood = (targets.weights * torch.where(targets.weights > 0, log_p, torch.zeros_like(log_p))).sum()
        count = targets.weights.sum(dim=1)
        total = -likelihood + self.config.beta * (count * kl).sum() + self.config.reward_weight * rate
        return total / count.sum().clamp(min=1.0)

    def _batch(self, people: _People, moments: Sequence[_Moment], ease, fold=None, items=None) -> Batch:
        """ease: (N, N), or (F, N, N) with the fold of each moment, (B,)."""
        b, n = len(moments), len(self.activities_)
        length = np.array([m.length for m in moments], dtype=np.int64)
        first = people.start[[m.person for m in moments]]
        now = np.array([m.at_s for m in moments])
        raw, repeat = self._linear_inputs(people, first, length, now)
        raw = _by_fold(raw[:, :n], ease, np.zeros(b, dtype=int) if fold is None else fold)
        linear = np.append(_standardised(raw), np.zeros((b, 1)), axis=1)
        repeat[:, n] = 0.0  # an activity outside the catalogue has no past
        ids = np.arange(n) if items is None else items.ids.numpy()
        activity, features, age, seen = self._tokens(people, first, length, now)
        return Batch(
            torch.from_numpy(activity),
            self._tensor(features),
            self._tensor(age),
            torch.from_numpy(seen),
            self._tensor(np.array([m.context for m in moments])),
            self._tensor(linear[:, ids]),
            self._tensor(repeat[:, ids]),
        )

    def _linear_inputs(self, people: _People, first, length, now) -> tuple[np.ndarray, np.ndarray]:
        """Strengths (B, N+1) and repeat features (B, N+1, R) of each moment's past; last column: unknown ids."""
        b, n = len(length), len(self.activities_) + 1
        rows, at = people.spread(first, length)
        activity, features = people.activity[at], people.features[at]
        x, repeat = np.zeros((b, n)), np.zeros((b, n, len(REPEAT_FEATURES)))
        np.add.at(x, (rows, activity), people.strength[at])
        repeat[rows, activity, 0] = 1.0  # of equal places the last assignment, the latest delivery, stays
        repeat[rows, activity, 1] = (2 * features[:, 0] - 1) * features[:, 1]  # done 1, not -1, never heard 0
        repeat[rows, activity, 2] = features[:, 2]
        repeat[rows, activity, 3] = np.exp(-np.maximum(now[rows] - people.at_s[at], 0) / DAY_S / 3)
        return x, repeat

    def _tokens(self, people: _People, first, length, now):
        """The last L deliveries of each moment: ids (B, L), features (B, L, F), age in days and seen (B, L)."""
        kept = np.minimum(length, self.config.history_length)
        b, width = len(length), max(int(kept.max(initial=0)), 1)
        rows, at = people.spread(first + length - kept, kept)
        column = np.arange(len(rows)) - np.repeat(np.cumsum(kept) - kept, kept)
        activity = np.full((b, width), len(self.activities_), dtype=np.int64)
        features, age = np.zeros((b, width, TOKEN_FEATURES)), np.zeros((b, width))
        seen = np.zeros((b, width), dtype=bool)
        activity[rows, column], features[rows, column] = people.activity[at], people.features[at]
        age[rows, column] = np.maximum(now[rows] - people.at_s[at], 0) / DAY_S
        seen[rows, column] = True
        return activity, features, age, seen

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, dtype=self.dtype_)

    def _matrix_batch(self, x: np.ndarray, scores: np.ndarray, rng: np.random.Generator | None) -> Batch:
        """Rows without times: up to L of their items as tokens, chosen at random while training."""
        order = x if rng is None else x * rng.random(x.shape)
        length = max(1, min(self.config.history_length, int((x > 0).sum(axis=1).max(initial=1))))
        tokens = np.argsort(-order, axis=1, kind="stable")[:, :length]
        seen = np.take_along_axis(x, tokens, axis=1) > 0
        b, n = x.shape
        return Batch(
            torch.from_numpy(np.where(seen, tokens, n)),
            torch.zeros(b, length, TOKEN_FEATURES),
            torch.zeros(b, length),
            torch.from_numpy(seen),
            torch.zeros(b, 0),
            self._tensor(_standardised(scores)),
            torch.zeros(b, n, len(REPEAT_FEATURES)),
        )

    def _with_modality_dropout(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Some check-ins are taken away, so that the model can do without them."""
        missing = torch.from_numpy(rng.random(len(batch.context)) < self.config.modality_dropout)
        context = batch.context.clone()
        empty = self._tensor(Context().vector())
        columns = torch.tensor(EMOTION + SENSING)
        context[missing.nonzero(), columns] = empty[columns]
        return replace(batch, context=context)

    @torch.no_grad()
    def _all_parts(self, batch: Batch, items: Items) -> dict[str, np.ndarray]:
        parts = self.network_.linear_parts(batch, items)
        if self.network_.gain.item() != 0.0:
            z = self.network_.expected_z(batch, self.network_.keys(self.items_))
            parts["latent"] = self.network_.latent_part(z, self.network_.keys(items))
        b, n = len(batch.context), len(items.ids)
        return {name: part.double().numpy() * np.ones((b, n)) for name, part in parts.items()}

    def _asked(self, asked) -> tuple[_People, list[_Moment]]:
        """Moments of (history, context, at) triples; without `at`, the last delivery's."""
        people = self._people([history for history, _, _ in asked])
        moments = []
        for p, (_, context, at) in enumerate(asked):
            past = people.at_s[people.start[p] : people.start[p + 1]]
            at_s = at.timestamp() if at else float(past.max(initial=0.0))
            length = int((past <= at_s).sum())
            moments.append(_Moment(p, length, at_s, (context or Context()).vector()))
        return people, moments

    def _parts(self, asked, activities: Sequence[Activity] | None) -> dict[str, np.ndarray]:
        """Parts of the logits for (history, context, at) triples, each (B, N)."""
        items = self._items(activities)
        people, moments = self._asked(asked)
        return self._all_parts(self._batch(people, moments, self.ease_, items=items), items)

    def _named_logits(self, history, context, activities, at) -> dict[str, np.ndarray]:
        """Parts of one moment's logits with the linear path split by past activity and the context by column."""
        parts = {name: part[0] for name, part in self._parts([(history, context, at)], activities).items()}
        named = {name: part for name, part in parts.items() if name not in ("linear", "context")}
        named.update(self._past_parts(history, activities, at))
        with torch.no_grad():
            fed = self.network_.fed(self._tensor(context.vector())[None])[0]
            tastes = self.network_.context_activity @ self._items(activities).attributes.T
            for column, value, row in zip(FED, fed, tastes, strict=False):
                named[f"context:{COLUMNS[column]}"] = (value * row).double().numpy()
        return named

    def _past_parts(self, history, activities, at) -> dict[str, np.ndarray]:
        ids = self._items(activities).ids.numpy()
        x = np.zeros(len(self.activities_))
        for delivery in history:
            if delivery.activity in self.place_ and (at is None or delivery.at <= at):
                x[self.place_[delivery.activity]] += _strength(delivery)
        raw = x @ self.ease_
        spread = float(raw.std())
        scale = self.network_.tau.item() / spread if spread > 1e-9 else 0.0
        parts = {}
        for j in np.flatnonzero(x):
            share = scale * x[j] * (self.ease_[j] - self.ease_[j].mean())
            parts[f"past:{self.activities_[j].id}"] = np.append(share, 0.0)[ids]
        return parts

    def _matrix_logits(self, x: np.ndarray) -> np.ndarray:
        batch = self._matrix_batch(x, x @ self.ease_, None)
        return _total(self._all_parts(batch, self.items_))

    def _ndcg_of_moments(self, judged: list[tuple[list[_Moment], Batch]]) -> np.ndarray:
        """Mean NDCG of the activity engaged with next, per person, (P,)."""
        values: dict[int, list[float]] = defaultdict(list)
        for part, batch in judged:
            logits = _total(self._all_parts(batch, self.items_))
            target = np.take_along_axis(logits, np.array([[m.target] for m in part]), axis=1)
            rank = (logits > target).sum(axis=1) + ((logits == target).sum(axis=1) + 1) / 2  # ties share a place
            for m, value in zip(part, 1 / np.log2(1 + rank), strict=True):
                values[m.person].append(float(value))
        return np.array([np.mean(values[p]) for p in sorted(values)])

    def _reward(self, histories, moments: list[_Moment]) -> None:
        """Give every moment its reward; missing answers are predicted from all outcomes."""
        deliveries = [histories[m.person][m.length] for m in moments]
        techniques = [self.activities_[m.target].technique for m in moments]
        self.outcomes_ = OutcomeModel().fit(techniques, [d.outcome for d in deliveries])
        for m, technique, delivery in zip(moments, techniques, deliveries, strict=True):
            m.reward, m.reward_variance = self.outcomes_.reward(technique, delivery.outcome)

    def _learn_rewards(self, people: _People, moments: list[_Moment]) -> None:
        """Fit the reward head on every moment, with the engagement logit as a column."""
        parts = [[moments[i] for i in chosen] for chosen in _chunks(np.arange(len(moments)), 1024)]
        batches = (self._all_parts(self._batch(people, part, self.ease_), self.items_) for part in parts)
        logits = np.concatenate([_total(named) for named in batches])
        self.logit_scale_ = float(logits.std(axis=1).mean()) or 1.0
        rows: dict[int, list[Row]] = defaultdict(list)
        for m, logit in zip(moments, logits, strict=True):
            extra = logit[:, None] / self.logit_scale_
            rows[m.person].append(Row(m.context, m.target, m.reward, m.reward_variance, None, extra))
        self.reward_head_ = RewardHead(self.activities_, self.config.reward, ["engagement"]).fit(rows)

    def _engagement(self, history, context, activities, at) -> np.ndarray:
        if self.reward_head_ is None:
            raise IncompatibleModel("this model was trained without contexts: it ranks but has no rewards")
        return self.logits(history, context, activities, at)[:, None] / self.logit_scale_

    def _personal(self, history: Sequence[Delivery], in_training: bool, update_rule: str, at) -> PersonalReward:
        """The person's posterior from the deliveries that carry a context."""
        if self.reward_head_ is None or self.outcomes_ is None:
            raise IncompatibleModel("this model was trained without contexts: it ranks but has no rewards")
        if update_rule not in UPDATE_RULES:
            raise ValueError(f"update_rule must be one of {', '.join(UPDATE_RULES)}")
        ordered = [delivery for delivery in history if at is None or delivery.at <= at]
        usable = [i for i, d in enumerate(ordered) if d.context is not None and d.activity in self.place_]
        if not usable:
            return self.reward_head_.personal()
        asked = [(ordered[:i], ordered[i].context, ordered[i].at) for i in usable]
        logits = _total(self._parts(asked, None))
        rows = []
        for i, logit in zip(usable, logits, strict=True):
            delivery, place = ordered[i], self.place_[ordered[i].activity]
            reward, variance = self.outcomes_.reward(self.activities_[place].technique, delivery.outcome)
            vector = (delivery.context or Context()).vector()
            rows.append(Row(vector, place, reward, variance, None, logit[:, None] / self.logit_scale_))
        old = [in_training and self.data_until_ is not None and ordered[i].at <= self.data_until_ for i in usable]
        return self.reward_head_.personal(
            in_fit=[row for row, was in zip(rows, old, strict=True) if was],
            since=[row for row, was in zip(rows, old, strict=True) if not was and update_rule == "personal"],
        )


@dataclass
class _Targets:
    """weights: (B, N) of each target.   closed: (B, N) bool, not to be predicted.   activity, reward: (B,)."""

    weights: Tensor
    closed: Tensor | None = None
    activity: Tensor | None = None
    reward: Tensor | None = None


def _total(parts: dict[str, np.ndarray]) -> np.ndarray:
    """Sum of the parts, (B, N)."""
    return np.sum(list(parts.values()), axis=0)


def _targets(moments: Sequence[_Moment], n: int) -> _Targets:
    activity = torch.tensor([m.target for m in moments])
    weights = torch.zeros(len(moments), n, dtype=torch.float64)
    weights[torch.arange(len(moments)), activity] = torch.tensor([m.weight for m in moments], dtype=torch.float64)
    return _Targets(weights, None, activity, torch.tensor([m.reward for m in moments], dtype=torch.float64))


def _matrix_targets(target: np.ndarray, shown: np.ndarray) -> _Targets:
    return _Targets(torch.tensor(target, dtype=torch.float32), torch.from_numpy(shown))


def _token(delivery: Delivery, gap_days: float) -> list[float]:
    outcome = delivery.outcome
    helpful = 0.0 if outcome.helpfulness is None else (outcome.helpfulness - 3) / 2
    return [
        float(bool(outcome.completed)),
        float(outcome.completed is not None),
        helpful,
        float(outcome.helpfulness is not None),
        outcome.mood_change or 0.0,
        float(outcome.mood_change is not None),
        math.log1p(max(gap_days, 0.0)),
    ]


def _strength(delivery: Delivery) -> float:
    """completion x (helpfulness or 1), helpfulness scaled so that the middle of the scale counts 1."""
    if not delivery.outcome.completed:
        return 0.0
    return 1.0 if delivery.outcome.helpfulness is None else delivery.outcome.helpfulness / 3


def _by_fold(x: np.ndarray, weights: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Scores of each row by the weights of its fold, (B, N); weights: (F, N, N) or (N, N) for all."""
    weights = weights.reshape(-1, x.shape[1], x.shape[1])
    scores = np.empty(x.shape)
    for f in np.unique(fold):
        scores[fold == f] = x[fold == f] @ weights[f]
    return scores


def _standardised(scores: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and sd 1; rows without any difference become 0."""
    spread = scores.std(axis=1, keepdims=True)
    return (scores - scores.mean(axis=1, keepdims=True)) / np.where(spread > 1e-9, spread, np.inf)


def _hold_out_people(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows to fit on, and what is shown and wanted of a tenth of the people."""
    able = rng.permutation(np.flatnonzero((x > 0).sum(axis=1) >= 5))
    held = able[: max(1, len(able) // 10)] if len(able) > 10 else able[:0]
    wanted = (x[held] > 0) & (rng.random((len(held), x.shape[1])) < 0.2)
    return np.delete(x, held, axis=0), np.where(wanted, 0.0, x[held]), wanted


def _chunks(order: np.ndarray, size: int) -> list[np.ndarray]:
    return [order[i : i + size] for i in range(0, len(order), size)]


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


def _paired_p(new: np.ndarray, old: np.ndarray) -> float:
    """One-sided paired t test that new is larger; 1 when there is no difference to test."""
    if np.ptp(new - old) == 0:
        return 1.0
    return float(stats.ttest_rel(new, old, alternative="greater").pvalue)


def _hash_of(histories: Sequence[Sequence[Delivery]]) -> str:
    digest = hashlib.sha256()
    for history in histories:
        for d in history:
            o = d.outcome
            line = [d.activity, d.at.isoformat(), o.completed, o.helpfulness, o.mood_change, d.probability]
            digest.update(json.dumps(line).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _write(path: Path, data: bytes) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(data)
    os.replace(beside, path)
