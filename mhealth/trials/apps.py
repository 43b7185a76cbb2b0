from django.apps import AppConfig


class TrialsConfig(AppConfig):
    name = "mhealth.trials"
    label = "trials"
    verbose_name = "Trials"
