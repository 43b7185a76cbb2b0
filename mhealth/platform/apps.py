from django.apps import AppConfig


class PlatformConfig(AppConfig):
    name = "mhealth.platform"
    label = "platform"
    verbose_name = "Platform"

    def ready(self) -> None:
        from mhealth.platform import health, row_security

        health.also_check("row security", row_security.describe)
