"""Make a decision again from its record. 0 identical, 1 different, 2 unknown id or missing model, 3 inputs erased."""

import sys
import uuid

from django.core.management.base import BaseCommand, CommandError

from interventions import replay
from interventions.models import Decision, InputsErased


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser) -> None:
        parser.add_argument("id")

    def handle(self, *args: object, id: str, **options: object) -> None:
        try:
            decision = Decision.objects.select_related("participant__data_key", "version__activity").get(
                pk=uuid.UUID(id)
            )
            different = replay.found_differences(decision)
        except (ValueError, Decision.DoesNotExist) as unknown:
            raise CommandError(f"there is no decision {id}", returncode=2) from unknown
        except replay.Unreplayable as problem:
            raise CommandError(f"{id}: {problem}", returncode=2) from problem
        except InputsErased:
            self.stdout.write("inputs erased")
            sys.exit(3)
        if different:
            self.stdout.write("\n".join(["different", *different]))
            sys.exit(1)
        self.stdout.write("identical")
