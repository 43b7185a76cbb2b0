from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "mhealth.portal"
    label = "portal"
    verbose_name = "Portal"
