from django.apps import AppConfig
from django.db.models.signals import post_migrate

IDENTITIES = "identifiable exports"


class ResearchConfig(AppConfig):
    name = "mhealth.research"
    label = "research"
    verbose_name = "Research"

    def ready(self) -> None:
        post_migrate.connect(make_group, sender=self, dispatch_uid="research.identities")


def make_group(using: str, **_kwargs: object) -> None:
    """Whom an operator puts into this group, on top of the role of a researcher, may ask for identifiable columns."""
    from django.contrib.auth.models import Group, Permission

    group, _ = Group.objects.using(using).get_or_create(name=IDENTITIES)
    group.permissions.set(Permission.objects.using(using).filter(codename="export_identifiable"))
