"""Music, noise and things are told from voices and faces, and nobody is refused by what belongs to other weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emotion import checkpoint, speechlike, strangers
from emotion.bench import real_things, strange_things
from emotion.bench import strangers as bench
from emotion.face import FaceRecogniser
from emotion.features import SAMPLE_RATE_HZ, log_mel
from emotion.recording import extract, prepare
from emotion.strangers import Guard
from emotion.voice import VoiceRecogniser

MEDIA = Path(__file__).parents[2] / "fixtures" / "media"
MODALITIES = ["face", "voice"]


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_shipped_guard_belongs_to_the_shipped_weights(modality):
    path = checkpoint.default_path(modality)
    guard = strangers.load(path, checkpoint.read_card(path))
    assert guard is not None, f"run `python -m emotion calibrate-strangers {modality} --data DIR`"
    assert guard.modality == modality


@pytest.fixture
def guard_file(tmp_path):
    path = tmp_path / "face.safetensors"
    strangers.save(path, {"sha256": "a" * 64}, Guard("face", np.array([1.0, -2.0]), 0.5, 0.25), {"people": 3})
    return path


def test_a_guard_comes_back_as_it_was_saved(guard_file):
    guard = strangers.load(guard_file, {"sha256": "a" * 64})
    assert guard.weights.tolist() == [1.0, -2.0]
    assert (guard.modality, guard.bias, guard.threshold) == ("face", 0.5, 0.25)


def test_a_guard_of_other_weights_is_left_unused(guard_file):
    assert strangers.load(guard_file, {"sha256": "b" * 64}) is None


def test_without_a_guard_nobody_is_refused(tmp_path):
    assert strangers.load(tmp_path / "face.safetensors", {"sha256": "a" * 64}) is None


def test_a_broken_guard_is_said_in_words(guard_file):
    strangers.beside(guard_file).write_text(json.dumps({"format": 1}))
    with pytest.raises(checkpoint.BadCheckpoint, match="does not hold"):
        strangers.load(guard_file, {"sha256": "a" * 64})


def test_what_lies_above_the_threshold_is_named_and_loses_its_quality():
    guard = Guard("voice", np.array([1.0]), 0.0, 2.0)
    familiar, strange = guard.judge(np.array([[1.9], [2.1]]))
    assert "code" not in familiar
    assert strange["code"] == "not_speech"
    assert strangers.quality(0.8, strange) == strangers.MOST_QUALITY
    assert strangers.quality(0.8, familiar) == 0.8


def test_the_sample_voice_is_read_and_music_is_not():
    recogniser = VoiceRecogniser.load()
    assert strangers.stranger(recogniser.predict(MEDIA / "librivox.wav")) == ""
    music = extract(strange_things.sound("song", 0, seed=7), SAMPLE_RATE_HZ, band=recogniser.band)
    refused = recogniser.predict(music)
    assert strangers.stranger(refused) == "not_speech"
    assert refused.abstained


def test_the_sample_face_is_read_and_a_piece_of_print_is_not():
    recogniser = FaceRecogniser.load()
    assert strangers.stranger(recogniser.predict((MEDIA / "astronaut.jpg").read_bytes())) == ""
    refused = recogniser.predict_crops([strange_things.thing("print", 0, seed=7)])[0]
    assert strangers.stranger(refused) == "not_a_face"
    assert refused.abstained


def test_a_recogniser_without_a_guard_says_nothing_of_strangers():
    recogniser = FaceRecogniser.load()
    recogniser.guard = None
    read = recogniser.predict_crops([strange_things.thing("print", 0, seed=7)])[0]
    assert "stranger" not in read.details


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_code_has_words_that_a_person_can_act_on(modality):
    assert strangers.MESSAGES[strangers.CODES[modality]].count(". Please") == 1


def test_edges_do_not_depend_on_contrast_and_brightness():
    face = np.random.default_rng(0).integers(60, 120, (1, 48, 48)).astype(np.uint8)
    np.testing.assert_allclose(strangers.edges(face), strangers.edges(2 * face - 50), atol=1e-5)


def test_a_voice_is_voiced_and_noise_is_not():
    speech = prepare(MEDIA / "librivox.wav", "wide").samples
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * SAMPLE_RATE_HZ).astype(np.float32)
    voiced = [speechlike.describe(samples, log_mel(samples))[-8] for samples in (speech, noise)]
    assert voiced[0] > 0.4
    assert voiced[1] < 0.1


def test_a_learned_guard_refuses_one_in_twenty_of_those_held_out_and_what_it_never_saw():
    from emotion.strangers_fit import learn

    rng = np.random.default_rng(0)
    people, held_out = rng.normal(0, 1, (400, 5)), rng.normal(0, 1, (200, 5))
    shift = np.array([4.0, 0, 0, 0, 0])
    guard = learn("face", people, [rng.normal(0, 1, (50, 5)) + shift], held_out)
    assert (guard.score(held_out) > guard.threshold).mean() == pytest.approx(0.05)
    assert (guard.score(rng.normal(0, 2, (50, 5)) + 1.5 * shift) > guard.threshold).mean() > 0.8
    assert replace(guard, threshold=np.inf).judge(held_out[:1])[0].keys() == {"score", "threshold"}


@pytest.mark.parametrize("family", sorted(strange_things.SOUNDS))
def test_a_made_sound_is_the_same_for_the_same_seed(family):
    made = strange_things.sound(family, 1, seed=3)
    assert np.array_equal(made, strange_things.sound(family, 1, seed=3))
    assert np.abs(made).max() == pytest.approx(0.3, abs=1e-4)
    assert np.isfinite(made).all()


@pytest.fixture
def sample_pictures(tmp_path, monkeypatch):
    """scikit-image's pictures in small: photographs are light, LFW's faces dark, its other pieces grey."""
    names = [name for family in real_things.PHOTOS.values() for name in family]
    for name in names:
        Image.new("RGB", (90, 60), (200, 200, 200)).save(tmp_path / name)
    pieces = np.repeat([0.1, 0.5], real_things.LFW_FACES)[:, None, None] * np.ones((25, 25))
    np.save(tmp_path / "lfw_subset.npy", pieces)
    monkeypatch.setattr(real_things, "folder", lambda: tmp_path)


def test_real_strangers_are_cut_from_photographs_and_lfw_s_faces_are_none_of_them(sample_pictures):
    found = real_things.strangers(0)

    assert {faces.shape[1:] for faces in found.values()} == {(48, 48)}
    assert len(found["printed pages"]) == 2 * real_things.CROPS
    assert (found["a cat"] == 200).all()
    assert (found["pieces of LFW's photos"] == 128).all()
    assert (real_things.people() == 26).all()


def test_the_table_of_real_pictures_gives_the_mean_of_families_and_what_it_costs():
    shares = {
        "a cat": {"energy": 0.5, "ours, as served": 1.0},
        "printed pages": {"energy": 0.1, "ours, as served": 0.8},
    }
    line = {"method": "all", "data": bench.REAL, "refused": shares, "n": {"a cat": 25, "printed pages": 50}}
    told = bench._real_table({**line, "false_refusals_lfw": {"energy": 0.04, "ours, as served": 0.2}})

    assert "| printed pages (50) | 10 | 80 |" in told
    assert "| **mean of families** | **30.0** | **90.0** |" in told
    assert "| false refusals, LFW's faces | 4 | 20 |" in told
