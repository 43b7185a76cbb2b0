from django.apps import AppConfig


class SafetyConfig(AppConfig):
    name = "mhealth.safety"
    label = "safety"
    verbose_name = "Safety"
