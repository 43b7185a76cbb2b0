from django.apps import AppConfig


class OutcomesConfig(AppConfig):
    name = "mhealth.outcomes"
    label = "outcomes"
    verbose_name = "Outcomes"

    def ready(self) -> None:
        from mhealth.outcomes import checks, data_rights  # noqa: F401 (registers the check)
        from mhealth.people import registry

        registry.register(
            "outcomes",
            export_person=data_rights.export_person,
            erase_person=data_rights.erase_person,
            covers=("outcomes.Occasion", "outcomes.Response", "outcomes.ScaleScore"),
        )
