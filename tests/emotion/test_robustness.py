"""The bench of robustness: each disguise does what its name says, alike for every method, and nothing else is told."""

import numpy as np
import pytest
from PIL import Image

from emotion.bench import Place, face_methods, robustness
from emotion.bench.cells import Cell
from emotion.estimate import EMOTIONS


@pytest.fixture
def faces():
    """Three smooth pictures of middling contrast."""
    down, across = np.mgrid[:48, :48] / 48
    waves = [np.sin(2 * np.pi * (across * k + down)) for k in (1, 2, 3)]
    return np.stack([120 + 40 * wave for wave in waves]).astype(np.uint8)


@pytest.mark.parametrize("snr_db", [20, 10])
def test_noise_is_as_far_below_the_contrast_as_it_says(faces, snr_db):
    noise = robustness.disguised(f"noise at {snr_db} dB", faces, 0).astype(float) - faces

    measured = 10 * np.log10(faces.astype(float).var() / noise.var())
    assert measured == pytest.approx(snr_db, abs=0.5)


def test_darkness_leaves_a_seventh_of_the_light(faces):
    dark = robustness.disguised("dark", faces, 0).astype(float)

    assert dark.mean() == pytest.approx(0.15 * faces.mean(), abs=0.2)
    assert dark.std() < 0.2 * faces.std()


def test_blur_takes_stripes_of_two_pixels_and_leaves_slow_waves(faces):
    stripes = np.tile(np.array([0, 200], np.uint8), (1, 48, 24))

    assert robustness.disguised("blur of 2 pixels", stripes, 0)[:, :, 8:-8].std() < 2
    assert robustness.disguised("blur of 1 pixel", faces, 0).std() > 0.9 * faces.std()


@pytest.mark.parametrize(("side", "period"), [(24, 2), (16, 3)])
def test_a_small_face_has_lost_what_is_finer_than_its_pixels(faces, side, period):
    stripes = np.tile(np.where(np.arange(48) % period == 0, 240, 30).astype(np.uint8), (1, 48, 1))

    assert robustness.disguised(f"{side} pixels", stripes, 0).std() < 2
    kept = robustness.disguised(f"{side} pixels", faces, 0).astype(float)
    assert np.abs(kept - faces).mean() < 5


def test_jpeg_of_quality_20_is_coarse_but_the_same_face(faces):
    coarse = robustness.disguised("JPEG of quality 20", faces, 0).astype(float)

    assert 0 < np.abs(coarse - faces).mean() < 12
    assert coarse.shape == faces.shape


def test_every_method_reads_the_same_disguised_faces(faces):
    for name in robustness.CONDITIONS:
        assert (robustness.disguised(name, faces, 0) == robustness.disguised(name, faces, 0)).all()
        assert robustness.disguised(name, faces, 0).dtype == np.uint8


@pytest.fixture
def place(tmp_path):
    """Happy people are light, sad ones dim: CK+ in small."""
    for subject in range(6):
        for folder, light in (("happy", 200), ("sadness", 90), ("contempt", 10)):
            picture = np.full((48, 48), light + subject, np.uint8)
            (tmp_path / "ckplus48" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(tmp_path / "ckplus48" / folder / f"S{subject:03d}_001_1.png")
    return Place(tmp_path, tmp_path / "cache")


def by_light(images):
    """Happiness above 150, sadness below: right until the lights go out."""
    light = images.mean((1, 2)) > 150
    return np.eye(7)[np.where(light, EMOTIONS.index("happiness"), EMOTIONS.index("sadness"))]


def test_a_cell_tells_what_is_left_under_each_condition(place, monkeypatch):
    monkeypatch.setattr(robustness, "reader", lambda method, place: by_light)
    found = robustness.work(Cell("E8", "hog_svm", robustness.CK), place)

    assert found["n"] == 12  # contempt has no place
    assert found["conditions"]["blur of 2 pixels"]["uar"] == 1
    assert found["conditions"]["dark"]["uar"] == 0.5  # all are said to be sad
    assert robustness.retained(found, "dark") == 0.5
    told = robustness.report([{"data": robustness.CK, "method": "hog_svm", **found}], 7, place.data)
    assert "1 of 7 cells" in told
    assert "| dark | 50.0 (50) |" in told
    assert (place.data / "robustness.svg").exists()


def test_a_peer_is_fitted_once_and_the_public_test_stays_closed(place, monkeypatch):
    fitted, asked = [], []

    def fit(learn, choose, folder, seed):
        fitted.append(folder)
        return by_light, {}

    monkeypatch.setitem(face_methods.METHODS, "hog_svm", fit)
    monkeypatch.setattr(robustness.fer2013, "load", lambda folder, part: asked.append(part))
    monkeypatch.setattr(robustness.fer2013, "split", lambda train: (None, None))
    assert robustness.reader("hog_svm", place) is by_light
    assert (fitted, asked) == ([place.cache / "states" / "E4-hog_svm-0"], ["train"])
