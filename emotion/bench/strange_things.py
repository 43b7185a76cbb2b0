"""What is neither a voice nor a face, made by seed: no data set of such things is at hand.

Sounds are (N,) float32 at 16 kHz, pictures (48, 48) uint8, as the recognisers' networks read them. All are simple
next to the world: real music, animals and rooms are harder or easier in ways that are not measured here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from emotion.bench.pictures import PORTRAIT
from emotion.recording import SAMPLE_RATE_HZ as RATE

SIDE = 48
FACE_BOX = (176, 64, 276, 174)  # of the portrait, generously: what is cut elsewhere shows no face


def _time(rng: np.random.Generator) -> np.ndarray:
    return np.arange(int(rng.uniform(3, 8) * RATE)) / RATE


def _note(t: np.ndarray, hz: float, start: float, length: float, rng: np.random.Generator) -> np.ndarray:
    """A plucked or blown tone with six harmonics."""
    since = t - start
    sounding = (since >= 0) & (since < length)
    envelope = np.where(sounding, np.exp(-np.clip(since, 0, None) * rng.uniform(0.5, 5)), 0.0)
    envelope *= np.clip(since / 0.01, 0, 1) * np.clip((length - since) / 0.02, 0, 1)
    tilt = rng.uniform(0.6, 2)
    return envelope * sum(np.sin(2 * np.pi * hz * k * since) / k**tilt for k in range(1, 7) if hz * k < RATE / 2)


def chords(rng: np.random.Generator) -> np.ndarray:
    """Triads, one or two a second."""
    t, beat = _time(rng), rng.uniform(0.4, 1.0)
    out = np.zeros(t.size)
    for start in np.arange(0, t[-1], beat):
        root = 110 * 2 ** (rng.integers(0, 19) / 12)
        for step in (0, rng.choice([3, 4]), 7):
            out += _note(t, root * 2 ** (step / 12), start, beat, rng)
    return out


def melody(rng: np.random.Generator) -> np.ndarray:
    """Single notes of a scale, two to six a second."""
    t, at = _time(rng), 0.0
    out = np.zeros(t.size)
    scale, root = np.array([0, 2, 4, 5, 7, 9, 11, 12]), 165 * 2 ** (rng.integers(0, 18) / 12)
    while at < t[-1]:
        length = rng.choice([0.17, 0.25, 0.5])
        out = out + _note(t, root * 2 ** (rng.choice(scale) / 12), at, length, rng)
        at += length
    return out


def drums(rng: np.random.Generator) -> np.ndarray:
    """A kick, a snare and a hi-hat over a bar that repeats."""
    t, beat = _time(rng), 60 / rng.uniform(80, 150)
    noise, out = rng.standard_normal(t.size), np.zeros(t.size)
    for number, start in enumerate(np.arange(0, t[-1], beat / 2)):
        since = np.where(t >= start, t - start, 10.0)
        out += 0.3 * noise * np.exp(-since * 60)
        if number % 4 == 0:
            out += np.sin(2 * np.pi * (50 * since + 3 * (1 - np.exp(-since * 20)))) * np.exp(-since * 9)
        if number % 4 == 2:
            out += 0.7 * noise * np.exp(-since * 18)
    return out


def song(rng: np.random.Generator) -> np.ndarray:
    """A melody over chords and drums."""
    parts = [make(rng) for make in (melody, chords, drums)]
    shortest = min(map(len, parts))
    return sum(p[:shortest] / p.std() * rng.uniform(0.3, 1) for p in parts)


def noise(rng: np.random.Generator) -> np.ndarray:
    """White, pink or brown, rising and falling slowly, so that something stands out of something."""
    t = _time(rng)
    coloured = _coloured(rng, t.size, rng.choice([0.0, 1.0, 2.0]))
    return coloured * (0.05 + (1 + np.sin(2 * np.pi * rng.uniform(0.1, 0.6) * t + rng.uniform(0, 6))) / 2) ** 1.5


def steady_noise(rng: np.random.Generator) -> np.ndarray:
    """White, pink or brown at one level."""
    return _coloured(rng, _time(rng).size, rng.choice([0.0, 1.0, 2.0]))


def _coloured(rng: np.random.Generator, count: int, slope: float) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal(count))
    out = np.fft.irfft(spectrum / np.maximum(np.arange(spectrum.size), 20) ** (slope / 2), count)
    return out / out.std()


def hum(rng: np.random.Generator) -> np.ndarray:
    """Silence with mains hum and a click or two."""
    t = _time(rng)
    mains = rng.choice([50.0, 60.0])
    out = 1e-3 * (sum(np.sin(2 * np.pi * mains * k * t) / k for k in (1, 2, 3, 5)) + 0.2 * rng.standard_normal(t.size))
    for start in rng.uniform(0, t[-1], 3):
        out += 0.05 * rng.standard_normal(t.size) * np.where(t >= start, np.exp(-np.clip(t - start, 0, 1) * 80), 0)
    return out


def tones(rng: np.random.Generator) -> np.ndarray:
    """Beeps of a device: pure, switched on and off."""
    t = _time(rng)
    on = (t * rng.uniform(1, 4)) % 1 < rng.uniform(0.3, 0.7)
    return on * np.sin(2 * np.pi * rng.uniform(300, 3000) * t) + 1e-3 * rng.standard_normal(t.size)


def chirps(rng: np.random.Generator) -> np.ndarray:
    """Birds and crickets: short sweeps in bursts."""
    t, out = _time(rng), 0.0
    base, sweep, length = rng.uniform(1500, 5000), rng.uniform(-2500, 2500), rng.uniform(0.04, 0.25)
    for start in np.cumsum(rng.exponential(0.25, 30)) + 0.1:
        since = t - start
        window = np.where((since > 0) & (since < length), np.sin(np.pi * np.clip(since / length, 0, 1)) ** 2, 0)
        out = out + window * np.sin(2 * np.pi * (base * since + sweep * since**2 / (2 * length)))
    return np.asarray(out) + 2e-3 * rng.standard_normal(t.size)


def barks(rng: np.random.Generator) -> np.ndarray:
    """Dogs: harsh harmonic bursts of a fifth of a second that fall in pitch, in groups."""
    t, out = _time(rng), 0.0
    pitch = rng.uniform(180, 700)
    rough = _coloured(rng, t.size, 1.0)
    for start in np.cumsum(rng.uniform(0.3, 0.9, 20)):
        since = t - start
        length = rng.uniform(0.12, 0.25)
        window = np.where((since > 0) & (since < length), np.sin(np.pi * np.clip(since / length, 0, 1)), 0)
        phase = 2 * np.pi * pitch * (since - since**2)
        out = out + window * (sum(np.sin(k * phase) / k for k in range(1, 9)) + rough)
    return np.asarray(out) + 2e-3 * rng.standard_normal(t.size)


def speech_shaped(rng: np.random.Generator) -> np.ndarray:
    """Noise with the long-term spectrum of speech that swells at the rate of syllables: speech without a voice."""
    t = _time(rng)
    spectrum = np.fft.rfft(rng.standard_normal(t.size))
    hz = np.fft.rfftfreq(t.size, 1 / RATE)
    shaped = np.fft.irfft(spectrum * (hz / 100 / (1 + (hz / 500) ** 2)), t.size)
    swell = _coloured(rng, t.size, 0.0)
    band = np.fft.rfft(swell)
    band[(hz < 2) | (hz > 8)] = 0
    return shaped * np.exp(1.2 * np.fft.irfft(band, t.size) / max(np.fft.irfft(band, t.size).std(), 1e-9))


Sound = Callable[[np.random.Generator], np.ndarray]
SOUNDS: dict[str, Sound] = {
    "chords": chords,
    "melody": melody,
    "drums": drums,
    "song": song,
    "noise that swells": noise,
    "steady noise": steady_noise,
    "silence with hum": hum,
    "beeps": tones,
    "chirps": chirps,
    "barks": barks,
    "speech-shaped noise": speech_shaped,
}


def sound(family: str, number: int, seed: int) -> np.ndarray:
    """One sound, (N,) float32 at 16 kHz with its peak at .3."""
    out = SOUNDS[family](np.random.default_rng([seed, number, list(SOUNDS).index(family)]))
    return (0.3 * out / np.abs(out).max()).astype(np.float32)


def smooth(rng: np.random.Generator) -> np.ndarray:
    """Walls and skies: gradients and soft blobs."""
    side = int(rng.integers(2, 7))
    coarse = Image.fromarray(rng.integers(0, 256, (side, side)).astype(np.uint8))
    return np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def texture(rng: np.random.Generator) -> np.ndarray:
    """Cloth and gravel: noise of a random slope."""
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE)))
    distance = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]) * SIDE
    return _stretched(np.fft.irfft2(spectrum / np.maximum(distance, 1) ** rng.uniform(0, 2), (SIDE, SIDE)))


def stripes(rng: np.random.Generator) -> np.ndarray:
    """Blinds, fences, tiles."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    angle, hz = rng.uniform(0, np.pi), rng.uniform(2, 10)
    wave = np.sin(2 * np.pi * hz * (x * np.cos(angle) + y * np.sin(angle)))
    other = np.sin(2 * np.pi * hz * (y * np.cos(angle) - x * np.sin(angle))) if rng.random() < 0.5 else 0
    return _stretched(np.sign(wave + other) + 0.2 * rng.standard_normal((SIDE, SIDE)))


def objects(rng: np.random.Generator) -> np.ndarray:
    """Boxes, discs and lines in front of one another."""
    picture = Image.new("L", (192, 192), int(rng.integers(256)))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(3, 9)):
        x, y, w, h = rng.integers(0, 170), rng.integers(0, 170), rng.integers(20, 120), rng.integers(20, 120)
        shape = rng.choice(["rectangle", "ellipse", "line"])
        extra = {"width": int(rng.integers(2, 14))} if shape == "line" else {}
        getattr(draw, shape)([int(x), int(y), int(x + w), int(y + h)], fill=int(rng.integers(256)), **extra)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(1)).resize((SIDE, SIDE), Image.Resampling.BOX))


def letters(rng: np.random.Generator) -> np.ndarray:
    """A piece of a printed page or screen."""
    picture = Image.new("L", (96, 96), int(rng.integers(170, 256)))
    draw = ImageDraw.Draw(picture)
    for row in range(0, 96, 14):
        words = "".join(chr(c) for c in rng.integers(97, 123, 16))
        draw.text((int(rng.integers(-8, 4)), row), words, fill=int(rng.integers(0, 90)), font_size=13)
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX))


def elsewhere(rng: np.random.Generator) -> np.ndarray:
    """A square of a real photograph, of the shipped portrait, without the face: suit, flag, model of a shuttle."""
    with Image.open(PORTRAIT) as file:
        photo = file.convert("L")
    while True:
        side = int(rng.integers(60, 220))
        left, top = (int(rng.integers(0, room - side)) for room in photo.size)
        clear = left > FACE_BOX[2] or left + side < FACE_BOX[0] or top > FACE_BOX[3] or top + side < FACE_BOX[1]
        if clear:
            crop = photo.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BOX)
            return np.asarray(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop)


def _stretched(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, [1, 99])
    return (255 * np.clip((values - low) / max(high - low, 1e-9), 0, 1)).astype(np.uint8)


THINGS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "walls and skies": smooth,
    "textures": texture,
    "stripes and tiles": stripes,
    "objects": objects,
    "print": letters,
    "photo without the face": elsewhere,
}
# Made of faces, (48, 48) -> (48, 48): not frontal, or no face any more.
TURNED: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "faces upside down": lambda face, rng: face[::-1],
    "faces on their side": lambda face, rng: np.rot90(face, rng.choice([1, 3])),
    "faces cut beside the face": lambda face, rng: np.roll(face, int(rng.choice([-1, 1]) * rng.integers(16, 25)), 1),
    "faces in shuffled tiles": lambda face, rng: _shuffled(face, rng),
}


def _shuffled(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    tiles = face.reshape(4, 12, 4, 12).transpose(0, 2, 1, 3).reshape(16, 12, 12)
    return rng.permutation(tiles).reshape(4, 4, 12, 12).transpose(0, 2, 1, 3).reshape(SIDE, SIDE)


def thing(family: str, number: int, seed: int) -> np.ndarray:
    """One picture without a face, (48, 48) uint8."""
    return THINGS[family](np.random.default_rng([seed, number, list(THINGS).index(family)]))


def turned(family: str, faces: np.ndarray, seed: int) -> np.ndarray:
    """Faces (n, 48, 48) as they must not be."""
    rng = np.random.default_rng([seed, 99, list(TURNED).index(family)])
    return np.stack([TURNED[family](face, rng) for face in faces])
