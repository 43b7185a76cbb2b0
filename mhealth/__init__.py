"""The Django site, and the platform's rooms as one tower: a higher floor may import a lower one, never the reverse."""

from mhealth.celery import app as celery_app

__all__ = ["celery_app"]
