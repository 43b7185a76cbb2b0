from celery import shared_task

from mhealth.people import following, rights
from mhealth.people.models import DataExport, Device, ErasureRequest
from mhealth.platform.hints import hint, sweep


@shared_task
def export_person(*, export_id: str) -> None:
    with DataExport.objects.leased(export_id) as export:
        if export:
            rights.write_export(export)


@shared_task
def sweep_exports() -> None:
    """Repair lost hints, and delete files that were offered long enough."""
    sweep(DataExport.objects, export_person, "export_id")
    rights.discard_exports(DataExport.objects.outdated())


@shared_task
def erase_person(*, request_id: str) -> None:
    for request in ErasureRequest.objects.due().filter(pk=request_id):
        rights.erase(request.participant)


@shared_task
def erase_due() -> None:
    """One task each, so that a fault with one person does not keep the others waiting."""
    for pk in ErasureRequest.objects.due().values_list("pk", flat=True):
        hint(erase_person, request_id=str(pk))


@shared_task
def follow_withdrawals() -> None:
    """Repeat what a room failed to do after a withdrawal, until it has."""
    following.follow_open()


@shared_task
def forget_ended_sessions() -> None:
    """A month after its end a session is unknown rather than expired."""
    Device.objects.ended().delete()
