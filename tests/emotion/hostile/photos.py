"""Photos that lie about their size, hide bombs or carry junk."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, PngImagePlugin

from tests.emotion.hostile.good import PNG, Made, encoded, good_photos, landscape


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


PHOTOS: list[Callable[[np.random.Generator], Made]] = [
    pixel_flood, decompression_bomb, many_scans, exif_junk, icc_junk, text_bomb, crowd_of_chunks, odd_colours, animated,
    extreme_shape, lying_chunks,
]  # fmt: skip
