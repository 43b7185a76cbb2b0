import sys

from django.core.management.base import BaseCommand

from mhealth.platform import audit
from mhealth.platform.models import AuditEvent


class Command(BaseCommand):
    help = "Exit 0 if the audit chain is whole, else 1 and the first event that does not continue it."

    def handle(self, *args, **options) -> None:
        broken = audit.first_break()
        if broken is not None:
            self.stderr.write(f"the chain breaks at event {broken}")
            sys.exit(1)
        self.stdout.write(f"{AuditEvent.objects.count()} events, the chain is whole")
