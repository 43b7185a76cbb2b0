from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import APIException

from mhealth.people.models import User
from mhealth.research.management.commands.export_trial import progress
from mhealth.trials.models import Trial


class Command(BaseCommand):
    help = "Write the report of a trial into a folder: a page that prints, and its numbers as CSV. A blinded dry run \
on shuffled arms until the trial is unblinded."

    def add_arguments(self, parser) -> None:
        parser.add_argument("slug", metavar="SLUG", nargs="?", help="the trial")
        parser.add_argument("--out", metavar="DIR", type=Path, help="the folder, made if it is not there")
        parser.add_argument("--by", metavar="USER", help="mail address of the researcher who answers for it")
        parser.add_argument("--reason", metavar="TEXT", help="why; goes into the audit, so no names in it")

    def handle(self, *, slug: str, out: Path, by: str, reason: str, **_options: object) -> None:
        given = {"SLUG": slug, "--out": out, "--by": by, "--reason": (reason or "").strip()}
        if missing := [name for name, value in given.items() if not value]:
            raise CommandError(f"missing: {', '.join(missing)}", returncode=2)
        user = User.objects.filter(email__iexact=by, is_active=True).first()
        trial = Trial.objects.filter(slug=slug).first()
        if user is None or trial is None:
            raise CommandError(f"no trial {slug}" if user else f"no user {by}", returncode=2)
        written = self._written(trial, user, given["--reason"], out)
        kind = "blinded dry run, arms shuffled" if written.dry_run else "arms as allocated"
        self.stdout.write(f"{out / 'report.html'}: {written.n_people} people, {kind}")
        self.stdout.write(f"data up to {written.cut_off:%Y-%m-%d %H:%M:%S} UTC; manifest SHA-256 {written.sha256}")

    def _written(self, trial: Trial, user: User, reason: str, out: Path):
        try:
            from mhealth.research.report import document, services  # statsmodels and matplotlib: an extra
        except ModuleNotFoundError as absent:
            raise CommandError(f"{absent.name} is not installed: pip install .[research]", returncode=2) from absent
        try:
            with progress() as heard:
                return services.report_to(trial=trial, user=user, reason=reason, folder=out, on_progress=heard)
        except APIException as refused:
            raise CommandError(f"{user.email} cannot report {trial.slug}: {refused.detail}", returncode=2) from refused
        except document.NothingToReport as nothing:
            raise CommandError(f"{trial.slug}: nothing to report yet, {nothing}", returncode=2) from nothing
        except OSError as problem:
            raise CommandError(f"{out} cannot be written: {problem.strerror}", returncode=2) from problem
        except KeyboardInterrupt:
            raise CommandError(f"{out} was left as it was; run the command again", returncode=130) from None
