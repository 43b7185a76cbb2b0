from celery import shared_task

from mhealth.safety import escalation


@shared_task
def send_alerts() -> None:
    """Tell humans about risk events that wait for them; hinted when one opens, and on the schedule."""
    escalation.send_due_alerts()


@shared_task
def warn_operators() -> None:
    """Mail the operators once a day what must be put right: rota gaps, crisis resources to review."""
    escalation.mail_operator_warnings()
