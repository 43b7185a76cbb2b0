import sys

from django.core.management.base import BaseCommand

from mhealth.platform import health


class Command(BaseCommand):
    help = "Say what is configured, reachable and loadable; exit with 1 if something is missing."
    requires_system_checks = []

    def handle(self, **_options: object) -> None:
        found = list(health.findings())
        for what, is_there, line in found:
            self.stdout.write(f"{'ok     ' if is_there else 'MISSING'}  {what:<12}  {line}")
        if not all(is_there for _, is_there, _ in found):
            sys.exit(1)
