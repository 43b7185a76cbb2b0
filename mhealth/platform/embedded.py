"""Work without a broker: one daemon thread of the web process takes hints and runs the schedule.

The same tasks, leases and sweeps as with workers; only the messenger differs.
"""

import logging
import queue
import threading
from datetime import timedelta

from celery import current_app
from django.conf import settings
from django.db import OperationalError, close_old_connections
from django.utils import timezone
from django.utils.module_loading import import_string

log = logging.getLogger(__name__)
_hints: queue.Queue[tuple[str, dict]] = queue.Queue(maxsize=10_000)
_thread: threading.Thread | None = None
TICK_S = 1.0


def offer(task_name: str, ids: dict) -> bool:
    try:
        _hints.put_nowait((task_name, ids))
    except queue.Full:
        return False
    return True


def start_if_no_broker() -> None:
    """Start the thread in this process, once, unless a broker is configured."""
    global _thread
    if settings.CELERY_BROKER_URL or (_thread and _thread.is_alive()):
        return
    _thread = threading.Thread(target=_run_forever, name="embedded-worker", daemon=True)
    _thread.start()


def warm_up() -> None:
    """Load what the tasks need: here in the thread, and in every worker child (mhealth.celery)."""
    for dotted in settings.WORKER_WARM_UP:
        import_string(dotted)()


def _run_forever() -> None:
    current_app.loader.import_default_modules()  # a worker does this at start; without it tasks are not registered
    try:
        warm_up()
    except ImportError as missing:
        log.error("check-ins cannot be read here: %s is not installed (`make install`)", missing.name)
    while True:
        try:
            task_name, ids = _hints.get(timeout=TICK_S)
        except queue.Empty:
            task_name = None
        close_old_connections()
        if task_name:
            run(task_name, ids)
        run_schedule()


def run_pending() -> int:
    """Run what has been hinted so far, in this thread; return how many tasks ran (tests and commands)."""
    ran = 0
    while not _hints.empty():
        run(*_hints.get_nowait())
        ran += 1
    return ran


def run(task_name: str, ids: dict) -> None:
    try:
        current_app.tasks[task_name](**ids)
    except Exception as fault:
        # The row went back to the queue, or the schedule comes again; the fault's text may hold private words.
        log.error("task failed: %s (%s)", task_name, type(fault).__name__)


def run_schedule() -> None:
    from mhealth.platform.models import ScheduleMark

    now = timezone.now()
    try:
        ran_at = dict(ScheduleMark.objects.values_list("name", "ran_at"))
        for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
            if name not in ran_at or ran_at[name] + timedelta(seconds=entry["schedule"]) <= now:
                ScheduleMark.objects.update_or_create(name=name, defaults={"ran_at": now})
                run(entry["task"], {})
    except OperationalError:
        log.warning("schedule skipped: the database is away")
