"""Networks that read face and voice at once, and the way they are judged."""

import numpy as np
import pytest

from emotion.bench import Place, together
from emotion.bench.cells import Cell
from emotion.bench.together_data import Clips, cepstral_channels

CLASSES = 3


def clips(seed: int = 0, between_people: float = 0.0) -> Clips:
    """Six people, 30 clips each; the face tells the first class, the voice the second."""
    rng = np.random.default_rng(seed)
    people = np.repeat([f"p{i}" for i in range(6)], 30)
    labels = np.tile(np.arange(30) % CLASSES, 6)
    habit = np.repeat(rng.normal(0, between_people, (6, 1, 1)), 30, axis=0)
    face = rng.normal(0, 0.5, (180, 4, 1)) + 3 * (labels == 0)[:, None, None] + habit
    voice = rng.normal(0, 0.5, (180, 5, 2)) + 3 * (labels == 1)[:, None, None] + habit
    folds = (("p0", "p1"), ("p2", "p3"), ("p4", "p5"))
    return Clips({"face": face, "voice": voice}, labels, people, ("a", "b", "c"), folds)


@pytest.fixture
def place(tmp_path, monkeypatch):
    from emotion.bench import together_methods

    monkeypatch.setattr(together_methods, "EPOCHS", 8)
    monkeypatch.setattr(together, "SELECTION_PEOPLE", 1)
    return Place(tmp_path, tmp_path)


@pytest.mark.parametrize("method", ["svm", "svm_product", "dgcnn", "cross_attention"])
def test_every_method_finds_classes_that_only_both_modalities_together_tell(method, place):
    found = together.judged(clips(), Cell("together", method, "planted"), place, baselines=(0,))
    assert found["uar"] > 0.85


def test_one_modality_alone_cannot_tell_them(place):
    found = together.judged(clips().only("face"), Cell("together", "svm", "planted"), place, baselines=(0,))
    assert found["uar"] < 0.8


def test_clips_of_the_person_take_away_what_is_only_their_habit(place):
    found = together.judged(clips(between_people=4), Cell("together", "svm", "planted"), place, baselines=(0, 10))
    assert found["uar_10"] > found["uar_0_on_rows_of_10"] + 0.1


def test_a_clip_that_made_a_baseline_is_not_scored(place, tmp_path):
    draws = together.left_out(clips(), Cell("together", "svm", "planted"), tmp_path, 10)
    assert [(draw < 0).sum() for draw in draws] == [6 * 10] * together.DRAWS


def test_what_is_usual_is_measured_without_the_people_left_out():
    inside = np.arange(120)
    strange = clips()
    strange.parts["face"][120:] += 100
    found = together.relative(strange, inside, 0, np.random.default_rng(0))["face"]
    assert abs(found[:120].mean()) < 1e-9
    assert found[120:].mean() > 10


def test_cepstral_channels_are_thirteen_coefficients_and_their_changes_in_four_statistics():
    tone = np.sin(2 * np.pi * 220 * np.arange(16_000) / 16_000).astype(np.float32)
    found = cepstral_channels(tone)
    assert found.shape == (39, 4)
    assert np.all(found[:, 2] <= found[:, 3])
