from celery import shared_task

from mhealth.outcomes import reminders


@shared_task
def due_reminders() -> None:
    """Remind people of questionnaires that are nearly due, or due."""
    reminders.send_due_reminders()
