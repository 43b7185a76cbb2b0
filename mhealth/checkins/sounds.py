"""What a recording's headers say, and the recording without its tags. Nothing here decodes a sample."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from mhealth.checkins.segments import TooManySegments, at_most

OPUS_HZ = 48_000  # granule positions of Ogg-Opus always count at this rate (RFC 7845)
FLAC_KEPT = {0, 3}  # STREAMINFO, SEEKTABLE
WAV_KEPT = {b"fmt ", b"fact", b"data"}
MOST_CHUNKS = 1_000  # of a WAV or FLAC file
MOST_PAGES = 25_000  # of an Ogg file: a minute in packets of 2.5 ms, each on a page of its own
MOST_TAG_BYTES = 1_000_000  # of an Ogg file; a checksum over them is computed here
NO_TAGS = b"OpusTags" + struct.pack("<I", 0) + struct.pack("<I", 0)


class NotARecording(Exception):
    """The bytes are not WAV, FLAC or Ogg-Opus."""


def header(data: bytes) -> tuple[str, float]:
    """Return (media type, duration in s as declared) without decoding. Raises NotARecording."""
    try:
        if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
            return "audio/wav", _wav_seconds(data)
        if data[:4] == b"fLaC":
            return "audio/flac", _flac_seconds(data)
        if data[:4] == b"OggS" and b"OpusHead" in data[:100]:
            return "audio/ogg", _opus_seconds(data)
    except (struct.error, IndexError, ValueError, ZeroDivisionError, StopIteration, TooManySegments) as problem:
        raise NotARecording from problem
    raise NotARecording


def without_metadata(data: bytes, media_type: str) -> bytes:
    """Drop titles, places, pictures, application blocks and what follows the sound; of what `header` has let in."""
    return {"audio/wav": _wav, "audio/flac": _flac, "audio/ogg": _ogg}[media_type](data)


def _wav_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    return at_most(MOST_CHUNKS, _wav_walk(data))


def _wav_walk(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack("<4sI", data[at : at + 8])
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


def _wav_seconds(data: bytes) -> float:
    chunks = list(_wav_chunks(data))
    format_chunk = next(body for kind, body in chunks if kind == b"fmt ")
    bytes_per_second = struct.unpack("<I", format_chunk[8:12])[0]
    return next(len(body) for kind, body in chunks if kind == b"data") / bytes_per_second


def _wav(data: bytes) -> bytes:
    kept = [(kind, content) for kind, content in _wav_chunks(data) if kind in WAV_KEPT]
    chunks = [struct.pack("<4sI", kind, len(body)) + body + b"\0" * (len(body) & 1) for kind, body in kept]
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _flac_blocks(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield (type, body, end) of each metadata block."""
    return at_most(MOST_CHUNKS, _flac_walk(data))


def _flac_walk(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    at, last = 4, False
    while not last and at + 4 <= len(data):
        first, length = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        last = bool(first & 0x80)
        yield first & 0x7F, data[at + 4 : at + 4 + length], at + 4 + length
        at += 4 + length


def _flac_seconds(data: bytes) -> float:
    stream_info, *_ = _flac_blocks(data)
    packed = int.from_bytes(stream_info[1][10:18], "big")
    rate_hz, samples = packed >> 44, packed & (2**36 - 1)
    return samples / rate_hz


def _flac(data: bytes) -> bytes:
    blocks = list(_flac_blocks(data))
    kept = [(kind, body) for kind, body, _ in blocks if kind in FLAC_KEPT]
    out = b"fLaC"
    for number, (kind, body) in enumerate(kept, start=1):
        out += bytes([kind | (0x80 if number == len(kept) else 0)]) + len(body).to_bytes(3, "big") + body
    return out + data[blocks[-1][2] :]


@dataclass
class Page:
    """Where an Ogg page (RFC 3533) lies in the file: its start, the start of its body, its end."""

    start: int
    body: int
    end: int
    granule: int
    ends_packet: bool


def _pages(data: bytes) -> Iterator[Page]:
    return at_most(MOST_PAGES, _page_walk(data))


def _page_walk(data: bytes) -> Iterator[Page]:
    at = 0
    while data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        lacing = data[at + 27 : at + 27 + data[at + 26]]
        body = at + 27 + len(lacing)
        granule = struct.unpack("<q", data[at + 6 : at + 14])[0]
        yield Page(at, body, body + sum(lacing), granule, bool(lacing) and lacing[-1] < 255)
        at = body + sum(lacing)


def _opus_seconds(data: bytes) -> float:
    first, *rest = _pages(data)
    tags = _tag_pages(rest)
    if tags and tags[-1].end - tags[0].start > MOST_TAG_BYTES:
        raise TooManySegments
    pre_skip = struct.unpack("<H", data[first.body + 10 : first.body + 12])[0]
    return max(0, max((page.granule for page in rest), default=0) - pre_skip) / OPUS_HZ


def _tag_pages(pages: list[Page]) -> list[Page]:
    """Those of the first packet: `pages` start after the page of the head."""
    last = next((n for n, page in enumerate(pages) if page.ends_packet), len(pages) - 1)
    return pages[: last + 1]


def _ogg(data: bytes) -> bytes:
    """Overwrite the tag packet with an empty one of the same length (RFC 7845 allows padding): other pages stay."""
    _, *pages = _pages(data)
    out, content = bytearray(data[: pages[-1].end] if pages else data), NO_TAGS
    for page in _tag_pages(pages):
        room = len(out[page.body : page.end])
        out[page.body : page.body + room] = content[:room].ljust(room, b"\0")
        out[page.start + 22 : page.start + 26] = b"\0" * 4
        out[page.start + 22 : page.start + 26] = struct.pack("<I", _crc(out[page.start : page.end]))
        content = b""
    return bytes(out)


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = ((value << 1) ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        table.append(value)
    return table


_TABLE = _crc_table()


def _crc(page: bytes | bytearray) -> int:
    """Ogg's CRC-32 (polynomial 0x04c11db7, not reflected, no final inversion)."""
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _TABLE[(value >> 24) ^ byte]
    return value
