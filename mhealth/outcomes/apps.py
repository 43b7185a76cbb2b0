from django.apps import AppConfig


class OutcomesConfig(AppConfig):
    name = "mhealth.outcomes"
    label = "outcomes"
    verbose_name = "Outcomes"

    def ready(self) -> None:
        from mhealth.outcomes import checks, data_rights
        from mhealth.people import registry
        from mhealth.platform import health

        health.also_check("questionnaires", checks.check_texts)
        health.also_check("push", checks.check_push)
        registry.register(
            "outcomes",
            export_person=data_rights.export_person,
            erase_person=data_rights.erase_person,
            covers=("outcomes.Occasion", "outcomes.Response", "outcomes.ScaleScore"),
        )
