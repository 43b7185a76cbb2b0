"""The wall around people who were turned away; who is unknown to the service is nobody's but the trial's."""

from importlib import import_module

from django.db import migrations

from mhealth.platform.policies import guard

first = import_module("mhealth.portal.migrations.0001_row_security")


class Migration(migrations.Migration):
    dependencies = [("portal", "0001_row_security"), ("trials", "0005_screening")]
    operations = [guard("trials_screening", f"{first.OF_MY_TRIAL} OR {first.PERSON}")]
