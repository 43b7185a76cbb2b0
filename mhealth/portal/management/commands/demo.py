import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from mhealth.portal.demo import server
from mhealth.portal.demo.phone import Refused
from mhealth.portal.demo.story import Cast, Story
from mhealth.portal.demo.study import FIXTURES, PASSWORD

MEDIA = FIXTURES / "media"


class Command(BaseCommand):
    help = "Play a study through the real HTTP API on this machine, then leave the server up."
    requires_system_checks = []

    def add_arguments(self, parser) -> None:
        parser.add_argument("--face", type=Path, default=MEDIA / "astronaut.jpg", help="a photo of a face")
        parser.add_argument("--voice", type=Path, default=MEDIA / "librivox.wav", help="a recording of a voice")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--once", action="store_true", help="end after the story")

    def handle(self, *args, face: Path, voice: Path, port: int, once: bool, **options) -> None:
        for path in (face, voice):
            if not path.is_file():
                raise CommandError(f"{path} is not a file", returncode=2)
        console = Console() if sys.stdout.isatty() else Console(width=120)
        folder = settings.VAR_DIR / "demo"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            loaded = self._prepare(console, folder)
            with server.running(folder, server.free_port(port)) as base:
                Story(base, _cast(loaded), face, voice, console).tell()
                _where_to_look_next(console, base)
                if not once:
                    _wait_for_interrupt(console)
        except (Refused, TimeoutError, server.NotStarted) as problem:
            raise CommandError(f"the demo stopped: {problem}") from problem
        except subprocess.CalledProcessError as failed:
            raise CommandError(f"the demo could not be prepared: {failed}") from failed

    def _prepare(self, console: Console, folder: Path) -> dict:
        console.print("Preparing the demo study (SQLite, no broker) …")
        server.manage(folder, "migrate", "--no-input", "--verbosity", "0")
        return json.loads(server.manage(folder, "load_demo"))


def _cast(loaded: dict) -> Cast:
    return Cast(
        enrolment_code=loaded["enrolment_code"],
        trial=loaded["trial"],
        manager=("tom@example.org", PASSWORD),
        researcher=("rae@example.org", PASSWORD),
    )


def _where_to_look_next(console: Console, base: str) -> None:
    console.print("\n[bold]Where to look next[/bold]")
    console.print(f"    API with every resource      {base}/api/docs/", highlight=False)
    console.print(f"    Admin                        {base}/admin/", highlight=False)
    console.print(f"    Password of everybody        {PASSWORD}", highlight=False)
    for email, who in (
        ("carol@example.org", "clinician: check-ins, decisions and risk inbox of her people"),
        ("nora@example.org", "reviewer: activities and their validation"),
        ("tom@example.org", "trial manager: the trial, without anybody's arm"),
        ("ola@example.org", "operator: study, accounts, audit"),
    ):
        console.print(f"      {email:<27}{who}", highlight=False)
    console.print(f"    Note: {server.LOGIN_HINT}.", highlight=False)


def _wait_for_interrupt(console: Console) -> None:
    console.print("\nThe server stays up. Ctrl-C ends it.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
