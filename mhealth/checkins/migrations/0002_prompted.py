from django.db import migrations, models


def as_drawn(apps, schema_editor):
    """Until now an answer to a check-in for which a prompt had been drawn was taken for the answer to it."""
    apps.get_model("checkins", "Correction").objects.filter(check_in__prompt_asked=True).update(prompted=True)


class Migration(migrations.Migration):
    dependencies = [("checkins", "0001_initial")]

    operations = [
        migrations.AddField("correction", "prompted", models.BooleanField(default=False)),
        migrations.RunPython(as_drawn, migrations.RunPython.noop),
    ]
