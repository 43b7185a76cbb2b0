"""openSMILE's standard feature sets as a peer, where somebody has installed it.

openSMILE (Eyben et al. 2010) comes under audEERING's research licence, which excludes commercial use: it is no
dependency of this project, not even of its benches. Who may use it puts the `opensmile` wheel on the path of a
bench run; without it these cells are left out, which the bench says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emotion.bench.voice_data import BAND, cached
from emotion.recording import SAMPLE_RATE_HZ, decode, extract
from emotion.voice_corpus import Corpus


def table(feature_set: str, corpus: Corpus, cache: Path) -> np.ndarray:
    """Functionals of every clip, (n, S) float32: 88 for eGeMAPSv02, 6,373 for ComParE_2016.

    Read from the same levelled, filtered and trimmed speech as everything else. Raises `ModuleNotFoundError`.
    """
    name = f"{feature_set}-{corpus.clips[0].corpus}-{len(corpus.clips)}-{len(corpus.classes)}.npz"
    return cached(cache / name, lambda: {"table": _measure(feature_set, corpus)})["table"]


def _measure(feature_set: str, corpus: Corpus) -> np.ndarray:
    import opensmile

    smile = opensmile.Smile(feature_set=feature_set, feature_level=opensmile.FeatureLevel.Functionals)
    rows = []
    for clip in corpus.clips:
        speech = extract(*decode(clip.path), band=BAND)
        rows.append(smile.process_signal(speech.samples, SAMPLE_RATE_HZ).to_numpy()[0])
    return np.nan_to_num(np.array(rows, dtype=np.float32))
