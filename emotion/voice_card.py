"""From a trained voice network and the results on people left out to a checkpoint with its card.

Temperature and abstention threshold come from the predictions on people left out of each fold: the released
network has seen everybody else, so nobody is left to calibrate it on; it is trained on more people than any
fold's network and may be a little less sure than it could be.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from emotion import calibration, checkpoint, voice_bench
from emotion.data import emodb, nemo, ravdess
from emotion.evaluate import confidence_scores, scores, uar_interval
from emotion.networks.compact_voice import VoiceEnsemble
from emotion.training import Fitted
from emotion.voice_corpus import NOISE_SNR_DB, PERMISSIVE, SPEEDS, Corpus

NON_COMMERCIAL = "Non-commercial use only: the network learned from RAVDESS and nEMO, which are CC BY-NC-SA 4.0."
EVERY_USE = "CC BY 4.0: the network learned from EMO-DB alone."
MEANING = "Expressed emotion: what acted voices of these emotions sound like, never what a person feels. No diagnosis."
NOT_MEASURED = (
    "spontaneous speech: all corpora are acted",
    "languages other than those of its corpora (RAVDESS English, EMO-DB German, nEMO Polish)",
    "age: the actors are young adults, of RAVDESS 21 to 33 years old",
    "skin tone and ethnicity: not recorded with these corpora",
    "phones, rooms and codecs of everyday life: all corpora were recorded in studios",
)
DATA = {
    "ravdess": ("RAVDESS speech, calm as neutral", ravdess.LICENCE),
    "emodb": ("EMO-DB, cut to 2 s, without boredom", emodb.LICENCE),
    "nemo": ("nEMO", nemo.LICENCE),
}
UNCALIBRATED = {"temperature": 1.0, "abstention": {"threshold": 0.0, "rule": "not judged: nothing is held back"}}


def write(
    network: VoiceEnsemble,
    fitted: list[Fitted],
    corpus: Corpus,
    results: list[dict[str, Any]],
    path: Path,
    *,
    recipe: Any,
    seed: int,
    selection: np.ndarray,
) -> dict[str, Any]:
    """Save checkpoint and card at `path` and the lines of all folds beside it as `results.jsonl`."""
    lines = [line for result in results for line in result["lines"]]
    path.with_name("results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    card = {
        "network": "compact_voice",
        "modality": "voice",
        "parameters": sum(p.numel() for p in network.parameters()),
        "members": len(network.members),
        "everybody": network.everybody.tolist(),
        "input": "log-mel spectrum (40 Slaney mels, 25 ms Hamming, 10 ms), levelled, filtered and trimmed speech, as "
        "two channels: relative to the population, and normalised over the recording. The logits of the "
        "members are averaged. A personal baseline is their mean over earlier clips, shrunk and taken off.",
        "meaning": MEANING,
        "licence": EVERY_USE if set(corpus.corpora) <= set(PERMISSIVE) else NON_COMMERCIAL,
        "non_commercial": not set(corpus.corpora) <= set(PERMISSIVE),
        "band": recipe.band,
        "prior_clips": recipe.prior_clips,
        "training": _training(fitted, corpus, recipe, seed, selection, len(results)),
        **(_judged(corpus, results, lines) if results else UNCALIBRATED),
        "not_measured": NOT_MEASURED,
    }
    return checkpoint.save(path, network.state_dict(), _rounded(card))


def _training(
    fitted: list[Fitted], corpus: Corpus, recipe: Any, seed: int, selection: np.ndarray, n_folds: int
) -> dict[str, Any]:
    return {
        "data": {
            name: {"clips": int((corpus.corpora == key).sum()), "licence": licence}
            for key, (name, licence) in DATA.items()
            if key in corpus.corpora
        },
        "people": len(set(corpus.people)),
        "held_out_to_choose_the_epoch": sorted(set(corpus.people[selection].tolist())),
        "unusable_clips": len(corpus.unusable),
        "augmentation": f"speed and pitch x{SPEEDS} and an equaliser for groups of clips of one person, coloured "
        f"steady noise at {NOISE_SNR_DB} dB, random crops of one length, masks in time and band, mixup in a group",
        "recipe": asdict(recipe),
        "seed": seed,
        "best_epochs": [one.epoch for one in fitted],
        "epochs_done": [one.epochs_done for one in fitted],
        "minutes": sum(one.seconds for one in fitted) / 60,
        "command": f"python -m emotion train voice --data DIR --out DIR --seed {seed} --epochs {recipe.epochs}"
        + f" --folds {n_folds}"
        + (" --permissive" if set(corpus.corpora) <= set(PERMISSIVE) else ""),
        "classes_never_heard": [c for n, c in enumerate(corpus.classes) if n not in set(corpus.labels.tolist())],
        "date": date.today().isoformat(),
    }


def _judged(corpus: Corpus, results: list[dict[str, Any]], lines: list[dict]) -> dict[str, Any]:
    """Calibration and figures from all people left out, each judged by a network that never heard them."""
    rows = np.concatenate([result["rows"] for result in results]).astype(int)
    raw = np.concatenate([result["raw"] for result in results])
    truth = corpus.labels[rows]
    temperature = calibration.fit_temperature(raw, truth)
    probabilities = np.concatenate([result["calibrated"] for result in results])
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == truth
    return {
        "temperature": temperature,
        "abstention": {
            "threshold": calibration.abstention_threshold(confidence, correct),
            "rule": "below this confidence no label is shown; keeps four fifths of the recordings of people left out",
            "risk_coverage_left_out": calibration.risk_coverage(confidence, correct),
        },
        "people_left_out": {
            "protocol": "each recording judged by a network trained without its fold of people, temperature from other "
            "people; K = 0",
            **{
                name: _figures(corpus, rows, probabilities, corpus.corpora[rows] == name)
                for name in voice_bench.CORPORA
                if name in corpus.corpora
            },
        },
        "folds": voice_bench.summary(lines),
    }


def _figures(corpus: Corpus, rows: np.ndarray, probabilities: np.ndarray, of: np.ndarray) -> dict[str, Any]:
    truth, said, people = corpus.labels[rows][of], probabilities[of].argmax(1), corpus.people[rows][of]
    sexes = np.array([corpus.clips[row].sex for row in rows[of]])
    return {
        "n": len(truth),
        **scores(truth, said),
        "uar_interval_95": uar_interval(truth, said, people, np.random.default_rng(0)),
        **confidence_scores(truth, probabilities[of]),
        "per_sex": {sex: _brief(truth[sexes == sex], said[sexes == sex]) for sex in sorted(set(sexes.tolist()))},
    }


def _brief(truth: np.ndarray, said: np.ndarray) -> dict[str, float]:
    found = scores(truth, said)
    return {"n": len(truth), **{name: found[name] for name in ("uar", "accuracy", "macro_f1")}}


def _rounded(value: Any) -> Any:
    """The same structure with floats of five digits, so that a card reads well."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
