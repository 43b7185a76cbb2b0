"""What the commands share that take data of a trial away: who answers for it, why, and refusals in one line."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import APIException
from rich.console import Console
from rich.progress import Progress

from mhealth.people.models import User
from mhealth.trials.models import Trial


class TakingCommand(BaseCommand):
    """`take` does it. Whoever may not, and what cannot be, ends with exit code 2."""

    verb = ""

    def add_arguments(self, parser) -> None:
        parser.add_argument("slug", metavar="SLUG", nargs="?", help="the trial")
        parser.add_argument("--out", metavar="DIR", type=Path, help="the folder, made if it is not there")
        parser.add_argument("--by", metavar="USER", help="mail address of the researcher who answers for it")
        parser.add_argument("--reason", metavar="TEXT", help="why; goes into the audit, so no names in it")

    def take(self, *, trial: Trial, user: User, reason: str, folder: Path, **options: object) -> None:
        raise NotImplementedError

    def handle(self, *, slug: str, out: Path, by: str, reason: str, **options: object) -> None:
        given = {"SLUG": slug, "--out": out, "--by": by, "--reason": (reason or "").strip()}
        if missing := [name for name, value in given.items() if not value]:
            raise CommandError(f"missing: {', '.join(missing)}", returncode=2)
        user = User.objects.filter(email__iexact=by, is_active=True).first()
        trial = Trial.objects.filter(slug=slug).first()
        if user is None or trial is None:
            raise CommandError(f"no trial {slug}" if user else f"no user {by}", returncode=2)
        try:
            self.take(trial=trial, user=user, reason=given["--reason"], folder=out, **options)
        except APIException as refused:
            raise CommandError(f"{by} cannot {self.verb} {slug}: {refused.detail}", returncode=2) from refused
        except OSError as problem:
            raise CommandError(f"{out} cannot be written: {problem.strerror}", returncode=2) from problem
        except KeyboardInterrupt:
            raise CommandError(f"{out} was left as it was; run the command again", returncode=130) from None


@contextlib.contextmanager
def progress() -> Iterator[Callable[[float], None]]:
    """A bar on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("export", total=1.0)
        yield lambda share: bar.update(task, completed=share)
