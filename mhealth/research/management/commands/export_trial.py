from pathlib import Path

from mhealth.people.models import User
from mhealth.research import services
from mhealth.research.management.taking import TakingCommand, progress
from mhealth.research.package import FORMATS, Order
from mhealth.trials.models import Trial


class Command(TakingCommand):
    help = "Write the de-identified data of a trial into a folder. The same permission and log as a download."
    verb = "export"

    def add_arguments(self, parser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--formats", nargs="+", choices=FORMATS, default=FORMATS, metavar="FORMAT", help=f"of {', '.join(FORMATS)}"
        )
        parser.add_argument("--sites", nargs="+", default=(), metavar="SITE", help="only people of these sites")

    def take(self, *, trial: Trial, user: User, reason: str, folder: Path, formats, sites, **_options: object) -> None:
        order = Order.of(formats, sites)
        with progress() as heard:
            written = services.export_to(
                trial=trial, user=user, reason=reason, folder=folder, order=order, on_progress=heard
            )
        self.stdout.write(f"{folder}: {written.n_rows} rows up to {written.cut_off:%Y-%m-%d %H:%M:%S} UTC")
        if written.n_small:
            self.stdout.write(f"warning: {written.n_small} people are in small cells, see README.txt")
        self.stdout.write(f"manifest SHA-256 {written.sha256}")
