"""Small photos and recordings made here, and uploads as the phone sends them."""

import io
import uuid

import numpy as np
import soundfile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from PIL import Image

PLACE = "51.5007N"  # planted in metadata; must not be stored


def photo(fmt: str = "JPEG", size: tuple[int, int] = (64, 48), orientation: int = 1) -> bytes:
    pixels = np.random.default_rng(7).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = PLACE  # ImageDescription
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, fmt, exif=exif.tobytes())
    return out.getvalue()


def recording(seconds: float = 1.0, fmt: str = "WAV", subtype: str | None = None, rate_hz: int = 16_000) -> bytes:
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", rate_hz, 1, format=fmt, subtype=subtype) as file:
        file.title = PLACE
        file.write(0.3 * np.sin(2 * np.pi * 220 * t))
    return out.getvalue()


def upload(**parts) -> dict:
    """A multipart body; bytes become files."""
    body = {"id": str(uuid.uuid4()), "recorded_at": timezone.now().isoformat(), "zone": "Europe/London"}
    for name, value in parts.items():
        body[name] = SimpleUploadedFile(f"{name}.bin", value) if isinstance(value, bytes) else value
    return body
