"""Tables of posteriors for the fusion and disparity benches, from the data sets themselves."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np

from emotion.data.clips import DataMissing
from emotion.fusion.posteriors import Table

RAVDESS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
CREMA = {"A": "ANG", "D": "DIS", "F": "FEA", "H": "HAP", "N": "NEU", "S": "SAD"}
BAD_CREMA = {"1076_MTI_NEU_XX", "1076_MTI_SAD_XX", "1064_TIE_SAD_XX", "1064_IEO_DIS_MD"}
HALF_A_VOTE = 0.5
IDS_OF_A_KIND = 100_000  # ids of voice-only ratings; face-only from 200001, both from 300001


def ravdess(data: Path) -> Table:
    """Held-out posteriors of a wav2vec voice and a bi-LSTM on facial action units: 20 actors, 8 classes."""
    rows = _rows(data / "ravdess_multimodal" / "heldout_posteriors.csv")
    columns = {"voice": "voice_wav2vec", "face": "face_bilstm_AU"}
    posteriors = {m: _numbers(rows, [f"{name}_{c}" for c in RAVDESS]) for m, name in columns.items()}
    return _table(
        RAVDESS,
        posteriors,
        [RAVDESS.index(row["emotion"]) for row in rows],
        [f"actor {int(row['actor']):02d}" for row in rows],
        [row["clip"] for row in rows],
    )


def crema_d(data: Path, truth: str) -> Table:
    """Shares of human votes, half a vote added to each class: voice only and face only.

    truth: "intended", what the actor was asked to express, or "audiovisual", what most raters of both said;
    clips whose vote was a tie are left out there.
    """
    rows = _rows(data / "crema_d_ratings" / "tabulatedVotes.csv.gz")
    votes: dict[int, dict[str, np.ndarray]] = {1: {}, 2: {}, 3: {}}
    for row in rows:
        counts = np.array([float(row[letter]) for letter in CREMA])
        votes[int(row["Unnamed: 0"]) // IDS_OF_A_KIND][row["fileName"]] = counts
    clips = sorted((set(votes[1]) & set(votes[2]) & set(votes[3])) - BAD_CREMA)
    if truth == "audiovisual":
        clips = [clip for clip in clips if (votes[3][clip] == votes[3][clip].max()).sum() == 1]
        labels = [int(votes[3][clip].argmax()) for clip in clips]
    else:
        labels = [list(CREMA.values()).index(clip.split("_")[2]) for clip in clips]
    posteriors = {m: _shares(np.array([votes[kind][c] for c in clips])) for m, kind in (("voice", 1), ("face", 2))}
    return _table(tuple(CREMA.values()), posteriors, labels, [clip.split("_")[0] for clip in clips], clips)


def mosi(data: Path) -> Table:
    """Positive or negative opinion, 3 modalities: logistic regressions fitted on train, posteriors of the test videos.

    The text and video features have seen the training labels, so that nothing about fusion is learnt there.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    path = data / "mosi_utterance_features" / "mosi.npz"
    if not path.exists():
        raise DataMissing(f"{path} is not there")
    stored = np.load(path, allow_pickle=False)
    train, test = stored["split"] == "train", stored["split"] == "test"
    posteriors = {}
    for modality, name in (("voice", "audio"), ("face", "video"), ("text", "text")):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        model.fit(np.nan_to_num(stored[name][train]), stored["label"][train])
        posteriors[modality] = model.predict_proba(np.nan_to_num(stored[name][test]))
    videos = [str(v) for v in stored["video_id"][test]]
    clips = [f"{v}-{u}" for v, u in zip(videos, stored["utterance"][test], strict=True)]
    return _table(("negative", "positive"), posteriors, [int(x) for x in stored["label"][test]], videos, clips)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        raise DataMissing(f"{path} is not there")
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def _numbers(rows: list[dict[str, str]], names: list[str]) -> np.ndarray:
    values = np.array([[float(row[name]) for name in names] for row in rows])
    return values / values.sum(1, keepdims=True)


def _shares(votes: np.ndarray) -> np.ndarray:
    smoothed = votes + HALF_A_VOTE
    return smoothed / smoothed.sum(1, keepdims=True)


def _table(
    classes: tuple[str, ...], posteriors: dict[str, np.ndarray], truth: list[int], people: list[str], clips: list[str]
) -> Table:
    return Table(classes, posteriors, np.array(truth), np.array(people), np.array(clips))
