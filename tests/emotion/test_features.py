import librosa
import numpy as np
import pytest

from emotion import features


@pytest.fixture(scope="module")
def sound():
    rng = np.random.default_rng(0)
    time_s = np.arange(16_000) / 16_000
    chirp = np.sin(2 * np.pi * (200 + 1500 * time_s) * time_s) * (0.2 + 0.2 * np.sin(2 * np.pi * 3 * time_s))
    return (chirp + 0.01 * rng.standard_normal(time_s.size)).astype(np.float32)


@pytest.fixture(scope="module")
def oracle_log_mel(sound):
    emphasised = librosa.effects.preemphasis(sound, coef=0.95, zi=np.zeros(1, dtype=np.float32))
    power = librosa.feature.melspectrogram(
        y=emphasised, sr=16_000, n_fft=512, hop_length=160, win_length=400, window="hamming", center=False, n_mels=40
    )
    return librosa.power_to_db(power, top_db=None)


def test_log_mel_agrees_with_librosa(sound, oracle_log_mel):
    ours = features.log_mel(sound)

    assert ours.shape == oracle_log_mel.shape
    assert np.abs(ours - oracle_log_mel).max() < 1e-3


def test_mfcc_and_both_deltas_agree_with_librosa(sound, oracle_log_mel):
    static = librosa.feature.mfcc(S=oracle_log_mel, n_mfcc=40)
    oracle = np.concatenate([static, librosa.feature.delta(static), librosa.feature.delta(static, order=2)])

    assert np.abs(features.mfcc(sound, normalise=False) - oracle).max() < 1e-3


def test_mel_filters_agree_with_librosa():
    assert np.abs(features.mel_filters() - librosa.filters.mel(sr=16_000, n_fft=512, n_mels=40)).max() < 1e-6


def test_normalised_coefficients_have_mean_zero_and_deviation_one(sound):
    rows = features.mfcc(sound)

    assert np.abs(rows.mean(axis=1)).max() < 1e-5
    assert np.abs(rows.std(axis=1) - 1).max() < 1e-4


def test_a_tone_is_loudest_in_the_band_around_its_frequency():
    tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 16_000)
    centres_hz = features.mel_to_hz(np.linspace(0, features.hz_to_mel(8000), 42))[1:-1]

    loudest = features.log_mel(tone).mean(axis=1).argmax()

    assert loudest == np.abs(centres_hz - 1000).argmin()


def test_the_mel_scale_is_linear_to_1_khz_and_goes_back():
    assert features.hz_to_mel(1000) == pytest.approx(15)
    assert features.hz_to_mel(6400) == pytest.approx(42)
    assert features.mel_to_hz(features.hz_to_mel([50.0, 999.0, 4000.0])) == pytest.approx([50, 999, 4000])


def test_one_frame_is_enough_and_less_is_refused():
    assert features.log_mel(np.ones(512)).shape == (40, 1)
    with pytest.raises(ValueError, match="at least 512"):
        features.log_mel(np.ones(511))
