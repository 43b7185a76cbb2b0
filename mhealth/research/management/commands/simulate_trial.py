import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

SMALLEST = 20  # people; fewer leave strata of one


class Command(BaseCommand):
    help = "Play trials whose truth is known: some through the real services, many straight into the analysis. In a \
process and a database of its own, never in this site's. The same command goes on where it was interrupted."

    def add_arguments(self, parser) -> None:
        parser.add_argument("--people", type=int, default=118, metavar="N", help="randomised in each trial (118)")
        parser.add_argument("--effect", type=float, default=0.5, metavar="D", help="Cohen's d of the outcome (0.5)")
        parser.add_argument("--attrition", type=float, default=0.2, metavar="P", help="share of each arm (0.2)")
        parser.add_argument("--seeds", type=int, default=20, metavar="K", help="trials through the services (20)")
        parser.add_argument(
            "--data-sets", type=int, default=2000, metavar="M", help="straight into the analysis (2000)"
        )
        parser.add_argument("--lists", type=int, default=10_000, metavar="L", help="allocation lists (10000)")
        parser.add_argument("--out", type=Path, metavar="DIR", help="results and working files (var/simulation)")

    def handle(self, *, people, effect, attrition, seeds, data_sets, lists, out, **_options: object) -> None:
        if people < SMALLEST:
            raise CommandError(f"--people must be {SMALLEST} or more", returncode=2)
        if not 0 <= attrition <= 0.9 or not -3 <= effect <= 3:
            raise CommandError("--attrition lies from 0 to 0.9, --effect from -3 to 3", returncode=2)
        if min(seeds, data_sets, lists) < 0:
            raise CommandError("--seeds, --data-sets and --lists count from 0", returncode=2)
        folder = (out or settings.VAR_DIR / "simulation").resolve()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise CommandError(f"{folder} cannot be written: {problem.strerror}", returncode=2) from problem
        numbers = {"people": people, "effect": effect, "attrition": attrition}
        numbers |= {"seeds": seeds, "data-sets": data_sets, "lists": lists}
        options = [f"--{name}={value}" for name, value in numbers.items()]
        command = [sys.executable, "-m", "mhealth.research.simulation", str(folder), *options]
        try:
            code = subprocess.run(command, env=os.environ | environment(folder), cwd=settings.BASE_DIR).returncode
        except KeyboardInterrupt:
            code = 130  # the other process has said so
        if code:
            raise CommandError("the simulation ended early", returncode=code)


def environment(folder: Path) -> dict[str, str]:
    """Everything that a site keeps, in this folder and under keys that are forgotten afterwards."""
    return {
        "DJANGO_SETTINGS_MODULE": "mhealth.settings",
        "ENV_FILE": os.devnull,
        "DATABASE_URL": f"sqlite:///{folder / 'simulation.sqlite3'}",
        "MEDIA_STORE_URL": f"file://{folder / 'media'}",
        "VAR_DIR": str(folder),
        "MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "MASTER_KEYS_OLD": "",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "CELERY_BROKER_URL": "",
        "CACHE_URL": "",
        "EMAIL_URL": "dummymail://",
        "HTTPS": "0",
        "LOG_LEVEL": "WARNING",
        "OMP_NUM_THREADS": "1",
    }
