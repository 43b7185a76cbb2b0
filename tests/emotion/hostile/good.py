"""Good photos and recordings, for others to spoil."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache

import numpy as np
import soundfile
from PIL import Image

Made = Iterator[tuple[str, bytes]]  # name and bytes of each file that a mutator makes
PNG = b"\x89PNG\r\n\x1a\n"


def encoded(picture: Image.Image, fmt: str, **how) -> bytes:
    out = io.BytesIO()
    picture.save(out, fmt, **how)
    return out.getvalue()


def landscape(width: int = 160, height: int = 120, mode: str = "RGB") -> Image.Image:
    """Smooth light with some noise: it compresses like a photo."""
    y, x = np.mgrid[:height, :width]
    grey = 110 + 60 * np.sin(x / 17) * np.cos(y / 11) + np.random.default_rng(3).normal(0, 6, (height, width))
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert(mode)


def speechlike(seconds: float, rate_hz: int) -> np.ndarray:
    """A buzz with syllables, float in [-1, 1]."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    buzz = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 12))
    return 0.2 * buzz * np.clip(np.sin(2 * np.pi * 3 * t), 0, 1)


def sound(samples: np.ndarray, rate_hz: int, fmt: str, subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate_hz, format=fmt, subtype=subtype)
    return out.getvalue()


@cache
def good_photos() -> dict[str, bytes]:
    picture = landscape()
    progressive = encoded(picture, "JPEG", progressive=True)
    return {"jpeg": encoded(picture, "JPEG"), "progressive": progressive} | {
        fmt: encoded(picture, fmt) for fmt in ("PNG", "WEBP")
    }


@cache
def good_recordings() -> dict[str, bytes]:
    samples = speechlike(2, 16_000)
    ways = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS"), "float": ("WAV", "FLOAT")}
    return {name: sound(samples, 16_000, *way) for name, way in ways.items()}
