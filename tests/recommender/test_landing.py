"""What finishes a search: landing near the best point."""

import numpy as np
import pytest

from recommender.bench.functions import function
from recommender.landing import landed
from recommender.space import Float, Space
from recommender.tuning import minimise

BOTTOM = np.array([0.4, 0.6, 0.5])


def valley(points):
    """A narrow valley that runs along no coordinate; 0 at BOTTOM."""
    rotation = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
    return (((points - BOTTOM) @ rotation.T) ** 2 @ np.array([1.0, 30.0, 900.0])) * 10


@pytest.fixture
def seen():
    points = BOTTOM + 0.15 * np.random.default_rng(0).standard_normal((40, 3))
    return points, valley(points)


def test_with_landing_a_rotated_ellipsoid_is_descended_further():
    ellipsoid = function("ellipsoid", 4, 100)
    reached = [
        minimise(
            lambda config: ellipsoid(np.array(list(config.values()))),
            Space({f"x{i}": Float(0, 1) for i in range(4)}),
            budget=90,
            seed=100,
            without=without,
        ).best.value
        for without in ((), ("landing",))
    ]
    assert reached[0] < 0.5 * reached[1]


def test_landing_keeps_to_the_cube_and_declines_where_values_are_only_noise():
    declined, rng = 0, np.random.default_rng(2)
    for _ in range(20):
        points, values = rng.random((40, 3)), rng.standard_normal(40)
        found = landed(points, values, int(values.argmin()), rng)
        declined += found is None
        assert found is None or ((found >= 0) & (found <= 1)).all()
    assert declined >= 15
