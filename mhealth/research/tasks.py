from celery import shared_task

from mhealth.platform.hints import sweep
from mhealth.research.models import Export


@shared_task
def build_export(*, export_id: str) -> None:
    from mhealth.research import services  # loads pyarrow: in workers only

    with Export.objects.leased(export_id) as export:
        if export:
            services.build(export)


@shared_task
def sweep_exports() -> None:
    """Repair lost hints, delete files that were offered long enough, and clear up after processes that died."""
    from mhealth.research import services

    services.tidy()
    sweep(Export.objects, build_export, "export_id")
    for export in Export.objects.outdated():
        export.delete_file()
