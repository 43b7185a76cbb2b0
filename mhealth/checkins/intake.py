"""The media gate: what may come in. Headers only; full decoding happens in the worker's child."""

import hashlib
from dataclasses import dataclass

from mhealth.checkins import photos, sounds
from mhealth.platform.problems import Problem
from mhealth.platform.uploads import TooLarge

PHOTO_MAX_BYTES = 10 * 1024 * 1024
PHOTO_MAX_PIXELS = 25_000_000
VOICE_MAX_BYTES = 20 * 1024 * 1024
VOICE_MAX_S = 60


class UnknownType(Problem):
    status_code = 415
    default_code = "unsupported-media-type"
    title = "Unsupported media type"


@dataclass(frozen=True)
class IncomingPart:
    """One part as it will be stored: without metadata, and the digest of what the phone sent."""

    kind: str
    media_type: str
    content: bytes
    digest: str


def photo(data: bytes) -> IncomingPart:
    """Raises TooLarge, UnknownType."""
    _limit(len(data), PHOTO_MAX_BYTES, "A photo may have 10 MB at most.")
    try:
        media_type, pixels = photos.header(data)
    except photos.NotAPhoto as problem:
        raise UnknownType("A face must be a JPEG, PNG or WebP photo.") from problem
    _limit(pixels, PHOTO_MAX_PIXELS, "A photo may have 25 megapixels at most.")
    return IncomingPart("face", media_type, photos.without_metadata(data, media_type), _digest(data))


def voice(data: bytes) -> IncomingPart:
    """Raises TooLarge, UnknownType."""
    _limit(len(data), VOICE_MAX_BYTES, "A recording may have 20 MB at most.")
    try:
        media_type, duration_s = sounds.header(data)
    except sounds.NotARecording as problem:
        raise UnknownType("A voice must be a WAV, FLAC or Ogg-Opus recording.") from problem
    _limit(duration_s, VOICE_MAX_S, "A recording may last 60 seconds at most.")
    return IncomingPart("voice", media_type, sounds.without_metadata(data, media_type), _digest(data))


def words(kind: str, text: str) -> IncomingPart:
    data = text.encode()
    return IncomingPart(kind, "text/plain", data, _digest(data))


def _limit(value: float, most: float, sentence: str) -> None:
    if value > most:
        raise TooLarge(sentence)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
