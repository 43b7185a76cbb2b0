"""A report is asked for like an export: the same people may, and the same is logged."""

import shutil
from collections.abc import Callable
from pathlib import Path

from mhealth.people.models import User
from mhealth.platform import audit
from mhealth.research import services as exports
from mhealth.research.package import EVERYTHING
from mhealth.research.report import document
from mhealth.research.report.document import Report
from mhealth.trials.models import Trial
from mhealth.trials.services.setup import subject_of


def report_to(
    *, trial: Trial, user: User, reason: str, folder: Path, on_progress: Callable[[float], None] = lambda share: None
) -> Report:
    """Write the report into a folder of this machine; it is made beside the folder and moved in when it is whole.

    Raises NotAResearcherHere, NotSealed or document.NothingToReport.
    """
    exports.check(trial, user, EVERYTHING)
    subject = subject_of(trial)
    audit.record(actor=user, action="research.report_asked", subject=subject, trial=trial.slug, reason=reason)
    half = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        written = document.write(trial, half, on_progress)
        exports.move(half, folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    facts = {"people": written.n_people, "dry_run": written.dry_run, "sha256": written.sha256}
    audit.record(actor=user, action="research.reported", subject=subject, trial=trial.slug, reason=reason, **facts)
    return written
