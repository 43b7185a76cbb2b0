"""The voice bench: nobody on two sides, the same rows for K = 0 and K = 10, figures that a reader can check."""

import librosa
import numpy as np
import pytest

from emotion import voice_corpus
from emotion.bench import voice, voice_data, voice_report
from emotion.bench.cells import Cell
from emotion.bench.voice_methods import Published, PublishedBatches
from emotion.data import emodb, nemo, ravdess
from emotion.data.clips import Clip
from emotion.estimate import EMOTIONS
from emotion.voice_batches import Recipe
from emotion.voice_corpus import Corpus
from tests.emotion.voices import voice as speech

EIGHT = voice_data.RAVDESS_CLASSES


def corpus_of(people, classes=EIGHT, each=8):
    """`each` clips of every class per person, with spectra that tell nothing."""
    rng = np.random.default_rng(0)
    clips = [
        Clip(None, name, who, who.split("-")[0], "female") for who in people for name in classes for _ in range(each)
    ]
    spectra = [[rng.normal(-40, 5, (40, 60)).astype(np.float16) for _ in clips]]
    moments = np.array([[voice_corpus.spectral_moments(s) for s in spectra[0]]])
    labels = np.array([classes.index(clip.label) for clip in clips])
    return Corpus(
        clips, spectra, moments, np.zeros((1, len(clips), 240)), labels, np.ones((len(clips), 2)), {}, classes
    )


def all_of_ravdess():
    return corpus_of([ravdess.person(actor) for actor in range(1, 21)], each=1)


def test_every_actor_is_judged_once_and_nobody_is_on_two_sides():
    corpus, judged = all_of_ravdess(), []
    for fold in range(1, 6):
        sides = [set(corpus.people[rows]) for rows in voice.split(corpus, "ravdess", f"fold {fold}", seed=0)]
        assert len(set.union(*sides)) == sum(map(len, sides)) == 20
        judged += sorted(sides[2])
    assert sorted(judged) == sorted(set(corpus.people))


def test_across_corpora_a_whole_corpus_is_strange():
    people = [*(ravdess.person(a) for a in (1, 2, 3, 4)), "emodb-03", "emodb-08", "nemo-EB0", "nemo-IC0"]
    corpus = corpus_of(people, voice_data.SHARED_CLASSES, each=1)
    learn, choose, judged = voice.split(corpus, "across", "to nemo", seed=0)

    assert set(corpus.corpora[judged]) == {"nemo"}
    assert set(corpus.corpora[np.concatenate([learn, choose])]) == {"ravdess", "emodb"}


def test_with_and_without_a_baseline_the_same_rows_are_scored():
    corpus = corpus_of(["ravdess-02", "ravdess-05"])
    asked = []

    def answer(rows, own):
        asked.append((rows, own))
        right = np.eye(8)[corpus.labels[rows]]
        return right if own is not None else 1 - right  # always right with a baseline, never without

    found = voice.conditions(corpus, np.arange(len(corpus.clips)), answer, seed=0)

    for drawn in ("random", "80 % sadness", "80 % neutral"):
        counts = {k: found[f"K={k} {drawn}"]["people"] for k in (0, 10)}
        assert {p: rows for p, (rows, _) in counts[0].items()} == {p: rows for p, (rows, _) in counts[10].items()}
        assert voice_report.pooled({p: np.array(c) for p, c in counts[10].items()}) == 1
        assert voice_report.pooled({p: np.array(c) for p, c in counts[0].items()}) == 0
    for rows, own in asked[1:]:
        assert len(own) == 10
        assert not set(rows) & set(own)
        assert len({corpus.people[row] for row in (*rows, *own)}) == 1


def test_a_skewed_baseline_is_four_fifths_of_one_emotion():
    corpus = corpus_of(["ravdess-02"], EMOTIONS, each=12)
    drawn = {draw.name: draw.parts[0][0] for draw in voice.draws(corpus, np.arange(len(corpus.clips)), 0)}

    assert (corpus.labels[drawn["80 % sadness"]] == EMOTIONS.index("sadness")).sum() == 8
    assert (corpus.labels[drawn["80 % neutral"]] == EMOTIONS.index("neutral")).sum() == 8


def test_calm_and_neutral_together_weigh_as_much_as_any_other_emotion():
    seven = voice_data.merge_calm(np.full((1, 8), 1 / 8))
    sure = voice_data.merge_calm(np.eye(8)[[EIGHT.index("calm")]])

    assert seven == pytest.approx(np.full((1, 7), 1 / 7))
    assert sure[0, EMOTIONS.index("neutral")] == 1


def test_the_seven_classes_of_ravdess_are_the_served_ones():
    corpus = all_of_ravdess()
    seven = voice_data.seven_classes(corpus)

    assert seven.classes == EMOTIONS
    for own, served in zip(corpus.labels, seven.labels, strict=True):
        assert EMOTIONS[served] == {"calm": "neutral"}.get(EIGHT[own], EIGHT[own])


def test_the_162_features_are_those_of_librosa():
    sound = speech(1.5, rise=0.4)
    spectrum = np.abs(librosa.stft(sound))
    expected = [
        librosa.feature.zero_crossing_rate(sound),
        librosa.feature.chroma_stft(S=spectrum, sr=16_000, tuning=0.0),
        librosa.feature.mfcc(y=sound, sr=16_000, n_mfcc=20),
        librosa.feature.rms(y=sound),
        librosa.feature.melspectrogram(y=sound, sr=16_000),
    ]
    found = voice_data.feature_vector(sound)

    assert found.shape == (162,)
    assert found == pytest.approx(np.concatenate([rows.mean(1) for rows in expected]), rel=1e-4, abs=1e-4)


def test_a_sequence_is_three_seconds_of_mfcc_every_25_ms():
    long, steps = voice_data.mfcc_sequence(speech(4.0))
    short, fewer = voice_data.mfcc_sequence(speech(1.0))
    emphasised = np.append(speech(4.0)[:1], speech(4.0)[1:] - 0.95 * speech(4.0)[:-1]).astype(np.float32)
    mel = librosa.feature.melspectrogram(
        y=emphasised, sr=16_000, n_fft=512, win_length=400, hop_length=400, window="hamming", center=False, n_mels=40
    )
    expected = librosa.feature.mfcc(S=np.maximum(10 * np.log10(np.maximum(mel, 1e-10)), -70), n_mfcc=13)[:, :120]

    assert (steps, fewer) == (120, 39)
    assert pytest.approx(expected, abs=0.3) == long.T  # kept in 16 bits
    assert not short[39:].any()


def test_padding_stays_zero_after_scoring_against_a_baseline():
    sequences = np.zeros((1, 2, 120, 13), np.float16)
    sequences[0, 0, :50], sequences[0, 1] = 3.0, -1.0
    steps = np.array([[50, 120]])
    source = Published(corpus_of(["ravdess-01"], EIGHT, 1), sequences, np.zeros((1, 2, 2, 13)), steps)
    usual = np.stack([np.full(13, 1.0), np.full(13, 5.0)])  # mean 1, deviation 2

    inputs, real = source.inputs(np.zeros(2, int), np.arange(2), usual)

    assert inputs[0, :50].unique().tolist() == [1.0]
    assert not inputs[0, 50:].any()
    assert inputs[1].unique().tolist() == [-1.0]
    assert real.tolist() == [50, 120]


def test_a_peer_reads_a_clip_against_others_of_its_person_or_against_everybody():
    corpus = corpus_of(["ravdess-01", "ravdess-02"], EIGHT, each=2)
    first = corpus.people == "ravdess-01"
    vectors = np.where(first, 10.0, -10.0)[None, :, None] * np.ones((1, len(first), 162))
    moments = np.stack([vectors, vectors**2], axis=2)
    recipe = Recipe(batch=8, prior_clips=8.0)
    batches = PublishedBatches(Published(corpus, vectors, moments, None), np.arange(len(first)), recipe)
    rng = np.random.default_rng(0)
    means = np.array([batches.baseline(0, 0, rng)[0, 0] for _ in range(200)])  # the first row is of ravdess-01

    assert 0.3 < (means == 0).mean() < 0.7  # half the time the population's, which lies between the two
    assert (means >= 0).all()
    assert 5 < means.max() < 10  # towards the person, and shrunken
    inputs, steps, targets = next(iter(batches(rng)))
    assert (inputs.shape, steps, targets.shape) == ((8, 162), None, (8, 8))


def line(method, fold, people, seed=0):
    tally = {"classes": ["a", "b"], "table": [[0, 0], [0, 0]], "people": people}
    own = dict.fromkeys(voice_report.CONDITIONS, tally)
    return {"bench": "E2", "method": method, "data": f"ravdess fold {fold}", "seed": seed, "own": own}


def test_folds_are_pooled_so_that_each_recording_counts_once(tmp_path):
    lines = [
        line("compact_voice", 1, {"x": [[10, 10], [10, 5]]}),
        line("compact_voice", 2, {"y": [[30, 10], [10, 5]]}),  # together 20 of 40 and 10 of 20: 50 %
        line("svm", 1, {"x": [[10, 10], [5, 5]]}),
        line("svm", 2, {"y": [[30, 10], [15, 0]]}),  # 20 of 40 and 5 of 20: 37.5 %
    ]
    text = voice_report.write(lines, 7, tmp_path)

    assert "4 of 7 cells" in text
    assert "| `compact_voice` | 2 × 1 | 50.0 |" in text
    assert "| `svm` | 2 × 1 | 37.5 |" in text
    assert "`compact_voice` against the best peer, K=0: `svm`, difference +12.5 points" in text
    assert (tmp_path / "emotion-voice.svg").read_text().count("RAVDESS, eight classes") >= 1


def test_without_opensmile_its_cells_are_left_out_and_the_reason_is_told(monkeypatch):
    monkeypatch.setattr(voice, "find_spec", lambda name: None)

    assert "licence" in voice.missing(Cell("E2", "egemaps_svm", "ravdess fold 1"))
    assert voice.missing(Cell("E2", "svm", "ravdess fold 1")) is None


def test_no_cell_is_named_twice():
    keys = [cell.key for cell in voice.cells()]
    assert len(keys) == len(set(keys))
    assert set(voice.cells(quick=True)[0].data.split()) == {"emodb-full", "10"}


def test_own_classes_of_emodb_and_sexes_of_nemo(tmp_path):
    for name in ("03a01Fa.wav", "03a01La.wav"):
        (tmp_path / name).touch()
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "EB0_surprised_3.ogg").touch()
    (tmp_path / "data.tsv").write_text("file_id\tspeaker_id\tgender\nx\t  EB0\tfemale\n")

    assert [clip.label for clip in emodb.clips(tmp_path)] == ["happiness"]
    assert [clip.label for clip in emodb.clips(tmp_path, emodb.OWN_LABELS)] == ["happiness", "boredom"]
    assert [(c.label, c.person, c.sex) for c in nemo.clips(tmp_path)] == [("surprise", "nemo-EB0", "female")]


def test_a_figure_is_the_mean_over_the_seeds_with_the_most_folds():
    seeds = {s: {"K=0": ({"x": np.array([[10, 10], [r, r]])}, 5)} for s, r in ((0, 4), (1, 6))}
    seeds[2] = {"K=0": ({"x": np.array([[10, 10], [10, 10]])}, 1)}  # one fold only: not comparable

    assert voice_report.figure_of(seeds, "K=0") == (pytest.approx(0.5), 5, 2)
