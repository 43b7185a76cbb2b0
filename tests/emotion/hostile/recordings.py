"""Recordings that lie about their length, rate or channels, and sounds that are no speech."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from tests.emotion.hostile.good import Made, good_recordings, sound, speechlike

TEN_HOURS_S = 36_000
TAG_PAGES = 240  # of 65 kB: nearly the 16 MB that one recording may bring along in tags


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


RECORDINGS: list[Callable[[np.random.Generator], Made]] = [
    lying_sizes, lying_rates, lying_channels, lying_depths, ten_hours, lying_ogg, crowd_of_pages, crowd_of_wav_chunks,
    strange_values, no_speech, lying_flac,
]  # fmt: skip
