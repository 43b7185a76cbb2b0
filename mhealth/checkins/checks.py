"""What `doctor` says of this room."""

from django.conf import settings

from mhealth.platform.health import Missing

REMEDY = "install ffmpeg, or `pip install --no-binary av .[video]`"


def check_videos() -> str:
    """Where videos are switched on, what reads them. Raises Missing."""
    if not settings.VIDEO_CHECK_INS:
        return "off: photos and recordings alone (VIDEO_CHECK_INS)"
    from emotion.video import decoder

    if found := decoder():
        return f"read with {found}"
    if settings.CELERY_BROKER_URL:
        raise Missing(f"nothing here reads them, which is well only where no worker of queue media runs: {REMEDY}")
    raise Missing(f"nothing here reads them, so they are refused: {REMEDY}")
