"""Exports: who may ask, building one under its lease, and the log of who took what away and why."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from mhealth.people.models import User
from mhealth.platform import audit
from mhealth.platform.access import roles_of
from mhealth.platform.leases import WorkStatus
from mhealth.platform.problems import Problem
from mhealth.research import package, vault
from mhealth.research.models import Export
from mhealth.research.package import EVERYTHING, Order, Package
from mhealth.research.report import NothingToReport
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


class NoIdentities(Problem):
    status_code = 403
    default_code = "identities-not-allowed"
    title = "Identifiable columns are not for you"
    default_detail = "Identifiable columns need a permission of their own, which an operator gives."


class UnknownSite(Problem):
    status_code = 422
    default_code = "unknown-site"
    title = "Unknown site"
    default_detail = "The study has no such site."


class ReportStandsAlone(Problem):
    status_code = 422
    default_code = "report-stands-alone"
    title = "A report is asked for alone"
    default_detail = "The report is of the whole trial: it goes with no other format, no sites and no identities."


class AlreadyDecided(Problem):
    default_code = "already-decided"
    title = "Already decided"
    default_detail = "Somebody has agreed to this export or refused it already."


def ask(*, trial: Trial, user: User, reason: str, order: Order = EVERYTHING, status: str = WorkStatus.QUEUED) -> Export:
    """Queue an export; one with identifiable columns waits until a second person agrees.

    Raises NotAResearcherHere, NotSealed, NoIdentities, UnknownSite or ReportStandsAlone.
    """
    check(trial, user, order)
    export = Export.objects.create(
        trial=trial,
        asked_by=user,
        reason=reason,
        formats=list(order.formats),
        sites=list(order.sites),
        identifiable=order.identifiable,
        status=WorkStatus.RECEIVING if order.identifiable else status,
    )
    audit.record(actor=user, action="research.export_asked", subject=export.subject, trial=trial.slug, **_asked(export))
    return export


@transaction.atomic
def decide(*, export: Export, by: User, approve: bool) -> Export:
    """A second person agrees to an export with identifiable columns, or refuses it. Raises AlreadyDecided."""
    outcome = WorkStatus.QUEUED if approve else WorkStatus.UNUSABLE
    decided = {"approved": approve, "decided_by": by, "decided_at": timezone.now(), "status": outcome}
    if not Export.objects.filter(pk=export.pk, identifiable=True, approved=None).update(**decided):
        raise AlreadyDecided()
    action = "research.export_approved" if approve else "research.export_refused"
    audit.record(actor=by, action=action, subject=export.subject, trial=export.trial.slug)
    export.refresh_from_db()
    return export


def build(export: Export) -> None:
    """Write, seal and store the package; under the lease of the row.

    A process that dies leaves nothing that counts: the row names its file last, and the next one starts anew.
    """
    with _workshop(export) as folder:
        (folder / "files").mkdir()
        try:
            written = _write(export, folder / "files")
        except NothingToReport as nothing:
            return _end_without_file(export, f"nothing to report yet: {nothing}")
        archive = folder / "package.zip"
        package.zipped(folder / "files", archive, written.cut_off)
        name, size = export.seal(archive), archive.stat().st_size
    try:
        export.finish(WorkStatus.DONE, file=name, size=size, progress=100, **_facts(written))
    except BaseException:
        vault.store().delete(name)
        raise
    _log(export, written)


def _end_without_file(export: Export, why: str) -> None:
    export.finish(WorkStatus.UNUSABLE)
    Export.objects.filter(pk=export.pk).update(fault=why)


def _write(export: Export, folder: Path) -> Package:
    hear, order = _slowly(export.note_progress), _order(export)
    if not order.is_report:
        return package.write(export.trial, folder, order, hear)
    from mhealth.research.report import document  # statsmodels and matplotlib: the extra `research`

    report = document.write(export.trial, folder, hear)
    return Package(report.cut_off, report.n_people, n_small=0, sha256=report.sha256)  # a row is a person


@contextlib.contextmanager
def _workshop(export: Export) -> Iterator[Path]:
    """An empty folder of this export's own; what a process that died left in it is cleared away."""
    folder = _workshop_of(export.pk)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _workshop_of(pk: object) -> Path:
    return Path(tempfile.gettempdir()) / f"mhealth-export-{pk}"


def tidy() -> None:
    """Clear away what processes left that died over an export, on this machine.

    Another installation may share its temporary folder: what is not in our table goes only once it is old.
    """
    for folder in Path(tempfile.gettempdir()).glob("mhealth-export-*"):
        export = Export.objects.filter(pk=folder.name.removeprefix("mhealth-export-")).first()
        if _is_old(folder) if export is None else export.status != WorkStatus.RUNNING:
            shutil.rmtree(folder, ignore_errors=True)
    vault.store().delete_unfinished(before=time.time() - Export.KEPT.total_seconds())
    Export.objects.abandoned().update(status=WorkStatus.QUARANTINED, fault="its process ended")


def _is_old(folder: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):  # its own process has just cleared it away
        return folder.stat().st_mtime < time.time() - Export.KEPT.total_seconds()
    return False


def _slowly(tell, every_s: float = 1.0):
    """`tell` at most once a second: progress is not worth a write per batch."""
    last = time.monotonic()

    def told(share: float) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            tell(share)

    return told


def export_to(
    *, trial: Trial, user: User, reason: str, folder: Path, order: Order = EVERYTHING, on_progress=lambda share: None
) -> Package:
    """Write the package into a folder of this machine, with the same permission and log as a download.

    It is made beside the folder and moved in when it is whole, the manifest last.
    """
    export = ask(trial=trial, user=user, reason=reason, order=order, status=WorkStatus.RUNNING)  # no worker takes it
    half = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        written = package.write(trial, half, order, on_progress)
        move(half, folder)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        Export.objects.filter(pk=export.pk).update(status=WorkStatus.QUARANTINED)
        raise
    done = {"status": WorkStatus.DONE, "finished_at": timezone.now(), "progress": 100}
    Export.objects.filter(pk=export.pk).update(**done, **_facts(written))
    _log(export, written)
    return written


def move(half: Path, folder: Path) -> None:
    """Files into their folder, the manifest last: until it is there, this is no package."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").unlink(missing_ok=True)
    for path in sorted(half.iterdir(), key=lambda path: path.name == "manifest.json"):
        path.replace(folder / path.name)
    half.rmdir()


def download(export: Export, user: User) -> Iterator[bytes]:
    """The package, piece by piece. Raises MediaGone."""
    pieces = export.pieces()
    audit.record(actor=user, action="research.export_taken", subject=export.subject, sha256=export.sha256)
    return pieces


def discard(export: Export, user: User) -> None:
    """Delete an export and its file; the audit keeps that it was."""
    export.delete_file()
    audit.record(actor=user, action="research.export_deleted", subject=export.subject)
    export.delete()


def check(trial: Trial, user: User, order: Order) -> None:
    """May this user take this out? Raises NotAResearcherHere, NotSealed, NoIdentities or UnknownSite."""
    if "researcher" not in roles_of(user) or not Trial.objects.visible_to(user).filter(pk=trial.pk).exists():
        raise NotAResearcherHere()
    if trial.status == Trial.Status.DRAFT:
        raise NotSealed()
    if order.identifiable and not user.has_perm("research.export_identifiable"):
        raise NoIdentities()
    if set(order.sites) - set(trial.study.sites):
        raise UnknownSite()
    if order.is_report and order != Order((package.REPORT,)):
        raise ReportStandsAlone()


def _order(export: Export) -> Order:
    identifiable = export.identifiable and bool(export.approved)
    return Order.of(export.formats, export.sites, identifiable)


def _asked(export: Export) -> dict:
    filters = {"formats": export.formats, "sites": export.sites}
    return {"reason": export.reason, "filters": filters, "identifiable": export.identifiable}


def _facts(written: Package) -> dict:
    small = {"people_in_small_cells": written.n_small}
    return {"cut_off": written.cut_off, "n_rows": written.n_rows, "sha256": written.sha256} | small


def _log(export: Export, written: Package) -> None:
    audit.record(
        actor=export.asked_by or "system",
        action="research.exported",
        subject=export.subject,
        trial=export.trial.slug,
        **_asked(export),
        rows=written.n_rows,
        sha256=written.sha256,
    )
