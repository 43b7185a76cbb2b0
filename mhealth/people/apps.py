from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps
from django.db.models.signals import post_migrate


class PeopleConfig(AppConfig):
    name = "mhealth.people"
    label = "people"
    verbose_name = "People"
    default = True

    def ready(self) -> None:
        from mhealth.people import following, registry, rights, roles
        from mhealth.platform import health

        health.also_check("withdrawals", following.check_followed)
        post_migrate.connect(roles.make_groups, dispatch_uid="people.roles")
        registry.register(
            "people",
            export_person=rights.export_person,
            erase_person=rights.erase_person,
            covers=(
                "people.Consent",
                "people.FollowUp",
                "people.EnrolmentCode",
                "people.ErasureRequest",
                "people.DataExport",
            ),
            keeps=("people.ErasureRequest",),  # that and when the person asked to be erased: the certificate
        )


class StaffAdminConfig(admin_apps.AdminConfig):
    """Django's admin behind our own site class, which asks for a second factor."""

    default = False
    default_site = "mhealth.people.staff.StaffSite"
