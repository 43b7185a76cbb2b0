"""Train the recommender on the decision log, register it, and let it score from the next decision on."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from interventions import training


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser) -> None:
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--least", type=int, default=training.DELIVERIES_LEAST, help="offers needed to train")
        parser.add_argument("--least-people", type=int, default=training.PEOPLE_LEAST, help="people needed to train")
        parser.add_argument("--no-promote", action="store_true", help="register only; the present model goes on")
        parser.add_argument("--log-out", type=Path, help="only write the log, pseudonymous, as JSON lines")

    def handle(self, *args: object, **options) -> None:
        try:
            if options["log_out"]:
                self._write_log(options["log_out"])
            else:
                self._train(options)
        except OSError as problem:
            raise CommandError(f"{problem.filename}: {problem.strerror}", returncode=2) from problem

    def _write_log(self, path: Path) -> None:
        heard = training.read_log()
        path.write_text("".join(f"{line}\n" for line in heard.lines()), encoding="utf-8")
        self.stdout.write(f"{heard.n_deliveries} offers to {len(heard.deliveries)} people in {path}")

    def _train(self, options: dict) -> None:
        try:
            version = training.train(
                deliveries_least=options["least"],
                people_least=options["least_people"],
                promote=not options["no_promote"],
                seed=options["seed"],
            )
        except training.TooFewDeliveries as reason:
            self.stdout.write(f"No model: {reason}. The order set by clinicians goes on deciding.")
            return
        report = ", ".join(f"{name} {value}" for name, value in version.card["report"].items())
        self.stdout.write(f"{version.name}{'' if version.promoted_at else ' (not promoted)'}: {report}")
