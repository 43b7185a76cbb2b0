from django.apps import AppConfig


class OutcomesConfig(AppConfig):
    name = "mhealth.outcomes"
    label = "outcomes"
    verbose_name = "Outcomes"
