"""From a file a phone sent to speech a network can read: decode, level, filter, trim, judge.

Sample values are float32 with full scale ±1; everything after `decode` is mono at 16 kHz.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy import fft, ndimage

from emotion.features import HOP_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES, frames

LONGEST_S = 120.0  # what is read of a longer recording; a check-in is about ten seconds
LOUDEST = 1_000.0  # times full scale: floats may say more, and their squares leave float32
RATES_HZ = (1_000, 768_000)  # what microphones and converters give; a header may say two thousand million
SHORTEST_SPEECH_S = 0.5
SPEECH_LEVEL_DB = -20.0  # level of the loud frames after `level`
SILENT_DB = -75.0  # loud frames below this hold no voice: 16-bit noise lies near -90
LEAST_CONTRAST_DB = 6.0  # loud against quiet frames: below this no speech stands out
CLIPPED_SHARE_REFUSED = 0.20
MARGIN_S = 0.05

# Edges of the Butterworth filter. Which one is the default was measured: see the checkpoint's card.
FILTER_ORDER = 4
FILTER_MARGIN = 2000  # samples, 125 ms: what rings longer is below -100 dB
BAND_PASS_HZ = {"wide": (60.0, 7600.0), "telephone": (300.0, 3400.0)}

MESSAGES = {
    "broken_file": "The recording could not be read. Please record it again and send it as WAV, FLAC, Ogg or MP3.",
    "silent": "The recording is silent. Please check that the microphone is allowed and not covered, and try again.",
    "too_short": "There is too little speech in the recording. Please speak for at least three seconds.",
    "clipped": "The recording is too loud and distorted. Please hold the phone further away and try again.",
    "too_noisy": "No speech stands out from the background. Please go somewhere quieter and try again.",
}


class UnusableRecording(Exception):
    """The recording cannot be read as a voice. `code` is a key of `MESSAGES`, `message` is for the person."""

    def __init__(self, code: str, message: str | None = None):
        self.code = code
        self.message = message or MESSAGES[code]
        super().__init__(self.message)


@dataclass(frozen=True)
class Speech:
    """The spoken part of a recording and how fit it is.

    samples: (N,) mono at 16 kHz, levelled.  quality: [0, 1].  speech_s: seconds of active frames.
    snr_db: loud frames against quiet ones.  clipped_share: share of loud samples in flattened peaks.
    """

    samples: np.ndarray
    quality: float
    speech_s: float
    snr_db: float
    clipped_share: float


def prepare(source: bytes | str | Path, band: str | None = None) -> Speech:
    """Read a recording and return its speech, or raise `UnusableRecording`."""
    samples, rate_hz = decode(source)
    return extract(samples, rate_hz, band=band)


def decode(source: bytes | str | Path) -> tuple[np.ndarray, int]:
    """The first two minutes as (N,) mono float32 and the sample rate in Hz."""
    try:
        with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as file:
            if not RATES_HZ[0] <= file.samplerate <= RATES_HZ[1]:
                raise UnusableRecording("broken_file")
            samples = file.read(int(LONGEST_S * file.samplerate), dtype="float32", always_2d=True)
            rate_hz = file.samplerate
    except (soundfile.SoundFileError, OSError, RuntimeError, TypeError) as error:
        raise UnusableRecording("broken_file") from error
    if not samples.size:
        raise UnusableRecording("too_short")
    if not np.abs(samples).max() <= LOUDEST:  # nor where it is not a number
        raise UnusableRecording("broken_file")
    return samples.mean(axis=1), rate_hz


def extract(samples: np.ndarray, rate_hz: int, band: str | None = None) -> Speech:
    """Level, filter, trim and judge (N,) samples; raises `UnusableRecording`."""
    clipped = clipped_share(samples)
    if clipped > CLIPPED_SHARE_REFUSED:
        raise UnusableRecording("clipped")
    if rate_hz != SAMPLE_RATE_HZ:
        samples = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ)
    samples = without_padding(samples)
    if samples.size < SHORTEST_SPEECH_S * SAMPLE_RATE_HZ:
        raise UnusableRecording("too_short" if samples.size else "silent")
    filtered = band_pass(level(samples), band)
    return _judge(filtered, clipped)


def _judge(samples: np.ndarray, clipped: float) -> Speech:
    levels_db = frame_levels_db(samples)
    active = find_speech(levels_db)
    speech_s = float(active.sum() * HOP_SAMPLES / SAMPLE_RATE_HZ)
    snr_db = signal_to_noise_db(levels_db, active)
    if speech_s < SHORTEST_SPEECH_S:
        raise UnusableRecording("too_short")
    trimmed = level(trim(samples, active))
    return Speech(trimmed, quality(snr_db, clipped, speech_s), speech_s, snr_db, clipped)


def without_padding(samples: np.ndarray) -> np.ndarray:
    """Drop leading and trailing digital zeros, which recorders and codecs add."""
    heard = np.flatnonzero(samples)
    return samples[heard[0] : heard[-1] + 1] if heard.size else samples[:0]


def clipped_share(samples: np.ndarray) -> float:
    """Share of the loud samples (a tenth of full scale and above) that lie in flat runs of three near full scale.

    Of the loud ones, because pauses between words would hide how distorted the words are.
    """
    equal = (samples[1:] == samples[:-1]) & (np.abs(samples[1:]) >= 0.9)
    runs = equal[1:] & equal[:-1]
    return float(runs.sum() / max((np.abs(samples) >= 0.1).sum(), 1))


def frame_levels_db(samples: np.ndarray) -> np.ndarray:
    """Root mean square of 25 ms frames every 10 ms, in dB re full scale, (T,)."""
    blocks = frames(samples, WINDOW_SAMPLES, HOP_SAMPLES)
    power = np.einsum("tn,tn->t", blocks, blocks) / WINDOW_SAMPLES
    return 10 * np.log10(np.maximum(power, 1e-12))


def level(samples: np.ndarray) -> np.ndarray:
    """Scale so that the loud frames (95th percentile) lie at `SPEECH_LEVEL_DB`.

    Phones apply unknown gain, so loudness between recordings says nothing. A silent signal raises.
    """
    loud_db = np.percentile(frame_levels_db(samples), 95)
    if loud_db < SILENT_DB:
        raise UnusableRecording("silent")
    return (samples * 10 ** ((SPEECH_LEVEL_DB - loud_db) / 20)).astype(np.float32)


def band_pass(samples: np.ndarray, band: str | None) -> np.ndarray:
    """Zero-phase Butterworth band-pass with a preset of `BAND_PASS_HZ`; None leaves the signal alone.

    The filter run forwards and backwards multiplies the spectrum by its squared magnitude, which has a closed
    form; so it is done there, with the signal continued by its point reflection beyond both ends. SciPy's
    `butter` and `sosfiltfilt` are the oracle in the tests: importing `scipy.signal` would cost a worker half a
    second and 50 MB.
    """
    if band is None:
        return samples
    beyond = min(FILTER_MARGIN, samples.size - 1)
    before, after = 2 * samples[0] - samples[beyond:0:-1], 2 * samples[-1] - samples[-2 : -beyond - 2 : -1]
    continued = np.concatenate([before, samples, after]).astype(np.float32)
    size = fft.next_fast_len(continued.size, real=True)
    spectrum = fft.rfft(continued, size) * squared_gain(fft.rfftfreq(size, 1 / SAMPLE_RATE_HZ), *BAND_PASS_HZ[band])
    return fft.irfft(spectrum, size)[beyond : beyond + samples.size].astype(np.float32)


def squared_gain(frequency_hz: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    """|H|² of a digital Butterworth band-pass (bilinear transform) at frequencies of [0, 8 kHz], as float32."""
    heard, low, high = (np.tan(np.pi * np.asarray(f) / SAMPLE_RATE_HZ) for f in (frequency_hz, low_hz, high_hz))
    distance = (heard**2 - low * high) / np.maximum(heard * (high - low), 1e-9)
    with np.errstate(over="ignore"):  # far outside the band: 1 / infinity is the right answer
        return (1 / (1 + distance ** (2 * FILTER_ORDER))).astype(np.float32)


def find_speech(levels_db: np.ndarray) -> np.ndarray:
    """Frames that hold speech, (T,) bool, by energy between the quiet and the loud frames.

    The threshold is 6 dB above the quiet frames (10th percentile) and at most 35 dB, at least
    12 dB below the loud ones (95th); single active or silent frames are smoothed away.
    """
    quiet_db, loud_db = np.percentile(levels_db, [10, 95])
    if loud_db - quiet_db < LEAST_CONTRAST_DB:
        raise UnusableRecording("too_noisy")
    threshold_db = min(max(loud_db - 35, quiet_db + 6), loud_db - 12)
    return ndimage.median_filter(levels_db > threshold_db, size=5)


def trim(samples: np.ndarray, active: np.ndarray) -> np.ndarray:
    """From the first to the last active frame, with a margin of 50 ms."""
    first, last = np.flatnonzero(active)[[0, -1]] * HOP_SAMPLES
    margin = int(MARGIN_S * SAMPLE_RATE_HZ)
    return samples[max(0, first - margin) : last + WINDOW_SAMPLES + margin]


def signal_to_noise_db(levels_db: np.ndarray, active: np.ndarray) -> float:
    """Mean power of active frames against that of the quietest tenth, in dB, at most 60.

    A recording cut tightly around the words has no silence to measure: its soft sounds count as
    noise, so the figure is a lower bound.
    """
    power = 10 ** (levels_db / 10)
    noise = np.sort(power)[: max(1, power.size // 10)].mean()
    speech = power[active].mean() if active.any() else noise
    return float(min(60.0, 10 * np.log10(max(speech - noise, 1e-12) / max(noise, 1e-12))))


def quality(snr_db: float, clipped: float, speech_s: float) -> float:
    """Fitness for reading in [0, 1]: q = min(1, SNR / 20 dB) · (1 − clipped / 0.20) · min(1, speech / 2 s).

    Each factor is limited to [0, 1]: speech at 20 dB above the background, with no flattened peak and
    two seconds of active frames, is as good as the training recordings.
    """
    factors = (snr_db / 20, 1 - clipped / CLIPPED_SHARE_REFUSED, speech_s / 2)
    return float(np.prod([min(1.0, max(0.0, factor)) for factor in factors]))
