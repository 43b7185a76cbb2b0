"""Noise goes, faces stay: what the filter before the network takes out, and what it leaves."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import fft

from emotion.denoise import COSINES, denoised, noise
from emotion.estimate import EMOTIONS
from emotion.face import FaceRecogniser, read

PORTRAIT = Path(__file__).parents[2] / "fixtures" / "media" / "astronaut.jpg"


@pytest.fixture(scope="module")
def recogniser():
    return FaceRecogniser.load()


@pytest.fixture(scope="module")
def face(recogniser):
    with Image.open(PORTRAIT) as file:
        return recogniser.crop(file)[0]


def with_noise(face: np.ndarray, sigma: float, count: int = 8) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.clip(np.rint(face + sigma * rng.standard_normal((count, *face.shape))), 0, 255).astype(np.uint8)


def test_the_transform_is_the_orthonormal_cosine_transform():
    assert np.allclose(COSINES, fft.dct(np.eye(8), axis=0, norm="ortho"), atol=1e-6)


@pytest.mark.parametrize("sigma", [3, 10, 25])
def test_noise_is_measured_in_grey_values(sigma):
    down, across = np.mgrid[:48, :48]
    slope = 60 + 2.0 * across + 0.5 * down  # light that falls in from the side is no noise
    assert noise(with_noise(slope, sigma)) == pytest.approx(sigma, rel=0.12)
    assert noise(slope[None]) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("sigma", "left"), [(12, 0.7), (20, 0.5), (40, 0.3)])
def test_a_noisy_face_comes_back_nearer_to_what_it_was(face, sigma, left):
    noisy = with_noise(face, sigma)
    before, after = (np.square(faces.astype(float) - face).mean() for faces in (noisy, denoised(noisy)))
    assert after < left * before


def test_a_face_without_noise_stays_as_it_is(face):
    assert (denoised(face[None]) == face).all()
    flat = np.full((1, 48, 48), 90, np.uint8)
    down, across = np.mgrid[:48, :48] / 48
    smooth = (120 + 40 * np.sin(2 * np.pi * (across + 2 * down)))[None].astype(np.uint8)
    assert (denoised(flat) == flat).all()
    assert (denoised(smooth) == smooth).all()
    assert denoised(np.zeros((0, 48, 48), np.uint8)).shape == (0, 48, 48)


def test_each_face_is_filtered_by_its_own_noise(face):
    together = denoised(np.concatenate([face[None], with_noise(face, 30, 1)]))
    assert (together[0] == denoised(face[None])[0]).all()


def test_a_dim_and_noisy_smile_is_still_read(recogniser, face):
    dim = with_noise(0.15 * face, 2.0)
    happiness = EMOTIONS.index("happiness")
    served, alone = read(recogniser.network, dim), np.concatenate([recogniser.network(f[None])[0] for f in dim])
    told = [np.exp(logits[:, happiness]) / np.exp(logits).sum(1) for logits in (served, alone)]
    assert (served.argmax(1) == happiness).all()
    assert told[0].mean() > told[1].mean()
