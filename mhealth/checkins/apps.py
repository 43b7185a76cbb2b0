from django.apps import AppConfig


class CheckinsConfig(AppConfig):
    name = "mhealth.checkins"
    label = "checkins"
    verbose_name = "Check-ins"
