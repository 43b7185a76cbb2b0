from celery import shared_task


@shared_task
def pulse() -> None:
    """Nothing, through the whole path of a task: a worker that still does this is not deaf (see pulse.py)."""
