"""Train the text network on GoEmotions: `python -m emotion train text`.

The class priors of Reddit (a third neutral, a hundredth fear) say nothing about check-ins. Half of their log is
added to the logits while learning and left out when reading (logit adjustment, Menon et al., ICLR 2021).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from sklearn.metrics import f1_score, recall_score
from torch import Tensor, nn

from emotion import calibration, checkpoint, words
from emotion.data import goemotions
from emotion.data.goemotions import Comments
from emotion.estimate import EMOTIONS
from emotion.networks.compact_text import CompactText, collate
from emotion.training import Fitted, Schedule, fit

Grams = list[list[list[int]]]
TIMES_SEEN = 3


@dataclass(frozen=True)
class Recipe:
    epochs: int = 4
    batch: int = 128
    rate: float = 3e-3
    gram_rate: float = 6e-3
    weight_decay: float = 0.01
    gram_dropout: float = 0.25
    prior_share: float = 0.5


def train(data: Path, out: Path, *, recipe: Recipe, seed: int = 0, resume: bool = False) -> dict[str, Any]:
    """Learn the official training part, choose the epoch on dev, judge on test: the card. Raises DataMissing."""
    parts = {split: goemotions.load(data / "goemotions", split) for split in ("train", "dev", "test")}
    network, fitted = learn(
        parts["train"].texts,
        parts["train"].shares,
        *judgeable(parts["dev"]),
        recipe=recipe,
        folder=out / "text",
        seed=seed,
        resume=resume,
    )
    scale, rounded = in_bytes(network)
    card = _card(network, fitted, parts, recipe, seed)
    known = torch.from_numpy(words.as_set(familiar(parts["train"].texts)))
    weights = network.state_dict() | {"grams.weight": rounded, "grams.scale": scale, "known": known}
    return checkpoint.save(out / "text.safetensors", weights, card)


@torch.no_grad()
def in_bytes(network: CompactText) -> tuple[Tensor, Tensor]:
    """The embeddings as (D,) scales and (BUCKETS, D) signed bytes; from here on the rounded network is judged."""
    weight = network.grams.weight
    scale = weight.abs().amax(0).clamp(min=1e-8) / 127
    rounded = (weight / scale).round().to(torch.int8)
    weight.copy_(rounded * scale.half().float())  # a checkpoint keeps 16 bits of the scales
    return scale, rounded


def familiar(texts: list[str]) -> set[str]:
    """Words that occur three times or more: fewer may be names, slips, or a quotation in another language."""
    counts = Counter(word for text in texts for word in words.words(text))
    return {word for word, count in counts.items() if count >= TIMES_SEEN}


def judgeable(part: Comments) -> tuple[list[str], np.ndarray]:
    """Texts and class (n,) of the comments whose raters agreed on a single one."""
    single = part.of_one_class()
    return single.texts, single.classes.argmax(axis=1)


def learn(
    texts: list[str],
    shares: np.ndarray,
    judged_texts: list[str],
    truth: np.ndarray,
    *,
    recipe: Recipe,
    folder: Path,
    seed: int,
    resume: bool = False,
) -> tuple[CompactText, Fitted]:
    """The network of the epoch with the best macro-F1 on the judged texts. shares: (n, K), rows sum to 1."""
    grams, judged, targets = readable(texts), readable(judged_texts), torch.tensor(shares, dtype=torch.float32)
    shift = recipe.prior_share * targets.mean(0).clamp(min=1e-6).log()
    torch.manual_seed(seed)
    network = CompactText(classes=targets.shape[1])

    def batches(rng: np.random.Generator) -> Iterator[tuple]:
        order = rng.permutation(len(grams))
        for start in range(0, len(order), recipe.batch):
            rows = order[start : start + recipe.batch]
            yield collate([thinned(grams[row], recipe.gram_dropout, rng) for row in rows]), targets[rows]

    def loss(net: nn.Module, batch: tuple) -> Tensor:
        return -(batch[1] * (net(batch[0]) + shift).log_softmax(1)).sum(1).mean()

    fitted = fit(
        network,
        _optimizer(network, recipe),
        batches=batches,
        steps_per_epoch=-(-len(grams) // recipe.batch),
        loss=loss,
        score=lambda net: float(f1_score(truth, logits(net, judged).argmax(1), average="macro")),
        schedule=Schedule(epochs=recipe.epochs, warmup=0.2),
        folder=folder,
        seed=seed,
        resume=resume,
        title="text",
    )
    return network, fitted


def _optimizer(network: CompactText, recipe: Recipe) -> torch.optim.Optimizer:
    rest = [parameter for name, parameter in network.named_parameters() if not name.startswith("grams")]
    groups: list[dict[str, Any]] = [
        {"params": list(network.grams.parameters()), "lr": recipe.gram_rate, "weight_decay": 0.0},
        {"params": rest},
    ]
    return torch.optim.AdamW(groups, lr=recipe.rate, weight_decay=recipe.weight_decay)


def readable(texts: list[str]) -> Grams:
    """The n-grams of each text; one without a word becomes a lone full stop."""
    return [words.ngrams(text) or words.ngrams(".") for text in texts]


def thinned(text: list[list[int]], share: float, rng: np.random.Generator) -> list[list[int]]:
    """Without a share of its n-grams: the network must not lean on a single one. A word keeps one at least."""
    return [[gram for gram in bag if rng.random() >= share] or bag[:1] for bag in text]


@torch.no_grad()
def logits(network: nn.Module, grams: Grams) -> np.ndarray:
    """(n, K) in evaluation mode."""
    network.eval()
    return torch.cat([network(collate(grams[at : at + 256])) for at in range(0, len(grams), 256)]).numpy()


def _card(network: CompactText, fitted: Fitted, parts: dict[str, Comments], recipe: Recipe, seed: int) -> dict:
    texts, truth = judgeable(parts["dev"])
    raw = softmax(logits(network, readable(texts)), axis=1)
    temperature = calibration.fit_temperature(raw, truth)
    sure = calibration.sharpen(raw, 1 / temperature)
    threshold = calibration.abstention_threshold(sure.max(axis=1), sure.argmax(axis=1) == truth)
    test_texts, test_truth = judgeable(parts["test"])
    tested = calibration.sharpen(softmax(logits(network, readable(test_texts)), axis=1), 1 / temperature)
    return {
        "network": "compact_text",
        "modality": "text",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "languages": ["en"],
        "input": "the first 64 words as hashed n-grams of words and letters",
        "meaning": "The emotion that readers find in the words of English Reddit comments, never what a person feels. "
        "No diagnosis, no judgement of risk.",
        "licence": "Apache-2.0, as the data it learned from",
        "non_commercial": False,
        "training": _training(fitted, len(parts["train"].texts), recipe, seed),
        "temperature": round(temperature, 5),
        "abstention": {"threshold": round(threshold, 5), "rule": "the least confident fifth of dev is held back"},
        "validation": figures(sure, truth),
        "test": figures(tested, test_truth),
        "not_measured": ["check-ins", "people in distress", "age, sex, dialect", "other languages (refused)"],
    }


def _training(fitted: Fitted, comments: int, recipe: Recipe, seed: int) -> dict[str, Any]:
    return {
        "data": {"GoEmotions, official training part": {"comments": comments, "licence": "Apache-2.0"}},
        "chosen_on": "official dev part, comments of one class",
        "recipe": asdict(recipe),
        "seed": seed,
        "best_epoch": fitted.epoch,
        "minutes": round(fitted.seconds / 60, 2),
        "command": f"python -m emotion train text --data DIR --out DIR --seed {seed} --epochs {recipe.epochs}",
        "date": datetime.now(UTC).date().isoformat(),
    }


def figures(p: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """p: (n, 7) calibrated.  truth: (n,)."""
    said, classes = p.argmax(axis=1), range(len(EMOTIONS))
    per_class = f1_score(truth, said, labels=classes, average=None, zero_division=0)
    return {
        "n": len(truth),
        "macro_f1": round(float(per_class.mean()), 4),
        "uar": round(float(recall_score(truth, said, labels=classes, average="macro", zero_division=0)), 4),
        "accuracy": round(float((truth == said).mean()), 4),
        "ece": round(calibration.calibration_error(p.max(axis=1), said == truth), 4),
        "per_class_f1": {emotion: round(float(f1), 4) for emotion, f1 in zip(EMOTIONS, per_class, strict=True)},
    }
