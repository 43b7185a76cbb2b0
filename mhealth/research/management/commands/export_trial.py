from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import APIException

from mhealth.people.models import User
from mhealth.research import services
from mhealth.trials.models import Trial


class Command(BaseCommand):
    help = "Write the de-identified data of a trial into a folder. The same permission and log as a download."

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
        try:
            written = services.export_to(trial=trial, user=user, reason=given["--reason"], folder=out)
        except APIException as refused:
            raise CommandError(f"{by} cannot export {slug}: {refused.detail}", returncode=2) from refused
        except OSError as problem:
            raise CommandError(f"{out} cannot be written: {problem.strerror}", returncode=2) from problem
        self.stdout.write(f"{out}: {written.n_rows} rows up to {written.cut_off:%Y-%m-%d %H:%M:%S} UTC")
        self.stdout.write(f"manifest SHA-256 {written.sha256}")
