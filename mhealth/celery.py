"""The queue. The database row is the truth; what travels here is only a hint (see platform.hints)."""

import os

from celery import Celery
from celery.signals import setup_logging, task_postrun, worker_process_init

from mhealth.platform import pulse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mhealth.settings")

app = Celery("mhealth", task_cls="mhealth.platform.row_security:WorkerTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def use_django_logging(**_kwargs: object) -> None:
    """Keep Celery from replacing the structured log handlers of the settings."""


@worker_process_init.connect
def warm_up(**_kwargs: object) -> None:
    """Load models in the child: a forked parent that has run torch on several threads would leave it hanging."""
    from mhealth.platform import embedded

    embedded.warm_up()


task_postrun.connect(pulse.mark)
