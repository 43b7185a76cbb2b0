from django.apps import AppConfig


class PlatformConfig(AppConfig):
    name = "mhealth.platform"
    label = "platform"
    verbose_name = "Platform"
