"""The media gate: what may come in. Headers only; full decoding happens in the worker's child."""

import hashlib
from dataclasses import dataclass

from django.conf import settings

from mhealth.checkins import photos, sounds, videos
from mhealth.platform.problems import Problem
from mhealth.platform.uploads import TooLarge

PHOTO_MAX_BYTES = 10 * 1024 * 1024
PHOTO_MAX_PIXELS = 25_000_000
VOICE_MAX_BYTES = 20 * 1024 * 1024
VOICE_MAX_S = 60
VIDEO_MAX_BYTES = 30 * 1024 * 1024  # a minute at 480 lines takes half of it
VIDEO_MAX_S = 60


class UnknownType(Problem):
    status_code = 415
    default_code = "unsupported-media-type"
    title = "Unsupported media type"


class NoVideo(Problem):
    status_code = 415
    default_code = "no-video"
    title = "No video"
    default_detail = "This server reads no videos. Send a photo and a recording instead."


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


def video(data: bytes) -> IncomingPart:
    """Raises NoVideo, TooLarge, UnknownType."""
    if not takes_video():
        raise NoVideo
    _limit(len(data), VIDEO_MAX_BYTES, "A video may have 30 MB at most.")
    try:
        media_type, duration_s = videos.header(data)
        content = videos.without_metadata(data, media_type)
    except videos.NotAVideo as problem:
        raise UnknownType("A video must be an MP4, QuickTime or WebM clip.") from problem
    _limit(duration_s, VIDEO_MAX_S, "A video may last 60 seconds at most.")
    return IncomingPart("video", media_type, content, _digest(data))


def takes_video() -> bool:
    """Whether videos are switched on; where this process reads check-ins itself, it must be able to as well."""
    if not settings.VIDEO_CHECK_INS or settings.CELERY_BROKER_URL:
        return bool(settings.VIDEO_CHECK_INS)
    from emotion.video import decoder

    return decoder() is not None


def words(kind: str, text: str) -> IncomingPart:
    data = text.encode()
    return IncomingPart(kind, "text/plain", data, _digest(data))


def _limit(value: float, most: float, sentence: str) -> None:
    if value > most:
        raise TooLarge(sentence)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
