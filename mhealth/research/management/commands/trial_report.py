from pathlib import Path

from django.core.management.base import CommandError

from mhealth.people.models import User
from mhealth.research.management.taking import TakingCommand, progress
from mhealth.trials.models import Trial


class Command(TakingCommand):
    help = "Write the report of a trial into a folder: a page that prints, and its numbers as CSV. A blinded dry run \
on shuffled arms until the trial is unblinded."
    verb = "report"

    def take(self, *, trial: Trial, user: User, reason: str, folder: Path, **_options: object) -> None:
        try:
            from mhealth.research.report import document, services  # statsmodels and matplotlib: an extra
        except ModuleNotFoundError as absent:
            raise CommandError(f"{absent.name} is not installed: pip install .[research]", returncode=2) from absent
        try:
            with progress() as heard:
                written = services.report_to(trial=trial, user=user, reason=reason, folder=folder, on_progress=heard)
        except document.NothingToReport as nothing:
            raise CommandError(f"{trial.slug}: nothing to report yet, {nothing}", returncode=2) from nothing
        kind = "blinded dry run, arms shuffled" if written.dry_run else "arms as allocated"
        self.stdout.write(f"{folder / 'report.html'}: {written.n_people} people, {kind}")
        self.stdout.write(f"data up to {written.cut_off:%Y-%m-%d %H:%M:%S} UTC; manifest SHA-256 {written.sha256}")
