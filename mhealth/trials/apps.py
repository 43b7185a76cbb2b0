from django.apps import AppConfig


class TrialsConfig(AppConfig):
    name = "mhealth.trials"
    label = "trials"
    verbose_name = "Trials"

    def ready(self) -> None:
        from mhealth.people import registry
        from mhealth.trials import data_rights

        registry.register(
            "trials",
            export_person=data_rights.export_person,
            erase_person=data_rights.erase_person,
            withdraw=data_rights.withdraw_consent,
            delete_media=data_rights.delete_media,
            covers=data_rights.COVERS,
            keeps=data_rights.KEEPS,
        )
