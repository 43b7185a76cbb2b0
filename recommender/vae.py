"""Attention VAE over activity histories: the door to fit, rank, score, explain, save and load.

The parts: `network` (equations, attention, loss), `histories` (deliveries to tensors), `fitting` (what is kept),
`explain` (exact parts of a score), `reward` (Bayesian head), `linear` (EASE). docs/recommender.md draws the whole.

Everything but the latent term is linear and stands on its own. The deep part enters through a gain that starts at zero
and stays only if it ranks better for held-out people or times by a paired test: what ships is never worse there than
its linear path. A history without deliveries pools to a learned "no history" token and takes z from the prior.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor

from recommender import explain, fitting
from recommender.catalogue import Activity, Delivery
from recommender.context import COLUMNS, Context
from recommender.histories import Moment, People, Reader, by_fold, chunks
from recommender.network import Network, VaeConfig
from recommender.outcomes import OutcomeModel
from recommender.policy import UPDATE_RULES
from recommender.reward import RewardHead, Row

__all__ = ["IncompatibleModel", "NothingToLearn", "Ranked", "Recommender", "VaeConfig"]
FORMAT = "recommender-vae/1"


class IncompatibleModel(ValueError):
    """The folder holds no model of this format, or its parts do not belong together."""


class NothingToLearn(ValueError):
    """The histories hold no delivery of a known activity."""


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
            return self._learn_table(self.reader_.table(histories))
        people, moments = self._moments(histories, contexts)
        fitted = fitting.fit_log(self.network_, self.reader_, people, moments, self.seed)
        self.ease_, self.report_ = fitted.ease, fitted.report
        self._learn_rewards(people, moments)
        return self

    def refit_rewards(
        self, histories: Sequence[Sequence[Delivery]], contexts: Sequence[Sequence[Context]]
    ) -> Recommender:
        """Learn rewards anew from a longer log of the same activities; what ranks for engagement stays as it is.

        Takes a fraction of the time of `fit`, for whoever trains the deep part less often than rewards. Hash and end of
        the data are then those of this log; `report_` is still that of `fit`. Raises NothingToLearn.
        """
        self._rewarded()
        self._learn_rewards(*self._moments(histories, contexts))
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
        return self._learn_table(np.asarray(x, dtype=np.float64), shown, wanted)

    def logits(
        self,
        history: Sequence[Delivery],
        context: Context | None = None,
        activities: Sequence[Activity] | None = None,
        at: datetime | None = None,
    ) -> np.ndarray:
        """Return the engagement logit of each activity, (N,), in the order given (default: the catalogue)."""
        return _total(self._parts([(history, context, at)], activities))[0]

    def logits_of_matrix(self, x: np.ndarray, batch: int = 512) -> np.ndarray:
        """Return engagement logits for rows of interactions without times, (U, N)."""
        rows = [self._table_logits(x[i : i + batch]) for i in range(0, len(x), batch)]
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
        person, extra, _ = self._asked(history, context, activities, in_training, update_rule, at)
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
        return explain.score_parts(self, history, context, activity, activities, in_training, update_rule, at)

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
        self.reader_ = Reader(activities, self.config.history_length, with_context)
        self.activities_, self.with_context_ = self.reader_.activities, with_context
        self.items_ = self.reader_.items()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            n_context = len(COLUMNS) if with_context else 0
            network = Network(self.config, len(self.activities_), len(self.reader_.attribute_names), n_context)
        self.network_ = network.to(self.reader_.dtype)
        self.ease_ = np.zeros((len(self.activities_),) * 2)
        self.report_ = {}
        self.data_hash_, self.logit_scale_ = "", 1.0
        self.data_until_ = None
        self.outcomes_ = None
        self.reward_head_ = None

    def _learn_table(self, x: np.ndarray, shown=None, wanted=None) -> Recommender:
        if not (x > 0).any():
            raise NothingToLearn("no interaction")
        self.data_hash_ = hashlib.sha256(x.tobytes()).hexdigest()
        fitted = fitting.fit_table(self.network_, self.reader_, x, self.seed, shown, wanted)
        self.ease_, self.report_ = fitted.ease, fitted.report
        return self

    def _table_logits(self, x: np.ndarray) -> np.ndarray:
        scores = by_fold(np.asarray(x, dtype=np.float64), self.ease_, np.zeros(len(x), dtype=int))
        return fitting.total(self.network_, self.reader_.table_batch(x, scores), self.items_, self.items_)

    @torch.no_grad()
    def _all_parts(self, batch, items) -> dict[str, np.ndarray]:
        shape = len(batch.context), len(items.ids)
        named = self.network_.logits(batch, items, self.items_)
        return {name: part.double().expand(shape).numpy() for name, part in named.items()}

    def _parts(self, asked, activities: Sequence[Activity] | None) -> dict[str, np.ndarray]:
        """Parts of the logits for (history, context, at) triples, each (B, N)."""
        items = self.reader_.items(activities)
        people, moments = self.reader_.asked(asked)
        return self._all_parts(self.reader_.batch(people, moments, self.ease_, items=items), items)

    def _moments(self, histories, contexts) -> tuple[People, list[Moment]]:
        """A log as the parts of the model learn from it, and what is kept of it: hash, end and outcomes."""
        people = self.reader_.people(histories)
        moments = self.reader_.moments(histories, contexts, people, self.config.weight_clip)
        if not moments:
            raise NothingToLearn("no delivery of a known activity")
        self.data_hash_ = _hash_of(histories)
        self.data_until_ = max(delivery.at for history in histories for delivery in history)
        self._reward(histories, moments)
        return people, moments

    def _reward(self, histories, moments: list[Moment]) -> None:
        """Give every moment its reward; missing answers are predicted from all outcomes."""
        deliveries = [histories[m.person][m.length] for m in moments]
        techniques = [self.activities_[m.target].technique for m in moments]
        self.outcomes_ = OutcomeModel().fit(techniques, [d.outcome for d in deliveries])
        for m, technique, delivery in zip(moments, techniques, deliveries, strict=True):
            m.reward, m.reward_variance = self.outcomes_.reward(technique, delivery.outcome)

    def _learn_rewards(self, people: People, moments: list[Moment]) -> None:
        """Fit the reward head on every moment, with the engagement logit as a column."""
        parts = [[moments[i] for i in chosen] for chosen in chunks(np.arange(len(moments)), 1024)]
        batches = (self._all_parts(self.reader_.batch(people, part, self.ease_), self.items_) for part in parts)
        logits = np.concatenate([_total(named) for named in batches])
        self.logit_scale_ = float(logits.std(axis=1).mean()) or 1.0
        rows: dict[int, list[Row]] = defaultdict(list)
        for m, logit in zip(moments, logits, strict=True):
            extra = logit[:, None] / self.logit_scale_
            rows[m.person].append(Row(m.context, m.target, m.reward, m.reward_variance, None, extra))
        self.reward_head_ = RewardHead(self.activities_, self.config.reward, ["engagement"]).fit(rows)

    def _asked(self, history, context: Context, activities, in_training: bool, update_rule: str, at):
        """The person's posterior, the engagement column of what is offered, (N, 1), and the deliveries behind it.

        One pass of the network serves the present and the moment of every past delivery that carries a context.
        """
        head, _ = self._rewarded()
        if update_rule not in UPDATE_RULES:
            raise ValueError(f"update_rule must be one of {', '.join(UPDATE_RULES)}")
        ordered = [delivery for delivery in history if at is None or delivery.at <= at]
        usable = [i for i, d in enumerate(ordered) if d.context is not None and d.activity in self.reader_.place]
        people = self.reader_.people([ordered])
        moments = [Moment(0, i, people.at_s[i], ordered[i].context.vector()) for i in usable]
        now_s = at.timestamp() if at else float(people.at_s.max(initial=0.0))
        moments.append(Moment(0, len(ordered), now_s, context.vector()))
        logits = self._scaled(people, moments)
        rows: dict[bool, list[Row]] = {True: [], False: []}
        deliveries: dict[bool, list[Delivery]] = {True: [], False: []}
        for i, moment, logit in zip(usable, moments, logits, strict=False):
            old = in_training and self.data_until_ is not None and ordered[i].at <= self.data_until_
            if old or update_rule == "personal":
                rows[old].append(self._row(ordered[i], moment.context, logit))
                deliveries[old].append(ordered[i])
        person = head.personal(in_fit=rows[True], since=rows[False])
        extra = self._offered(logits[-1], history, context, activities, at)
        return person, extra[:, None], [*deliveries[True], *deliveries[False]]

    def expected(self, histories: Sequence[Sequence[Delivery]]) -> np.ndarray:
        """Expected reward of each activity of the catalogue, (U, N), at the moment of each person's last delivery.

        `score` of many people at once, without deviations; everything they were given counts.
        """
        head, _ = self._rewarded()
        people, moments, last = self.reader_.people(histories), [], []
        for p, history in enumerate(histories):
            vectors = [(d.context or Context()).vector() for d in history] or [Context().vector()]
            first = people.start[p]
            moments += [Moment(p, i, people.at_s[first + i], v) for i, v in enumerate(vectors[: len(history)])]
            now_s = float(people.at_s[first : people.start[p + 1]].max(initial=0.0))
            last.append(Moment(p, len(history), now_s, vectors[-1]))
        logits = self._scaled(people, [*moments, *last])
        scores, place = np.empty((len(histories), len(self.activities_))), self.reader_.place
        for p, history in enumerate(histories):
            rows: dict[bool, list[Row]] = {True: [], False: []}
            for d, at in zip(history, range(people.start[p], people.start[p + 1]), strict=True):
                if d.context is not None and d.activity in place:
                    old = self.data_until_ is not None and d.at <= self.data_until_
                    rows[old].append(self._row(d, moments[at].context, logits[at]))
            extra = logits[len(moments) + p][:, None]
            scores[p] = head.expected(last[p].context, rows[True], rows[False], extra)
        return scores

    def _rewarded(self) -> tuple[RewardHead, OutcomeModel]:
        if self.reward_head_ is None or self.outcomes_ is None:
            raise IncompatibleModel("this model was trained without contexts: it ranks but has no rewards")
        return self.reward_head_, self.outcomes_

    def _scaled(self, people: People, moments: list[Moment]) -> np.ndarray:
        """Engagement logits over the catalogue as the reward head takes them, (B, N known)."""
        batch = self.reader_.batch(people, moments, self.ease_)
        scaled: np.ndarray = _total(self._all_parts(batch, self.items_)) / self.logit_scale_
        return scaled

    def _row(self, delivery: Delivery, context: np.ndarray, logit: np.ndarray) -> Row:
        place = self.reader_.place[delivery.activity]
        reward, variance = self._rewarded()[1].reward(self.activities_[place].technique, delivery.outcome)
        return Row(context, place, reward, variance, None, logit[:, None])

    def _offered(self, known: np.ndarray, history, context, activities: Sequence[Activity] | None, at) -> np.ndarray:
        """Scaled logits of what is offered, (N,), from those of the catalogue, (N known,), where they will do."""
        if activities is None:
            return known
        places = [self.reader_.place.get(activity.id, -1) for activity in activities]
        if all(i >= 0 and self.activities_[i] == a for i, a in zip(places, activities, strict=True)):
            return known[places]
        return self.logits(history, context, activities, at) / self.logit_scale_


def _total(parts: dict[str, np.ndarray]) -> np.ndarray:
    """Sum of the parts, (B, N)."""
    return np.sum(list(parts.values()), axis=0)


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
