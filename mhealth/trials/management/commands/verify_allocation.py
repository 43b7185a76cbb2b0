from django.core.management.base import BaseCommand, CommandError

from mhealth.trials import services
from mhealth.trials.models import Trial
from mhealth.trials.services.setup import WrongState


class Command(BaseCommand):
    help = "Derive the allocation list of a trial from its sealed seed and compare it row by row. Shows no arm."

    def add_arguments(self, parser) -> None:
        parser.add_argument("slug", metavar="SLUG")

    def handle(self, *, slug: str, **_options: object) -> None:
        trial = Trial.objects.filter(slug=slug).first()
        if trial is None:
            raise CommandError(f"no trial {slug}", returncode=2)
        try:
            found = services.verify_list(trial=trial)
        except WrongState as draft:
            raise CommandError(f"{slug}: {draft.detail}", returncode=2) from draft
        if not found.holds:
            raise CommandError(f"{slug} does not verify: {_faults(found)}", returncode=1)
        self.stdout.write(f"{slug}: {found.n_slots} slots are as the seed gives them; the commitment holds")


def _faults(found: services.Verification) -> str:
    faults = [f"slot {stratum} {position}" for stratum, position in found.differences]
    faults += [f"gap in {stratum}" for stratum in found.gaps]
    return ", ".join(faults if found.commitment_holds else ["commitment", *faults])
