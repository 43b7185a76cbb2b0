import sys

from django.core.management.base import BaseCommand

from mhealth.platform import pulse


class Command(BaseCommand):
    help = "Exit 0 if this host's worker finished a task lately, else 1: the health check of the worker containers."
    requires_system_checks = []

    def handle(self, *args, **options) -> None:
        age_s = pulse.age_s()
        if age_s is None or age_s > pulse.DEAF_AFTER_S:
            self.stderr.write("no task was finished lately")
            sys.exit(1)
        self.stdout.write(f"last task {age_s:.0f} s ago")
