"""Sounds made for the tests: a voice-like signal whose pitch and loudness can be chosen."""

import io

import numpy as np
import soundfile


def voice(seconds=3.0, pitch_hz=140.0, rise=0.0, rate_hz=16_000, noise=1e-4, seed=0):
    """Syllables of a buzzing source through three formants, with pauses between words; peak 0.5, (N,) float32.

    rise: by which share the pitch climbs over the recording.
    """
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + rise * time_s / seconds)) / rate_hz
    harmonics = np.arange(1, int(0.45 * rate_hz / (pitch_hz * (1 + max(rise, 0)))))
    formants = sum(np.exp(-(((harmonics * pitch_hz - f) / 250) ** 2)) for f in (500, 1500, 2500)) + 0.02
    source = np.sin(np.outer(phase, harmonics)) @ formants
    syllables = np.clip(np.sin(2 * np.pi * 4 * time_s), 0, None) * (np.sin(2 * np.pi * 0.7 * time_s + 0.5) > -0.6)
    sound = source * syllables
    return (0.5 * sound / np.abs(sound).max() + noise * rng.standard_normal(time_s.size)).astype(np.float32)


def wav(samples, rate_hz=16_000, subtype="FLOAT"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype=subtype)
    return file.getvalue()
