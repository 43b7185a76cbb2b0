"""What a video's headers say, and the video without its metadata. Nothing here decodes a frame.

MP4 and QuickTime are boxes (ISO 14496-12), WebM is elements (RFC 8794, RFC 9559). Both point into themselves by
offset, so metadata is emptied where it lies and never cut out.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MOST_PIECES = 100_000  # boxes or elements; a minute of video has some thousands

OPENED_BOXES = {b"moov", b"trak", b"mdia", b"mvex"}
EMPTIED_BOXES = {b"udta", b"meta", b"uuid", b"free", b"skip"}  # titles, places, devices, and what hides in padding
WITH_TIMES = {b"mvhd", b"tkhd", b"mdhd"}  # when it was recorded
OTHER_BRANDS = {b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis", b"crx ", b"M4A ", b"M4B "}  # photos and sounds
SEEN, HEARD = b"vide", b"soun"

EBML, DOC_TYPE = 0x1A45DFA3, 0x4282
SEGMENT, INFO, TRACKS, TRACK, CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0x1F43B675
OPENED_ELEMENTS = {EBML, SEGMENT, INFO, TRACKS, TRACK, CLUSTER}
TIMESTAMP_SCALE, DURATION, TIMESTAMP, TRACK_TYPE = 0x2AD7B1, 0x4489, 0xE7, 0x83
TITLE, DATE, TRACK_NAME, TAGS, ATTACHMENTS, CHAPTERS = 0x7BA9, 0x4461, 0x536E, 0x1254C367, 0x1941A469, 0x1043A770
FILE_NAMES = {0x7384, 0x3C83AB, 0x3E83BB}
VOID, CHECKSUM = 0xEC, 0xBF  # a checksum would not fit what was emptied
EMPTIED_ELEMENTS = {TITLE, DATE, TRACK_NAME, TAGS, ATTACHMENTS, CHAPTERS, VOID, CHECKSUM} | FILE_NAMES
USUAL_SCALE_NS = 1_000_000


class NotAVideo(Exception):
    """The bytes are not MP4, QuickTime or WebM with a picture."""


@dataclass(frozen=True)
class Piece:
    """A box or an element: its name, and where it, its body and its end lie in the file."""

    name: bytes | int
    start: int
    body: int
    end: int


def header(data: bytes) -> tuple[str, float]:
    """Return (media type, seconds as declared; 0 where a live recorder declared none). Raises NotAVideo."""
    try:
        if data[4:8] == b"ftyp":
            return _mp4(data)
        if data[:4] == EBML.to_bytes(4, "big"):
            return "video/webm", _webm_seconds(data)
    except (struct.error, IndexError, ZeroDivisionError, OverflowError) as problem:
        raise NotAVideo from problem
    raise NotAVideo


def without_metadata(data: bytes, media_type: str) -> bytes:
    """Empty titles, places, times, devices, attachments, and the tracks that are neither picture nor sound.

    Samples of such a track stay among the frames; nothing says any more where.
    """
    return (_webm_emptied if media_type == "video/webm" else _mp4_emptied)(data)


def _mp4(data: bytes) -> tuple[str, float]:
    brand = data[8:12]
    pieces = list(_boxes(data))
    whole = any(piece.name == b"moov" for piece in pieces)  # not so where the end is missing: found out by decoding
    if brand in OTHER_BRANDS or (whole and SEEN not in _handlers(data, pieces)):
        raise NotAVideo
    return "video/quicktime" if brand == b"qt  " else "video/mp4", _mp4_seconds(data, pieces)


def _boxes(data: bytes) -> Iterator[Piece]:
    """Boxes in their order, with those inside of `OPENED_BOXES`. Raises NotAVideo where there are too many."""
    at = count = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1:
            size, body = struct.unpack_from(">Q", data, body)[0], body + 8
        end = min(at + size, len(data)) if size else len(data)
        if end < body or (count := count + 1) > MOST_PIECES:
            raise NotAVideo
        yield Piece(name, at, body, end)
        at = body if name in OPENED_BOXES else end


def _handlers(data: bytes, pieces: list[Piece]) -> set[bytes]:
    return {data[piece.body + 8 : piece.body + 12] for piece in pieces if piece.name == b"hdlr"}


def _mp4_seconds(data: bytes, pieces: list[Piece]) -> float:
    """Of the movie, or of its fragments where these are declared."""
    scale, length = 0, 0
    for piece in pieces:
        wide = data[piece.body : piece.body + 1] == b"\1"
        if piece.name == b"mvhd":
            scale, told = struct.unpack_from(">IQ" if wide else ">II", data, piece.body + (20 if wide else 12))
            length = max(length, told if told < 2 ** (64 if wide else 32) - 1 else 0)  # all ones: not known
        elif piece.name == b"mehd":
            length = max(length, struct.unpack_from(">Q" if wide else ">I", data, piece.body + 4)[0])
    return length / scale if length else 0.0


def _mp4_emptied(data: bytes) -> bytes:
    out, pieces, done = bytearray(data), list(_boxes(data)), 0
    unread = _unread_tracks(data, pieces)
    for piece in pieces:
        if piece.name in WITH_TIMES:
            length = 16 if data[piece.body : piece.body + 1] == b"\1" else 8
            _blank(out, piece.body + 4, min(piece.body + 4 + length, piece.end))
        if (piece.name in EMPTIED_BOXES or piece in unread) and piece.start >= done:  # not inside of an emptied one
            out[piece.start + 4 : piece.start + 8] = b"free"
            _blank(out, piece.body, piece.end)
            done = piece.end
    return bytes(out)


def _unread_tracks(data: bytes, pieces: list[Piece]) -> set[Piece]:
    tracks: dict[Piece, bool] = {}
    for piece in pieces:
        if piece.name == b"trak":
            tracks[piece] = False
        elif tracks and _handlers(data, [piece]) & {SEEN, HEARD}:
            tracks[next(reversed(tracks))] = True
    return {track for track, is_read in tracks.items() if not is_read}


def _blank(out: bytearray, start: int, end: int) -> None:
    out[start:end] = bytes(max(0, end - start))


def _webm_seconds(data: bytes) -> float:
    """As declared; without a declaration, when the last cluster starts."""
    kind, scale_ns, declared, last, seen = b"", USUAL_SCALE_NS, 0.0, 0, False
    for piece in _elements(data):
        body = data[piece.body : min(piece.end, piece.body + 8)]  # no longer number or name is looked at
        if piece.name == DOC_TYPE:
            kind = body.rstrip(b"\0")
        elif piece.name == TIMESTAMP_SCALE:
            scale_ns = int.from_bytes(body, "big")
        elif piece.name == DURATION:
            declared = struct.unpack(">d" if len(body) == 8 else ">f", body)[0]
        elif piece.name == TIMESTAMP:
            last = max(last, int.from_bytes(body, "big"))
        elif piece.name == TRACK_TYPE:
            seen |= body == b"\1"
    if kind != b"webm" or not seen:
        raise NotAVideo
    return max(declared, last) * scale_ns / 1e9


def _elements(data: bytes) -> Iterator[Piece]:
    """Elements in their order, with those inside of `OPENED_ELEMENTS`. Raises NotAVideo where there are too many."""
    at = count = 0
    while at + 2 <= len(data):
        name, after = _number(data, at, keep_marker=True)
        size, body = _number(data, after, keep_marker=False)
        if (count := count + 1) > MOST_PIECES:
            raise NotAVideo
        unknown = size == 2 ** (7 * (body - after)) - 1  # a live recorder's: what follows tells where it ends
        end = len(data) if unknown else min(body + size, len(data))
        yield Piece(name, at, body, end)
        at = body if name in OPENED_ELEMENTS else end


def _number(data: bytes, at: int, *, keep_marker: bool) -> tuple[int, int]:
    """A number of variable length (RFC 8794), and where it ends."""
    length = 9 - data[at].bit_length()
    if length > 8 or at + length > len(data):
        raise NotAVideo
    value = int.from_bytes(data[at : at + length], "big")
    return value if keep_marker else value & (2 ** (7 * length) - 1), at + length


def _webm_emptied(data: bytes) -> bytes:
    out = bytearray(data)
    for piece in _elements(data):
        if piece.name in EMPTIED_ELEMENTS:
            out[piece.start : piece.end] = _void(piece.end - piece.start)
    return bytes(out)


def _void(length: int) -> bytes:
    """An element of `length` bytes, at least two, that says nothing."""
    if length < 9:
        return bytes([VOID, 0x80 | (length - 2)]) + bytes(length - 2)
    return bytes([VOID, 0x01]) + (length - 9).to_bytes(7, "big") + bytes(length - 9)
