"""What can be done with a check-in: hand it in, correct it, take the sound of a withdrawn scope away."""

import hashlib
import json
import random
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from django.db import IntegrityError, transaction
from django.utils import timezone

from mhealth.checkins import calibration, tasks
from mhealth.checkins.intake import IncomingPart
from mhealth.checkins.models import CheckIn, Correction, Part, Purpose, modalities
from mhealth.people.models import Participant
from mhealth.platform import media, moments
from mhealth.platform.crypto import KeyDestroyed
from mhealth.platform.hints import hint
from mhealth.platform.problems import Problem
from mhealth.platform.row_security import acting_for_everybody

LATE_AFTER = timedelta(days=30)
PROMPT_PROBABILITY = 0.2


class IdReused(Problem):
    default_code = "id-reused"
    title = "Id reused"
    default_detail = "This id is taken by something else. Make a new id for a new check-in."


class ConsentWithdrawn(Problem):
    status_code = 403
    default_code = "consent-withdrawn"
    title = "Consent withdrawn"


class NotPrompted(Problem):
    default_code = "not-prompted"
    title = "Not prompted"
    default_detail = "No prompt was drawn for this check-in, so this cannot be the answer to one."


class AlreadyCalibrated(Problem):
    default_code = "already-calibrated"
    title = "Already calibrated"
    default_detail = "Your voice baseline is complete. Start it anew before you send calibrations again."


class ParticipationStopped(Problem):
    status_code = 403
    default_code = "participation-stopped"
    title = "Participation stopped"
    default_detail = "You have stopped taking part, so nothing new is stored."


def submit(
    *,
    participant: Participant,
    check_in_id: uuid.UUID,
    parts: list[IncomingPart],
    recorded_at: datetime,
    zone: str,
    context: dict | None = None,
    purpose: str = Purpose.DAILY,
) -> tuple[CheckIn, bool]:
    """Store a check-in once and queue its analysis; return it, and whether it was new.

    Phones repeat an upload until they see a 2xx: the same content under the same id is answered
    with the first row; anything else is `IdReused`, whoever owns the row, so that ids tell
    nothing about other people.
    """
    digest = _digest(parts, recorded_at, zone, context, purpose)
    known = _taken(check_in_id)
    if known is None:
        _refuse_without_consent(participant, parts)
        if purpose == Purpose.CALIBRATION and calibration.is_complete(participant):
            raise AlreadyCalibrated
        told = {"recorded_at": recorded_at, "zone": zone, "context": context or {}, "purpose": purpose}
        try:
            return _store(participant, check_in_id, parts, told | {"digest": digest}), True
        except IntegrityError:
            known = _taken(check_in_id)
            if known is None:  # not a twin of this request that was faster
                raise
    if known.participant_id != participant.pk or known.digest != digest:
        raise IdReused
    return known, False


def _taken(check_in_id: uuid.UUID) -> CheckIn | None:
    with acting_for_everybody(because="an id of another person's is refused as one's own would be"):
        return CheckIn.objects.filter(pk=check_in_id).first()


def _digest(parts: Iterable[IncomingPart], recorded_at: datetime, zone: str, context: dict | None, purpose: str) -> str:
    body = [sorted((part.kind, part.digest) for part in parts), recorded_at.isoformat(), zone, context or {}]
    body += [] if purpose == Purpose.DAILY else [purpose]  # digests from before there were purposes stay as they are
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _refuse_without_consent(participant: Participant, parts: Iterable[IncomingPart]) -> None:
    if participant.status != Participant.Status.ACTIVE:
        raise ParticipationStopped
    for scope in (scope for part in parts for scope in modalities(part.kind)):
        if not participant.consents_to(scope):
            raise ConsentWithdrawn(f"There is no consent to use the {scope} at present.")


def _store(participant, check_in_id, parts, told: dict) -> CheckIn:
    rows = [Part(check_in_id=check_in_id, kind=p.kind, media_type=p.media_type, size=len(p.content)) for p in parts]
    try:
        for row, part in zip(rows, parts, strict=True):
            row.name = media.store().put(participant.data_key.seal(part.content, row.place))
        with transaction.atomic():
            # Again, in turn with a stop, a withdrawal and an erasure: nothing of the person comes in after one of them.
            _refuse_without_consent(Participant.objects.hold(participant.pk), parts)
            check_in = _receive(participant, check_in_id, **told)
            Part.objects.bulk_create(rows)
            # The hint may get lost: the sweep repairs it.
            transaction.on_commit(partial(_queue, check_in))
    except BaseException as fault:
        for row in rows:
            if row.name:
                media.store().delete(row.name)
        if isinstance(fault, KeyDestroyed):  # erased since the phone signed in
            raise ParticipationStopped from fault
        raise
    return check_in


def _receive(participant, check_in_id, *, recorded_at, purpose, **told) -> CheckIn:
    now = timezone.now()
    recorded_at, suspect = moments.believed(recorded_at, now)
    asks = purpose == Purpose.DAILY  # a sentence that was given expresses nothing one could be asked about
    probability = participant.study.settings.get("prompt_probability", PROMPT_PROBABILITY) if asks else 0.0
    return CheckIn.objects.create(
        id=check_in_id,
        participant=participant,
        recorded_at=recorded_at,
        received_at=now,
        purpose=purpose,
        **told,
        clock_suspect=suspect,
        late=recorded_at < now - LATE_AFTER,
        prompt_probability=probability,
        prompt_asked=random.SystemRandom().random() < probability,
    )


def _queue(check_in: CheckIn) -> None:
    if hint(tasks.analyse, check_in_id=str(check_in.pk)):
        CheckIn.objects.mark_hinted(check_in.pk)


def correct(*, check_in: CheckIn, labels: list[str], prompted: bool | None = None) -> Correction:
    """Keep the person's own labels for what was expressed, and learn from them.

    prompted: given as the answer to the random prompt, before the estimate was shown. A phone that does not
    say so asked when it was told to. Raises NotPrompted.
    """
    from mhealth.checkins import reliability

    if prompted and not check_in.prompt_asked:
        raise NotPrompted
    said = {"labels": labels, "prompted": check_in.prompt_asked if prompted is None else prompted}

    with transaction.atomic():
        # One at a time per person: two at once would each miss the other's label.
        if Participant.objects.hold(check_in.participant_id).status == Participant.Status.ERASED:
            raise ParticipationStopped
        correction, _ = Correction.objects.update_or_create(
            check_in=check_in, defaults={**said, "given_at": timezone.now()}
        )
        reliability.relearn(check_in.participant)
    return correction


def delete_media(participant: Participant, kinds: Iterable[str] | None = None, *, until: datetime | None = None) -> int:
    """Delete what is still held of a person's media, or what of it came in until then; return how many parts."""
    parts = Part.objects.filter(check_in__participant=participant, deleted_at=None)
    if kinds is not None:
        parts = parts.filter(kind__in=list(kinds))
    if until is not None:
        parts = parts.filter(check_in__received_at__lte=until)
    for part in parts:
        part.delete_content()
    return len(parts)
