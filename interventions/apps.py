from django.apps import AppConfig


class InterventionsConfig(AppConfig):
    name = "interventions"
    verbose_name = "Interventions"

    def ready(self) -> None:
        from interventions import data_rights
        from interventions.services.content import freezes_missing
        from mhealth.people import registry
        from mhealth.trials import checks

        checks.also_warn(freezes_missing)
        registry.register(
            "interventions",
            export_person=data_rights.export_person,
            erase_person=data_rights.erase_person,
            covers=data_rights.COVERS,
            keeps=data_rights.KEEPS,
        )
