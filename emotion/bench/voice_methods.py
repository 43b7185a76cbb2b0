"""The methods of the voice benches behind one interface: ours, the published networks, SVMs, and a leak detector.

    answer = fit(voices, fit_rows, selection_rows, folder, seed)
    answer(rows, own) -> (n, C) probabilities, or one-hot answers, in the classes of the corpus

`own` are the rows of a person's K baseline clips, or None for what is usual for everybody. All methods get the
same people, disguises, mixup, label smoothing and class weights in training, and choose their epoch and settings on the
same selection people. The peers read features z-scored against the baseline and learn with random ones; ours takes the
baseline off the features of its last layer.

Shapes:  n rows   C classes   V disguises   F features of a step or a vector
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from emotion import training, voice_bench, voice_peers, voice_training
from emotion.bench.voice_data import VoiceSet, as_tensor
from emotion.networks.mfcc_lstm import MfccLstm
from emotion.networks.speech_cnn import SpeechCnn
from emotion.voice_batches import Recipe
from emotion.voice_corpus import Corpus, shrink

Answer = Callable[[np.ndarray, "np.ndarray | None"], np.ndarray]
Fit = Callable[[VoiceSet, np.ndarray, np.ndarray, Path, int], Answer]

STEPS = 600  # of a network, about; a small corpus is seen more often
RATES = (1e-3, 3e-3)  # tried for the published networks
PEER_EPOCHS = 60
SMALL = 500  # clips: as many as one corpus of EMO-DB's size gives to learn from
SMALL_EPOCHS = 200
LONG = (150, 270)  # frames of a crop where clips have 249 in the middle (EMO-DB, whole recordings)
PEER_PRIOR_CLIPS = 8.0  # of z-scored inputs; what ours takes off are features, which need a stronger pull


def recipe_for(rows: np.ndarray) -> Recipe:
    """Ours with the batch and epochs that give a small corpus as many steps as a large one, and one network of it."""
    batch = 64 if len(rows) > SMALL else 32
    return Recipe(members=1, batch=batch, epochs=max(20, round(STEPS / max(len(rows) // batch, 1))))


def fit_compact(voices: VoiceSet, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int) -> Answer:
    """Our served network with a head for the classes of the corpus; as released where all corpora are learned."""
    recipe = Recipe() if voices.name == "joint" else recipe_for(rows)
    return _fit_ours(voices.corpus, rows, selection, recipe, folder, seed)


def fit_released(voices: VoiceSet, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int) -> Answer:
    """Ours as it is released: two networks, and on EMO-DB alone the epochs of the permissive checkpoint."""
    recipe = Recipe() if len(rows) > SMALL else Recipe(epochs=SMALL_EPOCHS)
    return _fit_ours(voices.corpus, rows, selection, recipe, folder, seed)


def fit_longer(voices: VoiceSet, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int) -> Answer:
    """The released recipe with crops as long as whole recordings ask for; its own suit clips of two seconds."""
    return _fit_ours(voices.corpus, rows, selection, Recipe(epochs=SMALL_EPOCHS, crop_frames=LONG), folder, seed)


def _fit_ours(
    corpus: Corpus, rows: np.ndarray, selection: np.ndarray, recipe: Recipe, folder: Path, seed: int
) -> Answer:
    network, _ = voice_training.fit_ensemble(
        corpus, rows, selection, recipe=recipe, folder=folder, seed=seed, resume=True, title="compact_voice"
    )
    known: dict[int, Tensor] = {}

    def features(asked: np.ndarray) -> Tensor:
        new = np.array([row for row in asked.tolist() if row not in known], dtype=int)
        if len(new):
            known.update(zip(new.tolist(), voice_bench.embed(network, corpus, new), strict=True))
        return torch.stack([known[row] for row in asked.tolist()])

    def answer(asked: np.ndarray, own: np.ndarray | None) -> np.ndarray:
        usual = None if own is None else features(own)
        return voice_bench.decide(network, features(asked), usual, recipe.prior_clips)

    return answer


def fit_lstm(voices: VoiceSet, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int) -> Answer:
    """The published LSTM over MFCC."""
    return _fit_published(Published.sequences(voices), MfccLstm, rows, selection, folder, seed)


def fit_cnn(voices: VoiceSet, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int) -> Answer:
    """The published 1-d CNN over 162 features."""
    return _fit_published(Published.vectors(voices), SpeechCnn, rows, selection, folder, seed)


@dataclass(frozen=True)
class Published:
    """What a published network reads: values (V, n, …, F), moments (V, n, 2, F), steps (V, n) or None."""

    corpus: Corpus
    values: np.ndarray
    moments: np.ndarray
    steps: np.ndarray | None

    @classmethod
    def sequences(cls, voices: VoiceSet) -> Published:
        sequences, steps = voices.published["sequences"], voices.published["steps"]
        wide = sequences.astype(np.float64)
        sums = np.stack([wide.sum(axis=2), (wide**2).sum(axis=2)], axis=2)  # padding is zero
        return cls(voices.corpus, sequences, sums / steps[:, :, None, None], steps)

    @classmethod
    def vectors(cls, voices: VoiceSet) -> Published:
        vectors = voices.published["vectors"]
        wide = vectors.astype(np.float64)
        return cls(voices.corpus, vectors, np.stack([wide, wide**2], axis=2), None)

    def inputs(self, disguise: np.ndarray, rows: np.ndarray, moments: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Values z-scored against moments, (2, F) or (n, 2, F), and the number of real steps."""
        mean, square = moments[..., 0, :], moments[..., 1, :]
        deviation = np.sqrt(np.maximum(square - mean**2, 1e-12))
        values = self.values[disguise, rows].astype(np.float64)
        if self.steps is None:
            return as_tensor((values - mean) / deviation), None
        steps = self.steps[disguise, rows]
        scored = (values - mean[..., None, :]) / deviation[..., None, :]
        scored[np.arange(values.shape[1]) >= steps[:, None]] = 0
        return as_tensor(scored), torch.from_numpy(steps)


class PublishedBatches:
    """Shuffled batches of other features with our disguises, mixup and class weights, and random baselines."""

    def __init__(self, source: Published, rows: np.ndarray, recipe: Recipe):
        self.source, self.rows, self.recipe = source, rows, recipe
        self.corpus = source.corpus
        self.population = source.moments[:, rows].mean(axis=(0, 1))
        people = self.corpus.people[rows]
        self.rows_of = {person: rows[people == person] for person in set(people)}
        counts = np.bincount(self.corpus.labels[rows], minlength=len(self.corpus.classes))
        self.class_weights = len(rows) / (len(self.corpus.classes) * np.maximum(counts, 1))

    @property
    def steps(self) -> int:
        return len(self.rows) // self.recipe.batch

    def __call__(self, rng: np.random.Generator) -> Iterator:
        order = rng.permutation(self.rows)
        for step in range(self.steps):
            yield self.batch(order[step * self.recipe.batch : (step + 1) * self.recipe.batch], rng)

    def batch(self, rows: np.ndarray, rng: np.random.Generator):
        disguise = rng.integers(len(self.source.values), size=len(rows))
        moments = np.stack([self.baseline(v, i, rng) for v, i in zip(disguise, rows, strict=True)])
        inputs, steps = self.source.inputs(disguise, rows, moments)
        labels = self.corpus.labels[rows]
        targets = as_tensor(np.eye(len(self.corpus.classes))[labels] * self.class_weights[labels, None])
        share = float(rng.beta(self.recipe.mixup, self.recipe.mixup))
        other = torch.from_numpy(rng.permutation(len(rows)))
        mixed = share * inputs + (1 - share) * inputs[other], share * targets + (1 - share) * targets[other]
        return mixed[0], None if steps is None else torch.maximum(steps, steps[other]), mixed[1]

    def baseline(self, disguise: int, row: int, rng: np.random.Generator) -> np.ndarray:
        """Moments this clip is read against, (2, F): the population's, or half the time a personal baseline.

        The personal one comes from 1 to 20 other clips of the person in the same disguise, half the time with a
        strongly skewed mix of emotions, so that a network does not learn to trust that earlier clips were balanced.
        """
        count = int(rng.integers(1, 21)) if rng.random() < 0.5 else 0
        others = self.rows_of[self.corpus.clips[row].person]
        others = others[others != row]
        if not count or not len(others):
            return self.population
        odds = rng.dirichlet(np.full(len(self.corpus.classes), 0.3))[self.corpus.labels[others]] + 1e-6
        skewed = odds / odds.sum() if rng.random() < 0.5 else None
        chosen = rng.choice(others, min(count, len(others)), replace=False, p=skewed)
        own = self.source.moments[disguise, chosen].mean(axis=0)
        return shrink(own, len(chosen), self.population, self.recipe.prior_clips)


def _fit_published(
    source: Published, make: type, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int
) -> Answer:
    """The better of two learning rates, judged on the selection people."""
    recipe = replace(recipe_for(rows), epochs=PEER_EPOCHS, prior_clips=PEER_PRIOR_CLIPS)
    batches = PublishedBatches(source, rows, recipe)
    best: tuple[float, nn.Module] | None = None
    for rate in RATES:
        torch.manual_seed(seed)
        network = make(len(source.corpus.classes))
        fitted = training.fit(
            network,
            torch.optim.Adam(network.parameters(), lr=rate),
            batches=batches,
            steps_per_epoch=batches.steps,
            loss=_published_loss(recipe.label_smoothing),
            score=_published_score(source, selection, batches.population),
            schedule=training.Schedule(epochs=recipe.epochs, average_decay=0.99, clip_norm=5.0),
            folder=folder / f"{make.__name__}-{rate}",
            seed=seed,
            resume=True,
            title=make.__name__,
        )
        if best is None or fitted.score > best[0]:
            best = fitted.score, network
    assert best is not None
    return _published_answer(source, best[1], batches.population, recipe.prior_clips)


def _ask(network: nn.Module, inputs: Tensor, steps: Tensor | None) -> Tensor:
    return network(inputs) if steps is None else network(inputs, steps)


def _published_loss(smoothing: float) -> Callable:
    def loss(network: nn.Module, batch) -> Tensor:
        inputs, steps, targets = batch
        with torch.autocast("cpu", torch.bfloat16):
            logits = _ask(network, inputs, steps)
        logs = logits.float().log_softmax(1)
        return (-(1 - smoothing) * (targets * logs).sum(1) - smoothing * targets.sum(1) * logs.mean(1)).mean()

    return loss


def _published_score(source: Published, rows: np.ndarray, usual: np.ndarray) -> Callable[[nn.Module], float]:
    """As for ours: mean log-likelihood with equal weight for every class."""
    truth = source.corpus.labels[rows]
    inputs, steps = source.inputs(np.zeros(len(rows), int), rows, usual)

    @torch.no_grad()
    def score(network: nn.Module) -> float:
        logs = _ask(network, inputs, steps).log_softmax(1).numpy()
        right = np.maximum(logs[np.arange(len(rows)), truth], np.log(1e-6))
        return float(np.mean([right[truth == label].mean() for label in np.unique(truth)]))

    return score


def _published_answer(source: Published, network: nn.Module, usual: np.ndarray, prior_clips: float) -> Answer:
    @torch.no_grad()
    def answer(asked: np.ndarray, own: np.ndarray | None) -> np.ndarray:
        moments = usual if own is None else shrink(source.moments[0, own].mean(axis=0), len(own), usual, prior_clips)
        inputs, steps = source.inputs(np.zeros(len(asked), int), asked, moments)
        return _ask(network.eval(), inputs, steps).softmax(1).double().numpy()

    return answer


def fit_svm(voices: VoiceSet, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int) -> Answer:
    """RBF-SVM on mean and deviation of MFCC + Δ + ΔΔ; one for K = 0 and one that learned with baselines."""
    return _svm(voices.corpus, rows, selection, seed, voice_peers.DISGUISES)


def fit_opensmile(feature_set: str) -> Fit:
    """RBF-SVM on a standard feature set of openSMILE, z-scored; the clips alone, without disguises."""

    def fit(voices: VoiceSet, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int) -> Answer:
        from emotion.bench import opensmile_features

        table = opensmile_features.table(feature_set, voices.corpus, voices.cache)
        return _svm(replace(voices.corpus, statistics=table[None]), rows, selection, seed, (1,))

    return fit


def _svm(corpus: Corpus, rows: np.ndarray, selection: np.ndarray, seed: int, disguises: tuple[int, ...]) -> Answer:
    models = {
        k: voice_peers.StatisticsSVM(k, seed=seed, disguises=disguises).fit(corpus, rows, selection) for k in (0, 10)
    }

    def answer(asked: np.ndarray, own: np.ndarray | None) -> np.ndarray:
        if own is None:
            said = models[0].predict(corpus, asked)
        else:
            said = models[10].predict(corpus, asked, voice_peers.moments(corpus.statistics[0, own]))
        return np.eye(len(corpus.classes))[said]

    return answer


def fit_leak(voices: VoiceSet, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int) -> Answer:
    """Durations of file and speech, and the corpus: what can be had without listening."""
    corpus = voices.corpus

    def answer(asked: np.ndarray, own: np.ndarray | None) -> np.ndarray:
        return np.eye(len(corpus.classes))[voice_peers.recording_leak(corpus, rows, asked)]

    return answer


RELEASED = "compact_voice, released recipe"
LONGER = "compact_voice, released recipe, longer crops"
METHODS: dict[str, Fit] = {
    "compact_voice": fit_compact,
    RELEASED: fit_released,
    LONGER: fit_longer,
    "mfcc_lstm": fit_lstm,
    "speech_cnn": fit_cnn,
    "svm": fit_svm,
    "egemaps_svm": fit_opensmile("eGeMAPSv02"),
    "compare_svm": fit_opensmile("ComParE_2016"),
    "durations_and_corpus": fit_leak,
}
# One network answers in eight and in seven classes.
MERGED = ("compact_voice", RELEASED, LONGER, "mfcc_lstm", "speech_cnn")
