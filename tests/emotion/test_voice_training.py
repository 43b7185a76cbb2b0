import numpy as np
import pytest
import soundfile
import torch

from emotion import voice_batches, voice_bench, voice_corpus, voice_training
from emotion.checkpoint import load as load_checkpoint
from emotion.data import emodb, nemo, ravdess
from emotion.data.clips import Clip
from emotion.networks.compact_voice import standardise
from emotion.voice import VoiceRecogniser
from emotion.voice_batches import Recipe
from emotion.voice_corpus import Corpus
from emotion.voice_peers import recording_leak
from emotion.voice_training import split, train
from tests.emotion.voices import voice, wav

RISES = {"01": 0.0, "03": 0.6, "04": -0.3, "05": 0.3, "06": 0.9, "07": -0.5, "08": 1.3}  # emotion code: pitch contour


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """RAVDESS, EMO-DB and nEMO in small: seven actors, two speakers each; the pitch contour is the emotion."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "ravdess_speech").mkdir()
    (folder / "emodb" / "first2s_16k").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for actor in (1, 2, 3, 4, 5, 6, 7):
        for code, rise in RISES.items():
            for take in (1, 2):
                sound = voice(1.6, rng.uniform(110, 200), rise, noise=3e-4, seed=int(rng.integers(1e6)))
                name = f"03-01-{code}-01-01-{take:02d}-{actor:02d}.wav"
                soundfile.write(folder / "ravdess_speech" / name, sound, 16_000)
    for speaker in ("03", "09"):
        for letter in "WEAFNTL":
            sound = voice(1.6, rng.uniform(110, 200), noise=3e-4, seed=int(rng.integers(1e6)))
            soundfile.write(folder / "emodb" / "first2s_16k" / f"{speaker}a01{letter}a.wav", sound, 16_000)
    (folder / "nemo" / "samples").mkdir(parents=True)
    (folder / "nemo" / "data.tsv").write_text("speaker_id\tgender\nEB0\tfemale\nKD0\tmale\n")
    for speaker in ("EB0", "KD0"):
        for label in nemo.LABELS:
            sound = voice(1.6, rng.uniform(110, 200), noise=3e-4, seed=int(rng.integers(1e6)))
            soundfile.write(folder / "nemo" / "samples" / f"{speaker}_{label}_1.ogg", sound, 16_000)
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return out, train(data, out, folds=1, recipe=Recipe(epochs=3, members=2, batch=16, group=4))


def test_labels_people_and_sexes_come_from_the_file_names(data):
    acted = ravdess.clips(data / "ravdess_speech")
    german = emodb.clips(data / "emodb" / "first2s_16k")

    assert len(acted) == 7 * 7 * 2
    assert (acted[0].label, acted[0].person, acted[0].sex) == ("neutral", "ravdess-01", "male")
    assert {clip.label for clip in german} == set(emodb.LABELS.values())  # no boredom
    assert {(clip.person, clip.sex) for clip in german} == {("emodb-03", "male"), ("emodb-09", "female")}


def test_missing_data_are_named(tmp_path):
    with pytest.raises(Exception, match="RAVDESS") as missing:
        train(tmp_path, tmp_path / "out", folds=0)
    assert type(missing.value).__name__ in {"DataMissing", "NoData"}


def test_training_writes_a_checkpoint_that_reads_recordings(run):
    out, card = run
    recogniser = VoiceRecogniser.load(out / "voice.safetensors")

    assert recogniser.card["sha256"] == card["sha256"]
    assert recogniser.predict(wav(voice(2.0))).probabilities.sum() == pytest.approx(1)
    assert card["people_left_out"]["ravdess"]["n"] == 2 * 14  # actors 2 and 5
    assert (out / "results.jsonl").read_text().count("compact_voice") >= 2


def test_a_resumed_run_ends_where_the_uninterrupted_one_did(run, data, tmp_path, monkeypatch):
    out, card = run
    whole = voice_batches.Batches.__call__

    def cut_short(self, rng):
        if rng.bit_generator.seed_seq.entropy == [0, 2]:
            raise KeyboardInterrupt
        return whole(self, rng)

    settings = {"folds": 0, "recipe": Recipe(epochs=3, members=2, batch=16, group=4)}
    monkeypatch.setattr(voice_batches.Batches, "__call__", cut_short)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path, **settings)
    monkeypatch.setattr(voice_batches.Batches, "__call__", whole)
    train(data, tmp_path, resume=True, **settings)

    expected, _ = load_checkpoint(out / "voice.safetensors")
    again, _ = load_checkpoint(tmp_path / "voice.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in expected.items())


def test_the_network_learns_what_the_contour_means(data, tmp_path):
    """On actors it never heard, after a minute's worth of steps, far above one in seven."""
    corpus = voice_corpus.load(ravdess.clips(data / "ravdess_speech"), tmp_path)
    judged = np.flatnonzero(np.isin(corpus.people, ["ravdess-02", "ravdess-05"]))
    fit_rows = np.flatnonzero(~np.isin(corpus.people, ["ravdess-02", "ravdess-05"]))
    recipe = Recipe(epochs=14, batch=16, group=4, mixup=0.0)

    network, _ = voice_training.fit_network(corpus, fit_rows, judged, recipe=recipe, folder=tmp_path / "net", seed=0)
    said = voice_bench.decide(network, voice_bench.embed(network, corpus, judged))

    assert (said.argmax(1) == corpus.labels[judged]).mean() > 0.4


def test_nobody_is_on_two_sides():
    people = np.repeat(
        [ravdess.person(a) for a in range(1, 21)]
        + [f"emodb-{s}" for s in ("03", "08", "09", "10")]
        + ["nemo-EB0", "nemo-MK0", "nemo-TP0"],
        3,
    )
    for fold in voice_training.FOLDS:
        sides = [set(people[rows]) for rows in split(people, fold, seed=0)]
        assert set.union(*sides) == set(people)
        assert sum(map(len, sides)) == len(set(people))
        assert sides[2] == set(fold) & set(people)
        assert len(sides[1]) == 4


def corpus_of_lengths(lengths_s, labels):
    n = len(labels)
    clips = [Clip(None, "anger", f"ravdess-{i % 5:02d}", "ravdess", "male") for i in range(n)]
    rng = np.random.default_rng(0)
    spectra = [[rng.normal(-40, 10, (40, 120 + i)).astype(np.float16) for i in range(n)]] * len(voice_corpus.SPEEDS)
    moments = np.array([[voice_corpus.spectral_moments(s) for s in row] for row in spectra])
    return Corpus(clips, spectra, moments, np.zeros((1, n, 240)), labels, np.column_stack([lengths_s] * 2), {})


def test_the_leak_detector_finds_a_leak_in_the_durations_and_nothing_without_one():
    rng = np.random.default_rng(0)
    labels = rng.integers(7, size=700)
    leaking = corpus_of_lengths(1 + labels + rng.uniform(0, 0.5, 700), labels)
    clean = corpus_of_lengths(rng.uniform(1, 8, 700), labels)
    first, second = np.arange(500), np.arange(500, 700)

    assert (recording_leak(leaking, first, second) == labels[second]).mean() > 0.95
    assert (recording_leak(clean, first, second) == labels[second]).mean() < 0.3


def test_every_recording_of_a_batch_is_cut_to_one_length():
    corpus = corpus_of_lengths(np.ones(40), np.arange(40) % 7)
    batches = voice_batches.Batches(corpus, np.arange(40), Recipe(batch=8, group=4, crop_frames=(50, 300)))
    lengths = {inputs.shape[-1] for inputs, _ in batches(np.random.default_rng(0))}

    assert batches.steps == 5
    assert len(lengths) > 1  # drawn anew for each batch, shorter and longer than the clips
    assert all(50 <= length < 300 for length in lengths)


def test_a_group_is_one_person_and_nobody_is_left_out():
    corpus = corpus_of_lengths(np.ones(43), np.arange(43) % 7)  # persons 0 to 2 have nine clips, 3 and 4 eight
    batches = voice_batches.Batches(corpus, np.arange(43), Recipe(group=4))
    few = voice_batches.Batches(corpus, np.arange(10), Recipe(group=4))  # two clips of each

    groups = batches.groups(np.random.default_rng(0))

    assert [len(set(corpus.people[rows])) for rows in groups] == [1] * 10
    assert len(set(np.concatenate(groups))) == 40
    assert {corpus.people[rows[0]] for rows in few.groups(np.random.default_rng(0))} == set(corpus.people)


def test_a_short_clip_is_repeated_and_a_long_one_cut():
    clip = np.arange(10, dtype=np.float32)[None].repeat(40, axis=0)
    repeated = voice_batches.crop(clip, 25, np.random.default_rng(0))
    cut = voice_batches.crop(clip, 4, np.random.default_rng(0))

    assert repeated.shape == (40, 25)
    assert (np.diff(repeated[0]) % 10 == 1).all()
    assert (np.diff(cut[0]) == 1).all()


def test_clips_of_a_group_are_heard_through_nearly_one_microphone():
    corpus = corpus_of_lengths(np.ones(40), np.arange(40) % 7)
    batches = voice_batches.Batches(corpus, np.arange(40), Recipe(group=4))
    curves = batches.equalisers(400, np.random.default_rng(0)).reshape(100, 4, 40)

    assert curves.std(axis=1).mean() < curves.mean(axis=1).std(axis=0).mean() / 2


def test_no_microphone_can_shift_the_second_view():
    spectrum = torch.randn(1, 40, 100) * 5 - 30
    flat, usual = torch.zeros(40), torch.ones(40)
    coloured = spectrum + torch.linspace(-6, 6, 40)[None, :, None]

    before, after = standardise(spectrum, flat, usual), standardise(coloured, flat, usual)

    assert torch.allclose(before[:, 1], after[:, 1], atol=1e-4)
    assert (before[:, 0] - after[:, 0]).abs().max() > 5


def test_shrinking_goes_from_the_population_to_the_person():
    population, person = np.array([0.0, 10.0]), np.array([8.0, 2.0])

    assert voice_corpus.shrink(person, 0, population, 8) == pytest.approx(population)
    assert voice_corpus.shrink(person, 8, population, 8) == pytest.approx([4, 6])
    assert voice_corpus.shrink(person, 10**9, population, 8) == pytest.approx(person)
