"""Photos and recordings that mean harm, or were made by a broken phone: by seed, the same on every machine.

`corpus(seed)` gives them all. Each mutator is a function of a random generator that yields (name, bytes); its own
name tells what is wrong. Those of `ANY` change good files of both kinds, the others make files of one kind.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import soundfile
from PIL import Image, PngImagePlugin

Made = Iterator[tuple[str, bytes]]
PNG = b"\x89PNG\r\n\x1a\n"
MAGICS = [b"\xff\xd8\xff\xe0", PNG, b"RIFF\x10\0\0\0WEBPVP8 ", b"GIF89a", b"RIFF\x10\0\0\0WAVEfmt ", b"fLaC", b"OggS"]
TEN_HOURS_S = 36_000
TAG_PAGES = 240  # of 65 kB: nearly the 16 MB that one recording may bring along in tags


@dataclass(frozen=True)
class Hostile:
    """kind: "face" or "voice", what it pretends to be.  mutator: what made it.  name: which of its files."""

    kind: str
    mutator: str
    name: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.kind}/{self.mutator}/{self.name}"


def corpus(seed: int) -> Iterator[Hostile]:
    for kind, makers in (("face", PHOTOS), ("voice", RECORDINGS)):
        good = good_photos() if kind == "face" else good_recordings()
        for mutate in ANY:
            for name, data in mutate(np.random.default_rng([seed, *mutate.__name__.encode()]), good):
                yield Hostile(kind, mutate.__name__, name, data)
        for make in makers:
            for name, data in make(np.random.default_rng([seed, *make.__name__.encode()])):
                yield Hostile(kind, make.__name__, name, data)


# What good files look like


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


# Mutators of any good file


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


# Photos


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, *, depth: int = 8, colour: int = 2, interlaced: int = 0, rows: bytes | None = None
) -> bytes:
    """colour: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.  rows: deflated; none: all black."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    if rows is None:
        channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
        rows = deflated_zeros(height * (1 + (width * channels * depth + 7) // 8))
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def deflated_zeros(size: int) -> bytes:
    """A zlib stream (RFC 1950) of `size` zeros, a thousandth as long: one mebibyte is deflated and then repeated."""
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = press.compress(bytes(1 << 20)) + press.flush(zlib.Z_FULL_FLUSH)
    last = zlib.compressobj(9, zlib.DEFLATED, -15)
    rest = last.compress(bytes(size % (1 << 20))) + last.flush()
    checksum = (size % 65_521) << 16 | 1  # Adler-32 of zeros
    return b"\x78\x9c" + block * (size >> 20) + rest + struct.pack(">I", checksum)


def pixel_flood(rng: np.random.Generator) -> Made:
    """The header speaks of more pixels than any memory holds; hardly a byte follows."""
    few = zlib.compress(bytes(1000))
    for width, height in [(2**31 - 1, 2**31 - 1), (100_000, 100_000), (30_000, 30_000), (8_000, 8_000), (5_000, 5_000)]:
        yield f"png-{width}x{height}", png(width, height, rows=few)
    jpeg = bytearray(good_photos()["jpeg"])
    at = jpeg.index(b"\xff\xc0") + 5
    for side in (65_500, 65_535, 5_000):
        jpeg[at : at + 4] = struct.pack(">HH", side, side)
        yield f"jpeg-{side}", bytes(jpeg)
    webp = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + b"\xff\x3f\0" * 2
    yield "webp-16384", b"RIFF" + struct.pack("<I", 4 + len(webp)) + b"WEBP" + webp


def decompression_bomb(rng: np.random.Generator) -> Made:
    """Small files that hold all the pixels they speak of."""
    yield "one bit", png(30_000, 30_000, depth=1, colour=0)
    yield "25 megapixels of 64 bits", png(5_000, 5_000, depth=16, colour=6)
    yield "64 megapixels", png(8_000, 8_000)
    yield "interlaced", png(5_000, 5_000, interlaced=1, rows=deflated_zeros(80 << 20))
    yield "too long", png(64, 64, rows=deflated_zeros(256 << 20))
    black = "524946461a000000574542505650384c0e0000002f87d3e104071011fd0f4444ff03"
    yield "lossless WebP of 34 bytes, 5000x5000", bytes.fromhex(black)


def many_scans(rng: np.random.Generator) -> Made:
    """A progressive JPEG repeats a scan that says next to nothing, and each time every block is visited."""
    data = encoded(Image.new("L", (5_000, 4_900), 128), "JPEG", progressive=True)
    starts = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    last = data[starts[-1] : -2]
    for times in (3, 3_000):
        yield f"{times} times", data[:-2] + last * times + data[-2:]


def exif_junk(rng: np.random.Generator) -> Made:
    """Orientations that are none, and directories (TIFF 6.0) that point at themselves or beyond the end."""
    picture = landscape()
    tiff = b"MM\0*" + struct.pack(">I", 8)
    bodies = {
        "orientation 99": tiff + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 99, 0, 0),
        "orientation text": tiff + struct.pack(">HHHI4sI", 1, 0x0112, 2, 4, b"up\0\0", 0),
        "orientation of two": tiff + struct.pack(">HHHIHHI", 1, 0x0112, 3, 2, 6, 6, 0),
        "orientation by zero": tiff + struct.pack(">HHHIIIII", 1, 0x0112, 5, 1, 26, 0, 0, 0),
        "circle": tiff + struct.pack(">HHHIII", 1, 0x8769, 4, 1, 8, 8),
        "far": tiff + struct.pack(">HHHIII", 1, 0x0112, 3, 2**31, 2**32 - 1, 2**32 - 1),
        "65,535 entries": tiff + struct.pack(">H", 65_535),
        "noise": tiff + rng.bytes(4_000),
    }
    for name, body in bodies.items():
        for fmt in ("JPEG", "PNG", "WEBP"):
            yield f"{name}-{fmt}", encoded(picture, fmt, exif=b"Exif\0\0" + body)


def icc_junk(rng: np.random.Generator) -> Made:
    picture = landscape()
    for fmt in ("JPEG", "PNG", "WEBP"):
        yield f"noise-{fmt}", encoded(picture, fmt, icc_profile=rng.bytes(3_000))
    yield "large", encoded(picture, "JPEG", icc_profile=rng.bytes(2_000_000))
    bomb = chunk(b"iCCP", b"x\0\0" + deflated_zeros(400 << 20))
    good = good_photos()["PNG"]
    yield "bomb", good[:33] + bomb + good[33:]
    jpeg = good_photos()["jpeg"]
    lying = b"ICC_PROFILE\0" + bytes([9, 200]) + rng.bytes(100)
    yield "part 9 of 200", jpeg[:2] + b"\xff\xe2" + struct.pack(">H", len(lying) + 2) + lying + jpeg[2:]


def text_bomb(rng: np.random.Generator) -> Made:
    good, pressed = good_photos()["PNG"], deflated_zeros(100 << 20)
    yield "one", good[:33] + chunk(b"zTXt", b"k\0\0" + pressed) + good[33:]
    yield "many", good[:33] + chunk(b"zTXt", b"k\0\0" + deflated_zeros(1 << 20)) * 100 + good[33:]
    yield "international", good[:33] + chunk(b"iTXt", b"k\0\1\0\0\0" + pressed) + good[33:]
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Raw profile type exif", "\nexif\n  9999999\n" + "zz" * 500)
    yield "raw profile", encoded(landscape(), "PNG", pnginfo=notes)


def crowd_of_chunks(rng: np.random.Generator) -> Made:
    """Nine megabytes of segments with nothing in them."""
    good, jpeg, webp = good_photos()["PNG"], good_photos()["jpeg"], good_photos()["WEBP"]
    yield "png", good[:33] + chunk(b"tEXt", b"") * 750_000 + good[33:]
    yield "png kept", good[:33] + chunk(b"sRGB", b"\0") * 690_000 + good[33:]
    yield "jpeg", jpeg[:2] + b"\xff\xe5\0\2" * 2_200_000 + jpeg[2:]
    yield "jpeg kept", jpeg[:2] + b"\xff\xee\0\2" * 2_200_000 + jpeg[2:]
    yield "jpeg stuffed", jpeg[:-2] + b"\xff\0" * 4_500_000 + jpeg[-2:]
    yield "webp", webp[:4] + struct.pack("<I", 8_800_000) + webp[8:] + struct.pack("<4sI", b"ALPH", 0) * 1_100_000


def odd_colours(rng: np.random.Generator) -> Made:
    """Whole photos of kinds that phones seldom take: they must be read, not refused."""
    for mode in ("L", "CMYK"):
        yield f"jpeg-{mode}", encoded(landscape(mode=mode), "JPEG")
    for mode in ("1", "L", "P", "LA", "RGBA"):
        yield f"png-{mode}", encoded(landscape(mode=mode), "PNG")
    deep = Image.fromarray(np.linspace(0, 65_535, 160 * 120).astype(np.uint16).reshape(120, 160))
    yield "png-16 bits", encoded(deep, "PNG")
    yield "png-64 bits", png(160, 120, depth=16, colour=6)
    palette = landscape(mode="P")
    yield "png-transparent palette", encoded(palette, "PNG", transparency=bytes(range(200)))
    yield "webp-lossless alpha", encoded(landscape(mode="RGBA"), "WEBP", lossless=True)
    yield "jpeg-one pixel", encoded(Image.new("RGB", (1, 1)), "JPEG")


def animated(rng: np.random.Generator) -> Made:
    frames = [landscape().rotate(n) for n in range(12)]
    for fmt in ("PNG", "WEBP"):
        yield f"{fmt}-12 frames", encoded(frames[0], fmt, save_all=True, append_images=frames[1:])
    tiny = [Image.new("RGB", (64, 64), (n % 256, n // 256, 0)) for n in range(400)]
    yield "WEBP-400 frames", encoded(tiny[0], "WEBP", save_all=True, append_images=tiny[1:])
    good = good_photos()["PNG"]
    many = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    yield "PNG-says two thousand million frames", good[:33] + many + good[33:]
    yield "PNG-says no frames", good[:33] + chunk(b"acTL", struct.pack(">II", 0, 0)) + good[33:]


def extreme_shape(rng: np.random.Generator) -> Made:
    yield "png-25000000x1", png(25_000_000, 1, depth=1, colour=0)
    yield "png-1x1000000", png(1, 1_000_000, depth=1, colour=0)
    yield "png-3x100000", png(3, 100_000)
    yield "jpeg-65500x1", encoded(Image.new("L", (65_500, 1)), "JPEG")
    yield "jpeg-1x65500", encoded(Image.new("L", (1, 65_500)), "JPEG")
    yield "webp-16383x2", encoded(Image.new("RGB", (16_383, 2)), "WEBP")
    yield "png-0x0", png(0, 0, rows=zlib.compress(b""))


def lying_chunks(rng: np.random.Generator) -> Made:
    good = good_photos()["PNG"]
    for depth, colour, interlaced in [(3, 2, 0), (16, 3, 0), (8, 7, 0), (8, 2, 9), (255, 255, 255)]:
        yield (
            f"header-{depth}-{colour}-{interlaced}",
            png(8, 8, depth=depth, colour=colour, interlaced=interlaced, rows=zlib.compress(bytes(200))),
        )
    yield "length", good[:33] + b"\xff\xff\xff\xff" + good[37:]
    yield "no data", PNG + chunk(b"IHDR", good[16:29]) + chunk(b"IEND", b"")
    yield "palette of 300", good[:33] + chunk(b"PLTE", bytes(900)) + good[33:]
    yield "odd palette", good[:33] + chunk(b"PLTE", bytes(7)) + good[33:]
    webp = bytearray(good_photos()["WEBP"])
    for size in (0, 4, 2**32 - 1):
        webp[4:8] = struct.pack("<I", size)
        yield f"webp-{size}", bytes(webp)
    jpeg = good_photos()["jpeg"]
    yield "jpeg-length 0", jpeg.replace(b"\xff\xdb\0\x43", b"\xff\xdb\0\0", 1)
    yield "jpeg-no tables", jpeg.replace(b"\xff\xc4", b"\xff\xe9")
    yield "jpeg-fill", jpeg[:2] + b"\xff" * 5_000_000 + jpeg[2:]
    yield "jpeg-restarts", jpeg[:-2] + b"\xff\xd0" * 100_000 + jpeg[-2:]


# Recordings


def wav(body: bytes, *, rate_hz: int = 16_000, channels: int = 1, bits: int = 16, tag: int = 1, size: int | None = None,
        bytes_per_second: int | None = None) -> bytes:  # fmt: skip
    """size, bytes_per_second: what the header says of them, where it lies."""
    each = channels * bits // 8
    told = rate_hz * each if bytes_per_second is None else bytes_per_second
    form = struct.pack("<HHIIHH", tag, channels, rate_hz, told % 2**32, each % 2**16, bits)
    inside = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    inside += b"data" + struct.pack("<I", len(body) if size is None else size) + body
    return b"RIFF" + struct.pack("<I", len(inside)) + inside


def two_seconds() -> bytes:
    return (speechlike(2, 16_000) * 32_767).astype("<i2").tobytes()


def lying_sizes(rng: np.random.Generator) -> Made:
    for size in (0, 1, 3, 2**31 - 1, 2**31, 2**32 - 1):
        yield f"data-{size}", wav(two_seconds(), size=size)
    for told in (0, 1, 2**32 - 1):
        yield f"rate-{told}", wav(two_seconds(), bytes_per_second=told)
    good = wav(two_seconds())
    yield "riff-0", good[:4] + bytes(4) + good[8:]
    yield "form-huge", good[:16] + b"\xff\xff\xff\x7f" + good[20:]


def lying_rates(rng: np.random.Generator) -> Made:
    for rate_hz in (0, 1, 7, 100, 1_000_000, 2**31 - 1, 2**31, 2**32 - 1):
        yield f"{rate_hz} Hz", wav(two_seconds(), rate_hz=rate_hz)
    yield "20 MB at 1 Hz", wav(rng.bytes(19_000_000), rate_hz=1, bytes_per_second=2**32 - 1)
    yield "20 MB at 300 kHz", wav(rng.bytes(19_000_000), rate_hz=300_000, bytes_per_second=2**32 - 1)
    yield "20 MB at 2 GHz", wav(rng.bytes(19_000_000), rate_hz=2**31 - 1)


def lying_channels(rng: np.random.Generator) -> Made:
    for channels in (0, 2, 255, 1_024, 1_025, 65_535):
        yield f"{channels}", wav(two_seconds(), channels=channels)
    yield "20 MB of 1024", wav(rng.bytes(19_000_000), channels=1_024, bits=8, bytes_per_second=2**32 - 1)


def lying_depths(rng: np.random.Generator) -> Made:
    for bits in (0, 1, 7, 8, 24, 33, 64, 255, 65_535):
        yield f"{bits} bits", wav(two_seconds(), bits=bits)
    for tag in (0, 2, 3, 6, 7, 17, 49, 80, 85, 0xFFFE, 0xFFFF, int(rng.integers(256, 60_000))):
        yield f"codec {tag}", wav(two_seconds(), tag=tag)


def ten_hours(rng: np.random.Generator) -> Made:
    """Ten hours of silence that say they last a second."""
    yield "flac", silent_flac(TEN_HOURS_S, 16_000, told_samples=16_000)
    yield "flac of unknown length", silent_flac(TEN_HOURS_S, 16_000, told_samples=0)
    yield "flac at 655 kHz", silent_flac(2_000, 655_350, told_samples=1)
    yield "flac of eight channels", silent_flac(59, 655_350, told_samples=59 * 655_350, channels=8)
    yield "opus", silent_opus(TEN_HOURS_S, told_samples=48_000)
    yield "opus that tells", silent_opus(TEN_HOURS_S, told_samples=TEN_HOURS_S * 48_000)
    yield "wav", wav(b"\x80" * (TEN_HOURS_S * 500), rate_hz=500, bits=8, bytes_per_second=2**32 - 1)


def silent_flac(seconds: int, rate_hz: int, told_samples: int, channels: int = 1) -> bytes:
    """Frames (RFC 9639) of 32,768 samples, each channel a constant zero: some 12 bytes a frame."""
    info = struct.pack(">HH", 32_768, 32_768) + bytes(6)
    info += ((rate_hz << 44) | (channels - 1) << 41 | 15 << 36 | told_samples).to_bytes(8, "big") + bytes(16)
    out = [b"fLaC", bytes([0x80, 0, 0, len(info)]), info]
    for number in range(seconds * rate_hz // 32_768):
        head = bytes([0xFF, 0xF8, 0xF0, (channels - 1) << 4 | 0b1000]) + chr(number).encode("utf-8", "surrogatepass")
        frame = head + bytes([crc8(head)]) + bytes(3 * channels)  # subframe "constant": header byte, 16-bit value
        out.append(frame + struct.pack(">H", crc16(frame)))
    return b"".join(out)


def _crc_table(polynomial: int, bits: int) -> list[int]:
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return table


_CRC8, _CRC16, _CRC32 = _crc_table(0x07, 8), _crc_table(0x8005, 16), _crc_table(0x04C11DB7, 32)


def crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def crc16(data: bytes) -> int:
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _CRC16[value >> 8 ^ byte]
    return value


def page(body: bytes, *, flags: int = 0, granule: int = 0, stream: int = 1, number: int = 0,
         lacing: bytes | None = None, checked: bool = True) -> bytes:  # fmt: skip
    """One Ogg page.  lacing: of one whole packet unless given.  checked: with its CRC; else with a wrong one."""
    laced = bytes([255] * (len(body) // 255) + [len(body) % 255]) if lacing is None else lacing
    head = struct.pack("<4sBBqIII", b"OggS", 0, flags, granule, stream, number, 0) + bytes([len(laced)]) + laced
    value = 0
    for byte in head + body if checked else b"":
        value = (value << 8 & 0xFFFFFFFF) ^ _CRC32[value >> 24 ^ byte]
    whole = head + body
    return whole[:22] + struct.pack("<I", value) + whole[26:]


def opus_head(channels: int = 1, pre_skip: int = 312, rate_hz: int = 48_000, family: int = 0) -> bytes:
    return page(struct.pack("<8sBBHIhB", b"OpusHead", 1, channels, pre_skip, rate_hz, 0, family), flags=2)


def opus_tags(body: bytes = b"OpusTags" + bytes(8)) -> bytes:
    return page(body, number=1)


def silent_opus(seconds: int, told_samples: int) -> bytes:
    """Packets of two bytes (RFC 6716: two silent frames of 60 ms), 250 to a page."""
    per_page = 250
    body, lacing = b"\x1b\x02" * per_page, bytes([2] * per_page)
    pages = seconds * 1000 // 120 // per_page
    out = [opus_head(), opus_tags()]
    for number in range(pages):
        ends = number == pages - 1
        granule = told_samples * (number + 1) // pages
        out.append(page(body, flags=4 if ends else 0, granule=granule, number=number + 2, lacing=lacing))
    return b"".join(out)


def lying_ogg(rng: np.random.Generator) -> Made:
    body = {"body": b"\x18\xfe" * 20, "lacing": bytes([2] * 20)}
    for granule in (-1, -(2**63), 2**63 - 1, 0):
        yield f"granule {granule}", opus_head() + opus_tags() + page(**body, granule=granule, number=2, flags=4)
    for channels, family in [(0, 0), (3, 0), (255, 1), (255, 255)]:
        yield f"{channels} channels of family {family}", opus_head(channels, family=family) + opus_tags() + page(**body)
    yield "wrong sum", opus_head() + opus_tags() + page(**body, number=2, checked=False)
    yield "pre-skip", opus_head(pre_skip=65_535) + opus_tags() + page(**body, granule=10, number=2, flags=4)
    yield "no sound", opus_head() + opus_tags()
    yield "no tags", opus_head() + page(**body, number=2)
    yield "head alone", opus_head()
    yield "chained", (opus_head() + opus_tags() + page(**body, granule=4_000, number=2, flags=4)) * 200
    yield "many streams", b"".join(page(**body, stream=n, flags=2) for n in range(2, 400)) + opus_head()
    yield "tags promise 4 GB", opus_head() + opus_tags(b"OpusTags" + b"\xff" * 8) + page(**body, number=2)
    yield "vorbis", sound(speechlike(1, 16_000), 16_000, "OGG", "VORBIS")


def crowd_of_pages(rng: np.random.Generator) -> Made:
    """Tags that go on for 16 MB, and as many pages as fit."""
    full = struct.pack("<4sBBqIII", b"OggS", 0, 0, 0, 1, 1, 0) + b"\xff" * 256 + bytes(255 * 255)
    yield "tags", opus_head() + full * TAG_PAGES
    none = struct.pack("<4sBBqIII", b"OggS", 0, 0, 0, 1, 1, 0) + b"\0"
    yield "empty pages", opus_head() + opus_tags() + none * 700_000


def crowd_of_wav_chunks(rng: np.random.Generator) -> Made:
    """Nineteen megabytes of chunks with nothing in them, of a kind that is kept."""
    good = wav(two_seconds())
    yield "fact", good[:36] + struct.pack("<4sI", b"fact", 0) * 2_300_000 + good[36:]
    yield "list", good[:36] + struct.pack("<4sI", b"LIST", 0) * 2_300_000 + good[36:]
    yield "data", good + struct.pack("<4sI", b"data", 0) * 2_300_000
    flac = good_recordings()["flac"]
    yield "flac padding", flac[:4] + b"\x01\0\0\0" * 4_500_000 + flac[4:]
    yield "flac seek tables", flac[:4] + b"\x03\0\0\0" * 4_500_000 + flac[4:]


def strange_values(rng: np.random.Generator) -> Made:
    samples = speechlike(2, 16_000)
    for name, value in {"nan": np.nan, "infinite": np.inf, "1e38": 1e38, "denormal": 1e-42}.items():
        changed = samples.astype(np.float32)
        changed[::7] = value
        yield name, wav(changed.astype("<f4").tobytes(), bits=32, tag=3)
    yield "1e300", wav((samples * 1e300).astype("<f8").tobytes(), bits=64, tag=3)
    yield "all 1e38", wav((np.sign(samples) * 3e38).astype("<f4").tobytes(), bits=32, tag=3)


def no_speech(rng: np.random.Generator) -> Made:
    """Whole recordings in which nobody can be heard."""
    second = 16_000
    shapes = {
        "silence": np.zeros(4 * second),
        "constant": np.full(4 * second, 0.7),
        "square": np.sign(np.sin(np.arange(4 * second) / 20)),
        "noise": rng.normal(0, 0.2, 4 * second),
        "click": np.eye(1, 4 * second, 1000)[0],
        "one sample": np.ones(1) * 0.5,
        "ten samples": rng.normal(0, 0.2, 10),
        "nothing": np.zeros(0),
    }
    for name, samples in shapes.items():
        yield name, sound(np.clip(samples, -1, 1), second, "WAV", "PCM_16")


def lying_flac(rng: np.random.Generator) -> Made:
    good = good_recordings()["flac"]
    for name, (rate_hz, channels, told) in {
        "no rate": (0, 1, 0), "a minute": (16_000, 1, 2**36 - 1), "fast": (2**20 - 1, 8, 32_000), "slow": (1, 1, 2)
    }.items():  # fmt: skip
        packed = (rate_hz << 44) | (channels - 1) << 41 | 15 << 36 | told
        yield name, good[:18] + packed.to_bytes(8, "big") + good[26:]
    yield "blocks of nothing", good[:8] + bytes(4) + good[12:]
    yield "picture", good[:4] + b"\x06\xff\xff\xff" + good[4:]
    yield "behind an ID3 tag", b"ID3\x04\0\0\0\0\x07\x76" + bytes(1_014) + good
    yield "no blocks", b"fLaC" + b"\x84\0\0\0"


ANY: list[Callable[[np.random.Generator, dict[str, bytes]], Made]] = [
    truncated, empty, wrong_magic, only_magic, flipped_bits, flipped_head, zeroed, shuffled, twice, polyglot,
    other_formats,
]  # fmt: skip
PHOTOS: list[Callable[[np.random.Generator], Made]] = [
    pixel_flood, decompression_bomb, many_scans, exif_junk, icc_junk, text_bomb, crowd_of_chunks, odd_colours, animated,
    extreme_shape, lying_chunks,
]  # fmt: skip
RECORDINGS: list[Callable[[np.random.Generator], Made]] = [
    lying_sizes, lying_rates, lying_channels, lying_depths, ten_hours, lying_ogg, crowd_of_pages, crowd_of_wav_chunks,
    strange_values, no_speech, lying_flac,
]  # fmt: skip
MUTATORS = [*ANY, *PHOTOS, *RECORDINGS]
