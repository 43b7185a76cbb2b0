"""E8, voices: what other voices, a telephone, codecs and a room cost ours and the SVM on MFCC statistics.

People of a joint fold, whom neither has heard: both learn from the others, as E2 does, and read the same disguised
recordings through the same front end. No condition is part of the training's disguises (steady noise of one colour at 5
to 30 dB, other speeds, equalisers): babble is other people speaking, the codecs are GSM 06.10 and Opus, the room is an
exponential decay. A recording that the front end refuses counts as wrong for both.

Shapes:  N samples   n clips   V disguises of training   M mel bands   C classes
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from emotion import features, voice_training
from emotion.bench import Place, voice_data
from emotion.bench.cells import Cell
from emotion.data.clips import Clip
from emotion.recording import (
    SAMPLE_RATE_HZ,
    UnusableRecording,
    band_pass,
    decode,
    extract,
    find_speech,
    frame_levels_db,
)
from emotion.voice_corpus import Corpus, cepstral_statistics, spectral_moments

CLEAN = "as recorded"
CORPORA = {"ravdess": "RAVDESS", "emodb": "EMO-DB", "nemo": "nEMO"}
METHODS = {"compact_voice": 9.0, "svm": 3.0}  # name: a guess of minutes, with the fold's network or disguises at hand
VOICES_IN_BABBLE = 8
REVERBERATION_S = 0.6
Disguise = Callable[[np.ndarray, np.random.Generator, list[np.ndarray]], np.ndarray]


def babble(samples: np.ndarray, rng: np.random.Generator, others: list[np.ndarray], snr_db: float) -> np.ndarray:
    """Eight other people speaking at once, so far below the person's own speech."""
    chosen = rng.choice(len(others), min(VOICES_IN_BABBLE, len(others)), replace=False)
    crowd = np.zeros(samples.size)
    for number in chosen:
        voice = np.resize(others[number], samples.size)
        crowd += np.roll(voice, int(rng.integers(samples.size))) / voice.std()
    wanted = loudness(samples) * 10 ** (-snr_db / 20)
    return samples + crowd * wanted / crowd.std()


def loudness(samples: np.ndarray) -> float:
    """Root mean square of the frames that hold speech: pauses must not make a noise look louder."""
    levels_db = frame_levels_db(samples)
    return float(10 ** (10 * np.log10(np.mean(10 ** (levels_db[find_speech(levels_db)] / 10))) / 20))


def telephone(samples: np.ndarray, rng: np.random.Generator, others: list[np.ndarray]) -> np.ndarray:
    """300 to 3,400 Hz, 8,000 samples a second."""
    narrow = soxr.resample(band_pass(samples.astype(np.float32), "telephone"), SAMPLE_RATE_HZ, 8000)
    return soxr.resample(narrow, 8000, SAMPLE_RATE_HZ)


def gsm(samples: np.ndarray, rng: np.random.Generator, others: list[np.ndarray]) -> np.ndarray:
    """GSM 06.10 full rate, 13 kbit/s at 8,000 samples a second."""
    narrow = soxr.resample(_within(samples), SAMPLE_RATE_HZ, 8000)
    return soxr.resample(_through(narrow, 8000, "WAV", "GSM610"), 8000, SAMPLE_RATE_HZ)


def opus(samples: np.ndarray, rng: np.random.Generator, others: list[np.ndarray]) -> np.ndarray:
    """Opus at about 10 kbit/s, wide band."""
    return _through(_within(samples), SAMPLE_RATE_HZ, "OGG", "OPUS", compression_level=0.99)


def _through(samples: np.ndarray, rate_hz: int, container: str, codec: str, **settings: float) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=container, subtype=codec, **settings)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def _within(samples: np.ndarray) -> np.ndarray:
    """At half of full scale: a codec has few bits for a whisper, and RAVDESS is very quiet."""
    return 0.5 * samples / max(float(np.abs(samples).max()), 1e-9)


def room(samples: np.ndarray, rng: np.random.Generator, others: list[np.ndarray]) -> np.ndarray:
    """A hard room: noise that falls by 60 dB in .6 s, as strong as the direct sound."""
    at_s = np.arange(int(REVERBERATION_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.standard_normal(at_s.size) * 10 ** (-3 * at_s / REVERBERATION_S)
    size = samples.size + tail.size
    echo = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail / np.linalg.norm(tail), size), size)
    return samples + echo[: samples.size]


CONDITIONS: dict[str, Disguise] = {
    CLEAN: lambda samples, rng, others: samples,
    "babble at 20 dB": partial(babble, snr_db=20.0),
    "babble at 10 dB": partial(babble, snr_db=10.0),
    "babble at 0 dB": partial(babble, snr_db=0.0),
    "telephone band": telephone,
    "GSM 06.10": gsm,
    "Opus at 10 kbit/s": opus,
    "hard room": room,
}


def cells() -> list[Cell]:
    """Both methods on every joint fold."""
    return [
        Cell("E8", method, f"voices of fold {fold}", 0, minutes)
        for fold in range(1, len(voice_training.FOLDS) + 1)
        for method, minutes in METHODS.items()
    ]


def work(cell: Cell, place: Place) -> dict[str, Any]:
    """Rows and right rows of each class, for each person, under every condition.

    The states of a fold that `python -m emotion train voice --out DIR` left may be put into the cell's folder: it then
    goes on from there.
    """
    from emotion.bench import voice

    fold = int(cell.data.split()[-1])
    voices = voice_data.load("joint", place.data, place.cache)
    learn, choose, judged = voice.split(voices.corpus, "joint", str(fold), cell.seed)
    many, rows = disguised(voices.corpus, judged, cell.seed, place.cache / f"robustness-voices-{fold}.npz")
    folder = state_folder(place.cache, cell)
    answer = _fit(cell.method)(replace(voices, corpus=many), learn, choose, folder, cell.seed)
    told = {name: tally(voices.corpus, judged, rows[name], answer) for name in CONDITIONS}
    shutil.rmtree(folder, ignore_errors=True)
    return {"n": len(judged), "classes": list(voices.corpus.classes), "conditions": told}


def _fit(method: str) -> Callable:
    """As E2 fits it; of the SVM the one for K = 0 alone."""
    from emotion.bench.voice_methods import METHODS as FITS

    return fit_svm if method == "svm" else FITS[method]


def fit_svm(voices: voice_data.VoiceSet, rows: np.ndarray, selection: np.ndarray, folder: Path, seed: int) -> Callable:
    """RBF-SVM on mean and deviation of MFCC + Δ + ΔΔ, its cost and augmentation chosen on the selection people."""
    from emotion.voice_peers import StatisticsSVM

    model = StatisticsSVM(0, seed=seed).fit(voices.corpus, rows, selection)
    return lambda asked, own: np.eye(len(voices.corpus.classes))[model.predict(voices.corpus, asked)]


def state_folder(cache: Path, cell: Cell) -> Path:
    return cache / "states" / "-".join(["E8", cell.method, *cell.data.split(), str(cell.seed)])


def tally(corpus: Corpus, judged: np.ndarray, rows: np.ndarray, answer: Callable) -> dict[str, Any]:
    """rows: where each judged clip stands under this condition, -1 where it was refused."""
    said = np.full(len(judged), -1)
    heard = rows >= 0
    if heard.any():
        said[heard] = answer(rows[heard], None).argmax(1)
    truth, people, count = corpus.labels[judged], corpus.people[judged], len(corpus.classes)
    return {
        "refused": int((~heard).sum()),
        "people": {
            str(person): [
                np.bincount(truth[people == person], minlength=count).tolist(),
                np.bincount(truth[(people == person) & (said == truth)], minlength=count).tolist(),
            ]
            for person in sorted(set(people))
        },
    }


def disguised(corpus: Corpus, judged: np.ndarray, seed: int, cache: Path) -> tuple[Corpus, dict[str, np.ndarray]]:
    """The corpus with the disguised clips behind its own, and where each judged one stands, (n,); -1 where refused."""
    arrays = voice_data.cached(cache, lambda: _prepared([corpus.clips[row] for row in judged], seed))
    number, conditions = arrays["number"], arrays["condition"]
    rows = {name: np.full(len(judged), -1) for name in CONDITIONS}
    for place, (clip, condition) in enumerate(zip(number, conditions, strict=True)):
        rows[list(CONDITIONS)[condition]][clip] = len(corpus.clips) + place
    logs = np.split(arrays["frames"], np.cumsum(arrays["lengths"])[:-1], axis=1)
    variants, source = len(corpus.spectra), judged[number]
    moments = np.stack([spectral_moments(log) for log in logs])
    return replace(
        corpus,
        clips=[*corpus.clips, *(corpus.clips[row] for row in source)],
        spectra=[[*mine, *logs] for mine in corpus.spectra],
        moments=np.concatenate([corpus.moments, np.tile(moments, (variants, 1, 1, 1))], axis=1),
        statistics=np.concatenate([corpus.statistics, np.tile(arrays["statistics"], (variants, 1, 1))], axis=1),
        labels=np.concatenate([corpus.labels, corpus.labels[source]]),
        durations_s=np.concatenate([corpus.durations_s, corpus.durations_s[source]]),
    ), rows


def _prepared(clips: list[Clip], seed: int) -> dict[str, np.ndarray]:
    """Every clip under every condition as the front end hears it: spectra, one after the other, and statistics."""
    signals = [_at_our_rate(clip.path) for clip in clips]
    number, condition, logs = [], [], []
    for index, samples in enumerate(signals):
        others = [signals[i] for i, clip in enumerate(clips) if clip.person != clips[index].person]
        for place, disguise in enumerate(CONDITIONS.values()):
            try:
                changed = disguise(samples, np.random.default_rng([seed, index, place]), others)
                speech = extract(np.asarray(changed, np.float32), SAMPLE_RATE_HZ, band=voice_data.BAND)
            except UnusableRecording:
                continue
            number.append(index)
            condition.append(place)
            logs.append(features.log_mel(speech.samples))
    return {
        "number": np.array(number),
        "condition": np.array(condition),
        "lengths": np.array([log.shape[1] for log in logs]),
        "frames": np.concatenate(logs, axis=1).astype(np.float16),
        "statistics": np.array([cepstral_statistics(log) for log in logs], dtype=np.float32),
    }


def _at_our_rate(path: Path) -> np.ndarray:
    samples, rate_hz = decode(path)
    return samples if rate_hz == SAMPLE_RATE_HZ else soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ)


def report(lines: list[dict[str, Any]]) -> list[str]:
    """A table for each corpus, over the folds that both methods have been judged on."""
    by_method = {method: {line["data"]: line for line in lines if line["method"] == method} for method in METHODS}
    folds = sorted(set.intersection(*(set(found) for found in by_method.values())))
    if not folds:
        return []
    told = [f"### Voices, {len(folds)} of {len(voice_training.FOLDS)} folds"]
    pooled = {
        m: {name: _pooled([found[f] for f in folds], name) for name in CONDITIONS} for m, found in by_method.items()
    }
    return told + [_table(corpus, pooled) for corpus in CORPORA if _people(pooled, corpus)]


def _pooled(lines: list[dict[str, Any]], name: str) -> dict[str, np.ndarray]:
    """Of each person (2, C): rows and right rows. Nobody is in two folds."""
    return {p: np.array(c) for line in lines for p, c in line["conditions"][name]["people"].items()}


def _people(pooled: dict[str, dict[str, dict[str, np.ndarray]]], corpus: str) -> list[str]:
    return sorted(person for person in next(iter(pooled.values()))[CLEAN] if person.startswith(corpus))


def uar(counts: np.ndarray) -> float:
    """counts: (2, C), rows and right rows; the mean over the classes that occur."""
    return float((counts[1] / np.maximum(counts[0], 1))[counts[0] > 0].mean())


def _table(corpus: str, pooled: dict[str, dict[str, dict[str, np.ndarray]]]) -> str:
    people, methods = _people(pooled, corpus), list(pooled)
    found = {
        m: {name: uar(np.sum([told[name][p] for p in people], axis=0)) for name in CONDITIONS}
        for m, told in pooled.items()
    }
    clips = int(sum(pooled[methods[0]][CLEAN][p][0].sum() for p in people))
    head = " | ".join(f"`{method}`" for method in methods)
    rows = [f"| {CORPORA[corpus]}: {clips} clips, {len(people)} people | {head} | difference, 95 % |"]
    rows.append("|---" * (len(methods) + 2) + "|")
    for name in CONDITIONS:
        shown = [f"{100 * found[m][name]:.1f} ({100 * found[m][name] / found[m][CLEAN]:.0f})" for m in methods]
        low, high = _interval([pooled[m][name] for m in methods], people)
        rows.append(f"| {name} | {' | '.join(shown)} | {low:+.1f} to {high:+.1f} |")
    return "\n".join([*rows, "", "UAR in %, in brackets the share of the UAR of recordings as they are."])


def _interval(both: list[dict[str, np.ndarray]], people: list[str]) -> tuple[float, float]:
    """Of the difference in points of UAR, over people drawn 2,000 times."""
    rng, counts = np.random.default_rng(0), [np.stack([told[p] for p in people]) for told in both]  # (P, 2, C)
    drawn = rng.integers(len(people), size=(2000, len(people)))
    gaps = [uar(counts[0][row].sum(0)) - uar(counts[1][row].sum(0)) for row in drawn]
    low, high = np.percentile(gaps, [2.5, 97.5])
    return 100 * float(low), 100 * float(high)
