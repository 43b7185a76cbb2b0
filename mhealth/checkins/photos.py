"""What a photo's headers say, and the photo without its metadata. Nothing here decodes a pixel."""

import io
import re
import struct
from collections import deque
from collections.abc import Iterator

from PIL import ExifTags, Image, UnidentifiedImageError, WebPImagePlugin  # noqa: F401 (the plug-in registers)

from mhealth.checkins.segments import TooManySegments, at_most

MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT"}
WEBP_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH"}
WEBP_METADATA_FLAGS = 0x2C  # ICC, EXIF and XMP bits of VP8X
JPEG_ADOBE = 0xEE  # APP14 says how colours are coded: without it some photos turn green
JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # neither a stuffed zero nor a restart
MOST_SEGMENTS = {"JPEG": 1_000, "PNG": 10_000, "WEBP": 1_000}  # of 10 MB: a PNG may come in pieces of 4 kB


class NotAPhoto(Exception):
    """The bytes are not a JPEG, PNG or WebP picture."""


def header(data: bytes) -> tuple[str, int]:
    """Return (media type, pixels) from the header alone. Raises NotAPhoto."""
    try:
        _refuse_crowds(data)
        with Image.open(io.BytesIO(data), formats=tuple(MEDIA_TYPES)) as image:
            return MEDIA_TYPES[image.format], image.width * image.height
    except Image.DecompressionBombError:
        return "image/png", 2**31  # far over any limit: the caller says so
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, struct.error, TooManySegments) as problem:
        raise NotAPhoto from problem


def _refuse_crowds(data: bytes) -> None:
    """Before Pillow, which would look at each of a million empty segments and keep those of a JPEG in memory."""
    for magic, segments in ((b"\xff\xd8", _jpeg_segments), (PNG_SIGNATURE, _png_chunks), (b"RIFF", _webp_chunks)):
        if data.startswith(magic):
            deque(segments(data), maxlen=0)


def without_metadata(data: bytes, media_type: str) -> bytes:
    """Drop place, time, device, thumbnails, comments and whatever follows the picture; keep the orientation.

    Works on segments; a file that breaks off is copied as far as it goes and found out when it is decoded.
    """
    return {"image/jpeg": _jpeg, "image/png": _png, "image/webp": _webp}[media_type](data)


def _orientation(data: bytes) -> int:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, ValueError, SyntaxError, struct.error):
        return 1
    return value if value in range(1, 9) else 1


def _exif_with(orientation: int) -> bytes:
    """An APP1 segment that holds the orientation and nothing else (TIFF 6.0, one IFD entry)."""
    entry = struct.pack(">HHIHH", ExifTags.Base.Orientation, 3, 1, orientation, 0)
    body = b"Exif\0\0" + b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def _jpeg(data: bytes) -> bytes:
    orientation = _orientation(data)
    kept = [b"\xff\xd8", _exif_with(orientation) if orientation != 1 else b""]
    kept += [segment for marker, segment in _jpeg_segments(data) if marker not in _jpeg_dropped()]
    return b"".join(kept)


def _jpeg_dropped() -> set[int]:
    return (set(range(0xE1, 0xF0)) | {0xFE}) - {JPEG_ADOBE}


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    return at_most(MOST_SEGMENTS["JPEG"], _jpeg_walk(data))


def _jpeg_walk(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 2
    while at + 2 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte: any number may stand before a marker
            yield marker, b""
            at += 1
            continue
        if marker == 0xD9 or at + 4 > len(data):  # end of image, or of what there is
            yield marker, data[at : at + 2]
            return
        end = at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
        if marker == 0xDA:  # the scan that follows has no length of its own
            end = _end_of_scan(data, end)
        yield marker, data[at:end]
        at = end


def _end_of_scan(data: bytes, at: int) -> int:
    """The next marker after the entropy-coded bytes, past stuffed zeros and restart markers."""
    found = JPEG_MARKER.search(data, at)
    return found.start() if found else len(data)


def _png(data: bytes) -> bytes:
    return PNG_SIGNATURE + b"".join(chunk for kind, chunk in _png_chunks(data) if kind in PNG_KEPT)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    return at_most(MOST_SEGMENTS["PNG"], _png_walk(data))


def _png_walk(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(PNG_SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        yield kind, data[at : at + 12 + length]
        if kind == b"IEND":
            return
        at += 12 + length


def _webp(data: bytes) -> bytes:
    kept = []
    for kind, chunk in _webp_chunks(data):
        if kind == b"VP8X" and len(chunk) > 8:
            chunk = chunk[:8] + bytes([chunk[8] & ~WEBP_METADATA_FLAGS]) + chunk[9:]
        if kind in WEBP_KEPT:
            kept.append(chunk)
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    return at_most(MOST_SEGMENTS["WEBP"], _webp_walk(data))


def _webp_walk(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    end = min(len(data), 8 + struct.unpack("<I", data[4:8])[0])
    at = 12
    while at + 8 <= end:
        kind, length = struct.unpack("<4sI", data[at : at + 8])
        yield kind, data[at : at + 8 + length + (length & 1)]
        at += 8 + length + (length & 1)
