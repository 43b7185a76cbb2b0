from django.db import migrations, models
from django.utils import timezone


def pin(apps, _schema_editor) -> None:
    """Trials whose list was sealed before: the newest version of each questionnaire, which is what they were asking."""
    trials, versions = apps.get_model("trials", "Trial"), apps.get_model("outcomes", "InstrumentVersion")
    for trial in trials.objects.exclude(status="draft"):
        pinned = {}
        for slug in sorted({line["instrument"] for line in trial.schedule}):
            newest = versions.objects.filter(instrument__slug=slug).order_by("-loaded_at", "-id").first()
            if newest:
                versions.objects.filter(pk=newest.pk, frozen_at=None).update(frozen_at=timezone.now())
                pinned[slug] = newest.version
        trials.objects.filter(pk=trial.pk).update(instrument_versions=pinned)


class Migration(migrations.Migration):

    dependencies = [
        ('outcomes', '0003_frozen_questionnaires'),
        ('trials', '0002_recruitment_weeks'),
    ]

    operations = [
        migrations.AddField(
            model_name='trial',
            name='instrument_versions',
            field=models.JSONField(default=dict, editable=False, help_text='Of each questionnaire the version of the day the list was sealed.'),
        ),
        migrations.RunPython(pin, migrations.RunPython.noop),
    ]
