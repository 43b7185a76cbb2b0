import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import APIException
from rich.console import Console
from rich.progress import Progress

from mhealth.people.models import User
from mhealth.research import services
from mhealth.research.package import FORMATS, Order
from mhealth.trials.models import Trial


class Command(BaseCommand):
    help = "Write the de-identified data of a trial into a folder. The same permission and log as a download."

    def add_arguments(self, parser) -> None:
        parser.add_argument("slug", metavar="SLUG", nargs="?", help="the trial")
        parser.add_argument("--out", metavar="DIR", type=Path, help="the folder, made if it is not there")
        parser.add_argument(
            "--formats", nargs="+", choices=FORMATS, default=FORMATS, metavar="FORMAT", help=f"of {', '.join(FORMATS)}"
        )
        parser.add_argument("--sites", nargs="+", default=(), metavar="SITE", help="only people of these sites")
        parser.add_argument("--by", metavar="USER", help="mail address of the researcher who answers for it")
        parser.add_argument("--reason", metavar="TEXT", help="why; goes into the audit, so no names in it")

    def handle(self, *, slug: str, out: Path, by: str, reason: str, formats, sites, **_options: object) -> None:
        given = {"SLUG": slug, "--out": out, "--by": by, "--reason": (reason or "").strip()}
        if missing := [name for name, value in given.items() if not value]:
            raise CommandError(f"missing: {', '.join(missing)}", returncode=2)
        user = User.objects.filter(email__iexact=by, is_active=True).first()
        trial = Trial.objects.filter(slug=slug).first()
        if user is None or trial is None:
            raise CommandError(f"no trial {slug}" if user else f"no user {by}", returncode=2)
        order = Order(tuple(name for name in FORMATS if name in formats), tuple(sorted(set(sites))))
        try:
            with progress() as heard:
                written = services.export_to(
                    trial=trial, user=user, reason=given["--reason"], folder=out, order=order, on_progress=heard
                )
        except APIException as refused:
            raise CommandError(f"{by} cannot export {slug}: {refused.detail}", returncode=2) from refused
        except OSError as problem:
            raise CommandError(f"{out} cannot be written: {problem.strerror}", returncode=2) from problem
        except KeyboardInterrupt:
            raise CommandError(f"{out} was left as it was; run the command again", returncode=130) from None
        self.stdout.write(f"{out}: {written.n_rows} rows up to {written.cut_off:%Y-%m-%d %H:%M:%S} UTC")
        if written.n_small:
            self.stdout.write(f"warning: {written.n_small} people are in small cells, see README.txt")
        self.stdout.write(f"manifest SHA-256 {written.sha256}")


@contextlib.contextmanager
def progress() -> Iterator[Callable[[float], None]]:
    """A bar on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("export", total=1.0)
        yield lambda share: bar.update(task, completed=share)
