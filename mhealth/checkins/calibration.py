"""How a person usually sounds, from check-ins in which they read a neutral sentence aloud.

Five such clips are a baseline; from then on it is frozen and their voice is read against it, until the person
starts anew. It is never a running mean over daily life: where sadness lasts, such a mean would *be* sadness.
"""

import json
from typing import Any

from django.db import transaction

from mhealth.checkins.models import CalibrationClip, CheckIn, Modality, Purpose
from mhealth.people.models import Participant

CLIPS = 5


def clips(participant: Participant):
    return CalibrationClip.objects.filter(check_in__participant=participant).order_by("made_at", "pk")


def is_complete(participant: Participant) -> bool:
    return clips(participant).count() >= CLIPS


def state(participant: Participant) -> dict[str, Any]:
    """How far the baseline is: clips held and needed, whether it is complete and since when."""
    times = list(clips(participant).values_list("made_at", flat=True))
    complete = len(times) >= CLIPS
    return {
        "clips": len(times),
        "clips_needed": CLIPS,
        "complete": complete,
        "completed_at": times[-1] if complete else None,
    }


def opened(participant: Participant) -> list[dict]:
    """What each clip says, as `VoiceBaseline.to_json`. Raises KeyDestroyed."""
    return [json.loads(participant.data_key.unseal(clip.sealed, clip.place)) for clip in clips(participant)]


def against(check_in: CheckIn, modality: str) -> dict[str, dict]:
    """What a reader is given besides the data: the complete baseline of a daily voice, else nothing."""
    participant = check_in.participant
    if modality != Modality.VOICE or check_in.purpose != Purpose.DAILY or not is_complete(participant):
        return {}
    from emotion.voice import VoiceBaseline  # loads the networks' runtime: in workers only

    heard = [VoiceBaseline.from_json(clip) for clip in opened(participant)]
    return {"baseline": VoiceBaseline.pooled(heard, heard[-1].band).to_json()}


def keep(check_in: CheckIn, usual: dict) -> None:
    """Add a clip, in the caller's transaction that holds the person: a full baseline, or one given up, takes none."""
    if check_in.purpose != Purpose.CALIBRATION or check_in.late or is_complete(check_in.participant):
        return
    clip = CalibrationClip(check_in=check_in)
    clip.sealed = check_in.participant.data_key.seal(json.dumps(usual).encode(), clip.place)
    clip.save()


def start_anew(participant: Participant) -> None:
    """Give the baseline up: the voice is read against everybody's usual until five new clips are here.

    Calibrations that still wait for their analysis belong to the old one.
    """
    with transaction.atomic():
        Participant.objects.hold(participant.pk)
        clips(participant).delete()
        old = CheckIn.objects.filter(participant=participant, purpose=Purpose.CALIBRATION)
        old.update(purpose=Purpose.SUPERSEDED)
