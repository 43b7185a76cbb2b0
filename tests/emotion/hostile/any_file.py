"""What can go wrong with any good file: mutators of both kinds."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import numpy as np

from tests.emotion.hostile.good import PNG, Made, encoded, landscape, sound, speechlike

MAGICS = [b"\xff\xd8\xff\xe0", PNG, b"RIFF\x10\0\0\0WEBPVP8 ", b"GIF89a", b"RIFF\x10\0\0\0WAVEfmt ", b"fLaC", b"OggS"]


def truncated(rng: np.random.Generator, good: dict[str, bytes]) -> Made:
    for name, data in good.items():
        for size in sorted(rng.integers(1, len(data), 4)):
            yield f"{name}-{size}", data[:size]


def empty(rng: np.random.Generator, good: dict[str, bytes]) -> Made:
    yield "nothing", b""
    yield "one byte", rng.bytes(1)


def wrong_magic(rng: np.random.Generator, good: dict[str, bytes]) -> Made:
    for name, data in good.items():
        for magic in rng.permutation(len(MAGICS))[:3]:
            yield f"{name}-{magic}", MAGICS[magic] + data[len(MAGICS[magic]) :]


def only_magic(rng: np.random.Generator, good: dict[str, bytes]) -> Made:
    for number, magic in enumerate(MAGICS):
        yield f"{number}", magic + rng.bytes(200)


def flipped_bits(rng: np.random.Generator, good: dict[str, bytes]) -> Made:
    for name, data in good.items():
        for share in (0.001, 0.01, 0.1):
            bits = np.unpackbits(np.frombuffer(data, np.uint8))
            bits ^= (rng.random(bits.size) < share).astype(np.uint8)
            yield f"{name}-{share}", np.packbits(bits).tobytes()


def flipped_head(rng: np.random.Generator, good: dict[str, bytes]) -> Made:
    """The first bytes hold the sizes that decoders trust."""
    for name, data in good.items():
        for n in range(4):
            head = bytearray(data)
            for at in rng.integers(4, 64, 3):
                head[at] = rng.integers(0, 256)
            yield f"{name}-{n}", bytes(head)


def zeroed(rng: np.random.Generator, good: dict[str, bytes]) -> Made:
    for name, data in good.items():
        start = int(rng.integers(0, len(data)))
        yield name, data[:start] + bytes(len(data) - start)


def shuffled(rng: np.random.Generator, good: dict[str, bytes]) -> Made:
    for name, data in good.items():
        body = [data[at : at + 64] for at in range(64, len(data), 64)]
        yield name, data[:64] + b"".join(body[n] for n in rng.permutation(len(body)))


def twice(rng: np.random.Generator, good: dict[str, bytes]) -> Made:
    for name, data in good.items():
        yield f"{name}-after", data + data
        yield f"{name}-inside", data[: len(data) // 2] + data


def polyglot(rng: np.random.Generator, good: dict[str, bytes]) -> Made:
    """A good file that is another one too, for whoever reads it from the end or looks for a tag."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../etc/cron.d/evil", "* * * * * root true")
    for name, data in good.items():
        yield f"{name}-zip", data + archive.getvalue()
        yield f"{name}-html", data + b"<script>alert(1)</script><?php system($_GET['c']); ?>"
        yield f"{name}-pdf-before", b"%PDF-1.7\n" + data


def other_formats(rng: np.random.Generator, good: dict[str, bytes]) -> Made:
    picture = landscape(32, 32)
    for fmt in ("GIF", "BMP", "TIFF", "ICO", "PPM", "PCX", "TGA", "JPEG2000", "EPS", "PDF"):
        yield fmt, encoded(picture, fmt)
    for fmt in ("AIFF", "AU", "CAF", "W64", "RF64", "VOC", "IRCAM", "PVF"):
        yield fmt, sound(speechlike(0.2, 16_000), 16_000, fmt)
    yield (
        "svg",
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aa">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
    )
    yield "m3u", b"#EXTM3U\nfile:///etc/passwd\n"
    yield "shell", b"#!/bin/sh\nid\n"


ANY: list[Callable[[np.random.Generator, dict[str, bytes]], Made]] = [
    truncated, empty, wrong_magic, only_magic, flipped_bits, flipped_head, zeroed, shuffled, twice, polyglot,
    other_formats,
]  # fmt: skip
