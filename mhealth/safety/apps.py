from django.apps import AppConfig


class SafetyConfig(AppConfig):
    name = "mhealth.safety"
    label = "safety"
    verbose_name = "Safety"

    def ready(self) -> None:
        from mhealth.people import registry
        from mhealth.safety import checks, data_rights  # noqa: F401 (registers the check)

        registry.register(
            "safety",
            export_person=data_rights.export_person,
            erase_person=data_rights.erase_person,
            covers=("safety.RiskEvent", "safety.RiskMove"),
        )
