"""Which trained model scores: an operator promotes one, or rolls the present one back to the one before.

Decisions keep the name of the model they were made with, and trials the one they froze: nothing made is changed.
"""

from django.db import transaction
from django.utils import timezone
from rest_framework import status

from interventions.models import ModelVersion
from mhealth.platform import audit
from mhealth.platform.problems import Problem


class NothingToRollBack(Problem):
    status_code = status.HTTP_409_CONFLICT
    default_code = "not-the-present-model"
    default_detail = "Only the model that scores at present can be rolled back."


class AlreadyPresent(Problem):
    status_code = status.HTTP_409_CONFLICT
    default_code = "already-the-present-model"
    default_detail = "This model scores already."


@transaction.atomic
def promote(*, version: ModelVersion, by: object) -> ModelVersion:
    """From the next decision on this model scores, but for trials with a frozen one. Raises AlreadyPresent."""
    before = _locked_present()
    if before == version:
        raise AlreadyPresent()
    version.promoted_at, version.rolled_back_at = timezone.now(), None
    version.save(update_fields=["promoted_at", "rolled_back_at"])
    _record("model.promoted", version, by, before=before)
    return version


@transaction.atomic
def roll_back(*, version: ModelVersion, by: object) -> ModelVersion | None:
    """Take the present model back; the one promoted before it scores again, or clinicians' order (None).

    Models trained at night then wait until somebody promotes one. Raises NothingToRollBack.
    """
    if _locked_present() != version:
        raise NothingToRollBack()
    version.rolled_back_at = timezone.now()
    version.save(update_fields=["rolled_back_at"])
    now = ModelVersion.objects.present()
    _record("model.rolled_back", version, by, now=now)
    return now


def _locked_present() -> ModelVersion | None:
    """The present model, all rows locked: two operators at once are one after the other."""
    list(ModelVersion.objects.select_for_update().order_by("pk").values_list("pk"))
    return ModelVersion.objects.present()


def _record(action: str, version: ModelVersion, by: object, **others: ModelVersion | None) -> None:
    named = {name: other.name if other else "" for name, other in others.items()}
    subject = f"interventions.ModelVersion/{version.pk}"
    audit.record(actor=by, action=action, subject=subject, model=version.name, **named)
