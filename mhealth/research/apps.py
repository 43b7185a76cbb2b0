from django.apps import AppConfig


class ResearchConfig(AppConfig):
    name = "mhealth.research"
    label = "research"
    verbose_name = "Research"
