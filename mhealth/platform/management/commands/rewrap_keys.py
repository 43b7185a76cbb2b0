from django.core.management.base import BaseCommand

from mhealth.platform.models import DataKey


class Command(BaseCommand):
    help = "Wrap every data key anew under the present MASTER_KEY, so that MASTER_KEYS_OLD can be dropped."

    def handle(self, *args, **options) -> None:
        keys = DataKey.objects.exclude(wrapped=None)
        for key in keys.iterator():
            key.rewrap()
        self.stdout.write(f"{keys.count()} keys are wrapped under the present master key")
