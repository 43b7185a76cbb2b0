from django.core.management.base import BaseCommand, CommandError

from mhealth.people import services
from mhealth.people.models import CareTeam, Study


class Command(BaseCommand):
    help = "Print one-time enrolment codes, one a line. They cannot be shown again."

    def add_arguments(self, parser) -> None:
        parser.add_argument("study", metavar="STUDY", help="slug of the study")
        parser.add_argument("--site", required=True)
        parser.add_argument("--team", help="name of the care team")
        parser.add_argument("--count", type=int, default=1)

    def handle(self, *, study: str, site: str, team: str | None, count: int, **_options: object) -> None:
        found = _study(study)
        if site not in found.sites:
            raise CommandError(f"{study} has no site {site}: {', '.join(found.sites)}", returncode=2)
        if count < 1:
            raise CommandError("--count must be at least 1", returncode=2)
        codes = services.make_enrolment_codes(study=found, site=site, care_team=_team(found, team), count=count)
        self.stdout.write("\n".join(codes))


def _study(slug: str) -> Study:
    found = Study.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Study.objects.values_list("slug", flat=True)) or "there is none yet"
        raise CommandError(f"no study {slug}: {known}", returncode=2)
    return found


def _team(study: Study, name: str | None) -> CareTeam | None:
    if not name:
        return None
    found = study.care_teams.filter(name=name).first()
    if found is None:
        known = ", ".join(study.care_teams.values_list("name", flat=True)) or "there is none yet"
        raise CommandError(f"no care team {name} in {study.slug}: {known}", returncode=2)
    return found
