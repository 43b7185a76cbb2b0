"""The only door to people's rows: `visible_to(user)`."""

from django.db import models
from django.db.models import Q

from mhealth.platform.access import roles_of


class PersonalQuerySet(models.QuerySet):
    """Rows about a participant; `person` is the lookup path from the row to them."""

    person = "participant"

    def visible_to(self, user):
        """Own rows for a participant; their people's rows for a clinician; nothing for anyone else."""
        roles = roles_of(user)
        mine = Q(**{self._path("user"): user.pk}) if "participant" in roles else Q(pk__in=[])
        ours = Q(**{self._path("care_team__clinicians"): user.pk}) if "clinician" in roles else Q(pk__in=[])
        return self.filter(mine | ours).distinct() if roles & {"participant", "clinician"} else self.none()

    def _path(self, end: str) -> str:
        return f"{self.person}__{end}" if self.person else end
