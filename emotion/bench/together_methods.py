"""The published networks that read face and voice at once, and the peers that they have to beat.

    answer = METHODS[name](inputs, labels, rows, selection, folder, seed)
    answer(inputs) -> (n, C) scores

`inputs` is a dictionary of z-scored parts, (n, channels, statistics) each. Every method learns from `rows` and
chooses its epoch or cost on `selection`, people inside the training set.

Shapes:  n clips   C classes   N channels of all modalities   S statistics of a channel
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.special import log_softmax
from torch import Tensor, nn
from torch.nn import functional

from emotion import training
from emotion.calibration import fit_temperature
from emotion.networks.cross_attention import CrossAttention
from emotion.networks.dgcnn import Dgcnn

Inputs = dict[str, np.ndarray]
Answer = Callable[[Inputs], np.ndarray]

EPOCHS = 80
BATCH = 64
RATES = (1e-3, 5e-3)
COSTS = (0.3, 1.0, 3.0, 10.0)


class GraphOfChannels(nn.Module):
    """The dynamic graph network with every channel of every modality as a node; shorter channels end in zeros."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], classes: int) -> None:
        super().__init__()
        self.statistics = max(statistics for _, statistics in shapes.values())
        self.network = Dgcnn(sum(channels for channels, _ in shapes.values()), self.statistics, classes=classes)

    def forward(self, parts: list[Tensor]) -> Tensor:
        """parts: per modality (B, channels, statistics) -> logits (B, C)."""
        nodes = [functional.pad(part, (0, self.statistics - part.shape[2])) for part in parts]
        return self.network(torch.cat(nodes, dim=1))


class AttentionOverModalities(nn.Module):
    """The attention fusion with one token per modality."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], classes: int) -> None:
        super().__init__()
        self.network = CrossAttention([channels * statistics for channels, statistics in shapes.values()], classes)

    def forward(self, parts: list[Tensor]) -> Tensor:
        """parts: per modality (B, channels, statistics) -> logits (B, C)."""
        return self.network([part.flatten(1) for part in parts])[0]


def fit_network(make: type[nn.Module]):
    """A published network at the better of two learning rates."""

    def fit(inputs: Inputs, labels: np.ndarray, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int):
        tried = [
            _trained(make, inputs, labels, rows, selection, rate, folder / f"rate-{rate:g}", seed) for rate in RATES
        ]
        network = max(tried, key=lambda one: one[0])[1]

        @torch.inference_mode()
        def answer(asked: Inputs) -> np.ndarray:
            return network(_tensors(asked)).numpy()

        return answer

    return fit


def _trained(
    make: type[nn.Module],
    inputs: Inputs,
    labels: np.ndarray,
    rows: np.ndarray,
    selection: np.ndarray,
    rate: float,
    folder: Path,
    seed: int,
) -> tuple[float, nn.Module]:
    torch.manual_seed(seed)
    parts, truth = _tensors(inputs), torch.from_numpy(labels)
    network = make({name: part.shape[1:] for name, part in inputs.items()}, int(labels.max()) + 1)
    weights = torch.from_numpy(class_weights(labels[rows])).float()

    def batches(rng: np.random.Generator) -> Iterator[tuple[list[Tensor], Tensor]]:
        for chosen in np.array_split(rng.permutation(rows), max(1, len(rows) // BATCH)):
            yield [part[chosen] for part in parts], truth[chosen]

    @torch.inference_mode()
    def score(asked: nn.Module) -> float:
        return -float(functional.cross_entropy(asked([part[selection] for part in parts]), truth[selection], weights))

    fitted = training.fit(
        network,
        torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01),
        batches=batches,
        steps_per_epoch=max(1, len(rows) // BATCH),
        loss=lambda asked, batch: functional.cross_entropy(asked(batch[0]), batch[1], weights, label_smoothing=0.1),
        score=score,
        schedule=training.Schedule(epochs=EPOCHS, clip_norm=5.0),
        folder=folder,
        seed=seed,
        resume=True,
        title=make.__name__,
    )
    return fitted.score, network


def fit_svm(
    inputs: Inputs, labels: np.ndarray, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int
) -> Answer:
    """RBF-SVM on all numbers of all modalities side by side."""
    model = _svm(_flat(inputs), labels, rows, selection)
    return lambda asked: model.decision_function(_flat(asked)).reshape(len(_flat(asked)), -1)


def fit_product(
    inputs: Inputs, labels: np.ndarray, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int
) -> Answer:
    """One SVM per modality; their softened scores, each with a temperature from the selection people, multiplied."""
    models, temperatures = {}, {}
    for name in inputs:
        models[name] = _svm(_flat({name: inputs[name]}), labels, rows, selection)
        logs = log_softmax(_scores(models[name], inputs, name)[selection], axis=1)
        temperatures[name] = fit_temperature(np.exp(logs), labels[selection])

    def answer(asked: Inputs) -> np.ndarray:
        return sum(log_softmax(_scores(models[name], asked, name) / temperatures[name], axis=1) for name in asked)

    return answer


def _scores(model, inputs: Inputs, name: str) -> np.ndarray:
    """(n, C) scores of one modality; two classes have one column, which is the second against the first."""
    found = model.decision_function(_flat({name: inputs[name]}))
    return found if found.ndim == 2 else np.stack([-found, found], axis=1) / 2


def _svm(values: np.ndarray, labels: np.ndarray, rows: np.ndarray, selection: np.ndarray):
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.svm import SVC

    tried = [SVC(C=cost, class_weight="balanced").fit(values[rows], labels[rows]) for cost in COSTS]
    return max(tried, key=lambda model: balanced_accuracy_score(labels[selection], model.predict(values[selection])))


def class_weights(labels: np.ndarray) -> np.ndarray:
    """(C,), mean 1 over the rows: a rare class counts as much as a common one."""
    counts = np.bincount(labels)
    return len(labels) / (len(counts) * np.maximum(counts, 1))


def _flat(inputs: Inputs) -> np.ndarray:
    return np.concatenate([part.reshape(len(part), -1) for part in inputs.values()], axis=1)


def _tensors(inputs: Inputs) -> list[Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32)) for part in inputs.values()]


METHODS = {
    "svm": fit_svm,
    "svm_product": fit_product,
    "dgcnn": fit_network(GraphOfChannels),
    "cross_attention": fit_network(AttentionOverModalities),
}
