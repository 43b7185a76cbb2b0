import numpy as np
import pytest

from emotion import calibration


def drawn(rng, n=4000):
    """Distributions that are true of the labels drawn from them."""
    probabilities = rng.dirichlet(np.full(7, 0.4), n)
    truth = (probabilities.cumsum(1) > rng.random((n, 1))).argmax(1)
    return probabilities, truth


def test_the_temperature_that_was_put_in_is_found():
    honest, truth = drawn(np.random.default_rng(0))
    assert calibration.fit_temperature(calibration.sharpen(honest, 3.0), truth) == pytest.approx(3, rel=0.08)
    assert calibration.fit_temperature(honest, truth) == pytest.approx(1, rel=0.05)


def test_calibration_error_of_a_known_table():
    confidence = np.repeat([0.6, 0.9], 50)
    correct = np.concatenate([np.arange(50) < 20, np.arange(50) < 45])  # .40 and .90 right
    assert calibration.calibration_error(confidence, correct, bins=2) == pytest.approx(0.5 * 0.2)


def test_a_true_confidence_is_not_rejected_and_a_boast_is():
    rng = np.random.default_rng(1)
    honest, truth = drawn(rng, 600)
    boast = calibration.sharpen(honest, 3.0)
    correct = honest.argmax(1) == truth

    beyond, p_value = calibration.excess_calibration_error(honest.max(1), correct, rng, draws=200)
    worse, small = calibration.excess_calibration_error(boast.max(1), correct, rng, draws=200)

    assert abs(beyond) < 0.03
    assert p_value > 0.05
    assert worse > 0.05
    assert small < 0.02


def test_holding_back_the_unsure_lowers_the_risk_of_what_is_answered():
    confidence = np.linspace(0, 1, 100)
    rows = calibration.risk_coverage(confidence, confidence >= 0.5)

    assert rows[0] == {"coverage": 1.0, "threshold": 0.0, "risk": 0.5}
    assert rows[5]["coverage"] == 0.5
    assert rows[5]["risk"] == 0
    assert calibration.abstention_threshold(confidence, confidence >= 0.5, kept_share=0.8) == pytest.approx(0.2)


def test_scores_of_certainty_right_and_wrong():
    certain = np.eye(7)[[0, 0]]
    assert calibration.brier_score(certain, np.array([0, 0])) == 0
    assert calibration.brier_score(certain, np.array([1, 1])) == 2
    assert calibration.log_loss(np.full((3, 7), 1 / 7), np.array([0, 1, 2])) == pytest.approx(np.log(7))
