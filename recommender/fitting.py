"""How the attention VAE learns: nested models, each kept only if held-out ranking says so.

A decision log: EASE alone; then all linear parts; then the deep part, learning what they leave over.
A table: EASE alone; then the deep part, learnt in its own right and mixed in.
In both the deep part must rank better by a paired test, on later times (a log) or on other people or items (a table).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from recommender.histories import Moment, People, Reader, by_fold, chunks, standardised, targets_of
from recommender.linear import cross_fitted_weights, ease_weights, gram_of
from recommender.metrics import ranking_metrics
from recommender.network import Batch, Items, Network, Targets

Batches = Callable[[np.random.Generator], Iterator[tuple[Batch, Targets]]]
Judge = Callable[[], np.ndarray]  # held-out NDCG per person, (P,)
JUDGED_TOGETHER = 1024
JUDGED_PER_EPOCH = 1000  # of the people of a table: enough to see when to stop
PATIENT_STEPS, FEWEST_PATIENT_EPOCHS = 1000, 3
GAINS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0)


@dataclass
class Fitted:
    """ease: (N, N) from all data.   report: what the validation kept, and with which figures."""

    ease: np.ndarray
    report: dict[str, Any]


def fit_log(network: Network, reader: Reader, people: People, moments: list[Moment], seed: int) -> Fitted:
    """Train on the first four fifths of the time, judge on the last, then refit EASE on all of it."""
    config, items = network.config, reader.items()
    cut = float(np.quantile([m.at_s for m in moments], 0.8)) if len(moments) > 4 else math.inf
    past = reader.table_until(people, cut)
    fold, crossed = cross_fitted_weights(past, config.regularisation, seed)
    ease = ease_weights(gram_of(past), config.regularisation)
    train = [m for m in moments if m.at_s < cut]
    held_out = [m for m in moments if m.at_s >= cut and m.weight > 0]

    def batches(rng: np.random.Generator) -> Iterator[tuple[Batch, Targets]]:
        for chosen in chunks(rng.permutation(len(train)), _batch_size(len(train), config.batch)):
            part = [train[i] for i in chosen]
            batch = reader.batch(people, part, crossed, fold[[m.person for m in part]])
            yield reader.without_some_check_ins(batch, config.modality_dropout, rng), targets_of(part, len(items.ids))

    parts = [[held_out[i] for i in chosen] for chosen in chunks(np.arange(len(held_out)), JUDGED_TOGETHER)]
    judged = [(part, reader.batch(people, part, ease)) for part in parts]
    report = _train(network, items, batches, lambda: _ndcg_of_moments(network, items, judged), len(train), seed)
    full = reader.table_until(people, math.inf)
    return Fitted(ease_weights(gram_of(full), config.regularisation), report)


def fit_table(network: Network, reader: Reader, x: np.ndarray, seed: int, shown=None, wanted=None) -> Fitted:
    """EASE, and a latent part learnt in its own right; how far they are mixed is for validation rows to say, (V, N).

    The two err differently, while a latent part that is only asked for what EASE leaves over learns nothing from a
    table. shown: what is given of the validation rows.   wanted: what should be ranked high. Without them a tenth of
    the people is held out.
    """
    config, items, fitted = network.config, reader.items(), x
    if shown is None or wanted is None:
        fitted, shown, wanted = _hold_out_people(x, np.random.default_rng(seed))
    able = (wanted > 0).any(axis=1)
    shown, wanted = np.asarray(shown, dtype=float)[able], wanted[able] > 0
    ease = ease_weights(gram_of(fitted), config.regularisation, config.popularity)
    linear = standardised(by_fold(shown, ease, np.zeros(len(shown), dtype=int))).astype(np.float32)
    rows = np.flatnonzero((fitted > 0).sum(axis=1) > 1)

    def batches(rng: np.random.Generator) -> Iterator[tuple[Batch, Targets]]:
        for chosen in chunks(rng.permutation(rows), _batch_size(len(rows), config.batch)):
            kept = fitted[chosen] * (rng.random((len(chosen), x.shape[1]), dtype=np.float32) < config.keep)
            batch = reader.table_batch(kept, np.zeros_like(kept))  # without the linear path
            yield batch, Targets(torch.tensor(fitted[chosen] > 0, dtype=torch.float32))

    def latent(people: slice) -> np.ndarray:
        parts = [shown[people][i] for i in chunks(np.arange(len(shown[people])), JUDGED_TOGETHER)]
        made = [total(network, reader.table_batch(part, np.zeros_like(part)), items, items) for part in parts]
        return np.concatenate(made) if made else np.zeros((0, x.shape[1]), dtype=np.float32)

    def ndcg(scores: np.ndarray, people: slice = slice(None)) -> np.ndarray:
        k = min(100, x.shape[1])
        return ranking_metrics(scores, shown[people] > 0, wanted[people], ks=(k,))["ndcg", k]

    few = slice(JUDGED_PER_EPOCH)
    report = _mix(network, items, batches, ndcg, linear, latent, lambda: ndcg(latent(few), few), seed)
    report = {"examples": len(rows), "judged": len(shown), **report}
    return Fitted(ease_weights(gram_of(x), config.regularisation, config.popularity), report)


def _mix(network, items, batches: Batches, ndcg, linear: np.ndarray, latent, judge: Judge, seed: int) -> dict[str, Any]:
    """Train the latent part alone, then choose its gain; it stays if the mix is better by a paired test."""
    base = ndcg(linear)
    values, stays, p, gain, alone = base, False, 1.0, 0.0, base
    if network.config.deep and len(base) > 4:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            start = _state(network)
            network.gain.fill_(1.0)
            with torch.enable_grad():
                parameters = [one for one in network.deep_parameters if one is not network.gain]
                _descend(network, parameters, items, batches, judge, seed, deep=True)
            scores = latent(slice(None))
            alone, tried = ndcg(scores), np.stack([ndcg(linear + g * scores) for g in GAINS])
            values, best = chosen_by_halves(tried, np.random.default_rng(seed))
            gain, p = GAINS[best], paired_p(values, base)
            stays = bool(p < network.config.significance)
            if not stays:
                network.load_state_dict(start)
            network.gain.fill_(gain if stays else 0.0)
    network.eval()
    return {
        "ndcg_ease": _mean(base),
        "ndcg_linear": _mean(base),
        "ndcg_latent": _mean(alone),
        "ndcg_deep": _mean(values),
        "gain": gain,
        "deep_p": p,
        "deep_stays": stays,
    }


def chosen_by_halves(tried: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return each person's value under what is best for the other half of the people, (P,), and what is best for all.

    tried: (C, P), a row per choice. A choice judged by those who made it would flatter itself.
    """
    half = rng.permutation(tried.shape[1]) % 2
    best = [int(tried[:, half != h].mean(axis=1).argmax()) for h in (0, 1)]
    return np.where(half == 0, tried[best[0]], tried[best[1]]), int(tried.mean(axis=1).argmax())


@torch.no_grad()
def total(network: Network, batch: Batch, items: Items, known: Items) -> np.ndarray:
    """Logits of a batch, (B, N)."""
    named = network.logits(batch, items, known).values()
    return torch.stack([part.expand(len(batch.context), len(items.ids)) for part in named]).sum(dim=0).numpy()


def _train(network: Network, items: Items, batches: Batches, judge: Judge, examples: int, seed: int) -> dict[str, Any]:
    config = network.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        start = _state(network)
        base = judge()
        _descend(network, network.linear_parameters, items, batches, judge, seed, deep=False)
        linear = judge()
        if linear.size and linear.mean() < base.mean():
            network.load_state_dict(start)
            linear = base
        kept, deep, p = _state(network), linear, 1.0
        if config.deep and linear.size > 4:
            with torch.no_grad():
                network.gain.fill_(0.0)
            _descend(network, network.deep_parameters, items, batches, judge, seed, deep=True)
            deep = judge()
            p = paired_p(deep, linear)
        stays = bool(p < config.significance)
        if not stays:
            network.load_state_dict(kept)
    network.eval()
    return {
        "examples": examples,
        "judged": int(base.size),
        "ndcg_ease": _mean(base),
        "ndcg_linear": _mean(linear),
        "ndcg_deep": _mean(deep),
        "deep_p": p,
        "deep_stays": stays,
    }


def _descend(network, parameters: list[nn.Parameter], items, batches: Batches, judge: Judge, seed: int, deep: bool):
    """AdamW with early stopping by the held-out ranking; ends at the best epoch."""
    config = network.config
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    rng, noise = np.random.default_rng([seed, deep]), torch.Generator().manual_seed(seed)
    best, best_state, waited = _mean(judge()) or 0.0, _state(network), 0
    for _ in range(config.epochs):
        network.train()
        steps = 0
        for batch, targets in batches(rng):
            loss = network.loss(batch, targets, items, noise, deep)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            steps += 1
        network.eval()
        value = _mean(judge())
        if value is None:  # nothing to judge by: a fixed number of passes
            best_state = _state(network)
        elif value > best:
            best, best_state, waited = value, _state(network), 0
        else:
            waited += 1
        if waited >= _patience(config.patience, steps):
            break
    network.load_state_dict(best_state)


def _patience(epochs: int, steps: int) -> int:
    """Epochs of so many steps without a better ranking: where one sees much, fewer are waited for."""
    return max(min(epochs, PATIENT_STEPS // max(steps, 1)), min(epochs, FEWEST_PATIENT_EPOCHS))


def _ndcg_of_moments(network: Network, items: Items, judged: list[tuple[list[Moment], Batch]]) -> np.ndarray:
    """Mean NDCG of the activity engaged with next, per person, (P,)."""
    values: dict[int, list[float]] = defaultdict(list)
    for part, batch in judged:
        logits = total(network, batch, items, items)
        target = np.take_along_axis(logits, np.array([[m.target] for m in part]), axis=1)
        rank = (logits > target).sum(axis=1) + ((logits == target).sum(axis=1) + 1) / 2  # ties share a place
        for m, value in zip(part, 1 / np.log2(1 + rank), strict=True):
            values[m.person].append(float(value))
    return np.array([np.mean(values[p]) for p in sorted(values)])


def _batch_size(examples: int, largest: int) -> int:
    """At least twenty steps per epoch, where the data are that many."""
    return int(np.clip(examples // 20, 16, largest))


def _hold_out_people(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows to fit on, and what is shown and wanted of a tenth of the people."""
    able = rng.permutation(np.flatnonzero((x > 0).sum(axis=1) >= 5))
    held = able[: max(1, len(able) // 10)] if len(able) > 10 else able[:0]
    wanted = (x[held] > 0) & (rng.random((len(held), x.shape[1])) < 0.2)
    return np.delete(x, held, axis=0), np.where(wanted, 0.0, x[held]), wanted


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


def paired_p(new: np.ndarray, old: np.ndarray) -> float:
    """One-sided paired t test that new is larger; 1 when there is no difference to test."""
    if np.ptp(new - old) == 0:
        return 1.0
    return float(stats.ttest_rel(new, old, alternative="greater").pvalue)
