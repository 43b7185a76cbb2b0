from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("interventions", "0002_modelversion_rolled_back_at")]

    operations = [
        migrations.AlterField(
            model_name="decisionevent",
            name="kind",
            field=models.CharField(
                choices=[
                    ("shown", "Shown"),
                    ("started", "Started"),
                    ("step", "Step"),
                    ("completed", "Completed"),
                    ("skipped", "Skipped"),
                    ("rated", "Rated"),
                    ("mood_before", "Mood Before"),
                    ("mood_after", "Mood After"),
                    ("others_shown", "Others Shown"),
                    ("other_chosen", "Other Chosen"),
                ],
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="decisionevent",
            name="value",
            field=models.PositiveSmallIntegerField(
                help_text="Step number, helpfulness 1–5, mood 0–10, place among the others.", null=True
            ),
        ),
    ]
