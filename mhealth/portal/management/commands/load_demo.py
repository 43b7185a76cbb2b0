import json

from django.core.management.base import BaseCommand

from mhealth.people.models import CareTeam
from mhealth.people.services import make_enrolment_codes
from mhealth.portal.demo import study


class Command(BaseCommand):
    help = "Load the demo study of fixtures/ and print a one-time enrolment code as JSON. Loading twice is harmless."

    def handle(self, *args, **options) -> None:
        demo = study.load()
        team = CareTeam.objects.get(study=demo, name="North team")
        (code,) = make_enrolment_codes(study=demo, site=demo.sites[0], care_team=team, count=1)
        self.stdout.write(json.dumps({"enrolment_code": code, "trial": study.TRIAL["slug"]}))
