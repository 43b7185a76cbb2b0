from django.apps import AppConfig
from django.db.models.signals import post_migrate


class PeopleConfig(AppConfig):
    name = "mhealth.people"
    label = "people"
    verbose_name = "People"

    def ready(self) -> None:
        from mhealth.people import roles

        post_migrate.connect(roles.make_groups, dispatch_uid="people.roles")
