"""Exports: who may ask, building one under its lease, and the log of who took what away and why."""

import tempfile
from pathlib import Path

from django.utils import timezone

from mhealth.people.models import User
from mhealth.platform import audit, media
from mhealth.platform.access import roles_of
from mhealth.platform.leases import WorkStatus
from mhealth.platform.problems import Problem
from mhealth.research import package
from mhealth.research.models import Export
from mhealth.research.package import Package
from mhealth.trials.models import Trial


class NotAResearcherHere(Problem):
    status_code = 404
    default_code = "not-found"
    title = "Not found"
    default_detail = "There is no such trial in your studies."


class NotSealed(Problem):
    default_code = "trial-state"
    title = "Nothing to export yet"
    default_detail = "The trial is still a draft: nobody has entered it."


def ask(*, trial: Trial, user: User, reason: str, status: str = WorkStatus.QUEUED) -> Export:
    """Queue an export. Raises NotAResearcherHere or NotSealed."""
    _check(trial, user)
    export = Export.objects.create(trial=trial, asked_by=user, reason=reason, status=status)
    audit.record(actor=user, action="research.export_asked", subject=export.subject, trial=trial.slug, reason=reason)
    return export


def build(export: Export) -> None:
    """Write, seal and store the package; under the lease of the row."""
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        written = package.write(export.trial, Path(folder))
        content = package.zipped(Path(folder), written.cut_off)
    name = export.seal(content)
    try:
        export.finish(WorkStatus.DONE, file=name, size=len(content), **_facts(written))
    except Exception:
        media.store("research").delete(name)
        raise
    _log(export, written)


def export_to(*, trial: Trial, user: User, reason: str, folder: Path) -> Package:
    """Write the package into a folder of this machine, with the same permission and log as a download."""
    export = ask(trial=trial, user=user, reason=reason, status=WorkStatus.RUNNING)  # ours: no worker takes it
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = package.write(trial, folder)
    except Exception:
        Export.objects.filter(pk=export.pk).update(status=WorkStatus.QUARANTINED)
        raise
    Export.objects.filter(pk=export.pk).update(status=WorkStatus.DONE, finished_at=timezone.now(), **_facts(written))
    _log(export, written)
    return written


def download(export: Export, user: User) -> bytes:
    """Raises MediaGone."""
    audit.record(actor=user, action="research.export_taken", subject=export.subject, sha256=export.sha256)
    return export.content()


def discard(export: Export, user: User) -> None:
    """Delete an export and its file; the audit keeps that it was."""
    export.delete_file()
    audit.record(actor=user, action="research.export_deleted", subject=export.subject)
    export.delete()


def _check(trial: Trial, user: User) -> None:
    if "researcher" not in roles_of(user) or not Trial.objects.visible_to(user).filter(pk=trial.pk).exists():
        raise NotAResearcherHere()
    if trial.status == Trial.Status.DRAFT:
        raise NotSealed()


def _facts(written: Package) -> dict:
    return {"cut_off": written.cut_off, "n_rows": written.n_rows, "sha256": written.sha256}


def _log(export: Export, written: Package) -> None:
    audit.record(
        actor=export.asked_by or "system",
        action="research.exported",
        subject=export.subject,
        trial=export.trial.slug,
        reason=export.reason,
        rows=written.n_rows,
        sha256=written.sha256,
    )
