"""Tell a worker that a row waits. A hint may get lost: the sweep finds the row again."""

import structlog
from celery import Task
from django.conf import settings
from kombu.exceptions import OperationalError

from mhealth.platform import embedded

log = structlog.get_logger(__name__)


def hint(task: Task, **ids: str) -> bool:
    """Publish without retry, within a second; a broker that is away is logged, never raised."""
    if not settings.CELERY_BROKER_URL:
        return embedded.offer(task.name, ids)
    try:
        task.apply_async(kwargs=ids, retry=False, ignore_result=True)
    except (OperationalError, OSError) as away:
        log.warning("broker away", task=task.name, fault=type(away).__name__)
        return False
    return True


def sweep(rows, task: Task, argument: str, most: int = 500) -> int:
    """Hint the rows that wait without a recent hint; return how many were hinted.

    Stops at the first refusal: when the broker is away, five hundred time-outs help nobody.
    """
    rows.set_killers_aside()
    hinted = 0
    for pk in rows.to_hint().values_list("pk", flat=True)[:most]:
        if not hint(task, **{argument: str(pk)}):
            break
        rows.model.objects.mark_hinted(pk)
        hinted += 1
    return hinted
