"""The bench of speed measures what it says: small pictures, made here."""

import io

import numpy as np
import pytest
from PIL import Image

from emotion.bench import pictures, size, speed

SMALL = ((480, 360),)


def test_the_overlap_of_two_boxes():
    one = np.array([0.0, 0, 10, 10])
    assert speed.overlap(one, one) == 1
    assert speed.overlap(one, np.array([5.0, 0, 15, 10])) == pytest.approx(50 / 150)
    assert speed.overlap(one, np.array([20.0, 0, 30, 10])) == 0


def test_portraits_are_found_where_facenet_pytorch_finds_them():
    found = speed.boxes(pictures.portraits(2, 1, SMALL))
    assert found["n"] == 2
    assert found["found_by_stock"] == 2
    assert found["same_box"] == 2


def test_a_picture_is_whole_and_the_same_for_the_same_seed():
    [one], [other] = ([p.jpeg for p in pictures.portraits(1, 3, SMALL)] for _ in range(2))
    assert one == other
    assert Image.open(io.BytesIO(one)).size in SMALL


def test_the_report_sets_ours_against_stock():
    line = {"bench": "E7 cost", "data": "12 MP", "seed": 0}
    ours = line | {"method": "ours", "cpu_s": 0.05, "face_cpu_s": 0.03, "voice_cpu_s": 0.02}
    stock = line | {"method": "stock", "cpu_s": 1.0, "face_cpu_s": 0.9, "voice_cpu_s": 0.1}
    told = speed.report([ours, stock], 8, None)
    assert "2 of 8 cells" in told
    assert "20.0×" in told


def test_the_served_models_are_smaller_than_10_mb():
    assert size.files()["total_mb"] < 10
