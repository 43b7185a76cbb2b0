from django.apps import AppConfig


class CheckinsConfig(AppConfig):
    name = "mhealth.checkins"
    label = "checkins"
    verbose_name = "Check-ins"

    def ready(self) -> None:
        from mhealth.checkins import checks, data_rights, services
        from mhealth.people import registry
        from mhealth.platform import health

        health.also_check("videos", checks.check_videos)

        registry.register(
            "checkins",
            export_person=data_rights.export_person,
            erase_person=data_rights.erase_person,
            export_files=data_rights.media_held,
            delete_media=services.delete_media,
            withdraw=data_rights.withdraw_consent,
            covers=(
                "checkins.CheckIn",
                "checkins.Part",
                "checkins.Estimate",
                "checkins.Correction",
                "checkins.PersonalReliability",
                "checkins.CalibrationClip",
                "checkins.DisparityReport",
                "checkins.Explanation",
            ),
        )
