"""What an estimate rests on, for a clinician who asks while the photo and the recording are still held."""

import json
from functools import partial

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from mhealth.checkins import tasks
from mhealth.checkins.models import CheckIn, Explanation, Part, modalities
from mhealth.checkins.reasons import Unreadable
from mhealth.checkins.retention import MEDIA_KINDS
from mhealth.people.models import Participant
from mhealth.platform.hints import hint
from mhealth.platform.leases import WorkStatus
from mhealth.platform.media import MediaGone
from mhealth.platform.problems import Problem


class MediaNotHeld(Problem):
    default_code = "media-not-held"
    title = "Nothing is held any more"
    default_detail = "The photo and the recording of this check-in are deleted already, so they cannot be looked into."


def held(check_in: CheckIn) -> list[Part]:
    """Photo, recording and video that are still here and may still be read."""
    parts, person = check_in.parts.filter(kind__in=MEDIA_KINDS, deleted_at=None), check_in.participant
    return [part for part in parts if all(person.consents_to(scope) for scope in modalities(part.kind))]


def ask(check_in: CheckIn) -> tuple[Explanation, bool]:
    """The explanation, queued once, and whether it is new. Raises MediaNotHeld."""
    known = Explanation.objects.filter(check_in=check_in).first()
    if known:
        return known, False
    if not held(check_in):
        raise MediaNotHeld
    with transaction.atomic():
        row, new = Explanation.objects.get_or_create(check_in=check_in)
        # The hint may get lost: the sweep repairs it.
        transaction.on_commit(partial(_queue, row))
    return row, new


def _queue(row: Explanation) -> None:
    if hint(tasks.explain, explanation_id=str(row.pk)):
        Explanation.objects.mark_hinted(row.pk)


def explain(row: Explanation) -> None:
    """Look into what consent still covers, and seal what was found. Runs in a worker, under a lease."""
    found, reasons = {}, set()
    for part in held(row.check_in):
        for modality in modalities(part.kind):
            try:
                found[modality] = _look_into(part, modality)
            except (Unreadable, MediaGone) as problem:
                reasons.add(getattr(problem, "code", "media_gone"))
    with transaction.atomic():
        # In turn with a withdrawal, which takes along what was found in what was withdrawn.
        person = Participant.objects.hold(row.check_in.participant_id)
        found = {kind: told for kind, told in found.items() if person.consents_to(kind)}
        sealed = person.data_key.seal(json.dumps(found).encode(), row.place) if found else None
        reason = "" if found else (reasons.pop() if len(reasons) == 1 else "media_gone")
        row.finish(WorkStatus.DONE if found else WorkStatus.UNUSABLE, sealed=sealed, reason=reason)


def _look_into(part: Part, modality: str) -> dict:
    is_video = {"video": True} if part.kind == Part.Kind.VIDEO else {}
    return import_string(settings.CHECKIN_EXPLAINER)(modality, part.content(), **is_video)


def forget(participant: Participant, until) -> None:
    """A withdrawn face or voice takes its explanations along."""
    Explanation.objects.filter(check_in__participant=participant, check_in__received_at__lte=until).delete()
