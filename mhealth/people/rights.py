"""Export and erasure of one person, in every room through the registry."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator

from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction
from django.utils import timezone

from mhealth.people import registry
from mhealth.people.models import DataExport, ErasureRequest, Participant
from mhealth.platform import audit, media
from mhealth.platform.leases import WorkStatus
from mhealth.platform.models import IdempotencyRecord
from mhealth.platform.problems import Problem

SHELF = "exports"


class NoErasurePending(Problem):
    default_code = "no-erasure-pending"
    title = "Nothing to cancel"
    default_detail = "No erasure of your data is waiting."


class SomethingLeft(Exception):
    """Rows of an erased person are still there: a room forgot them. Names models, never people."""


def ask_for_export(participant: Participant) -> DataExport:
    """The export that is under way, else a new one; an older file goes."""
    with transaction.atomic():
        Participant.objects.select_for_update().get(pk=participant.pk)
        under_way = participant.exports.filter(status__in=[WorkStatus.QUEUED, WorkStatus.RUNNING]).first()
        if under_way:
            return under_way
        discard_exports(participant.exports.all())
        export = DataExport.objects.create(participant=participant)
        audit.record(actor=participant.user, action="export.asked", subject=f"people.DataExport/{export.pk}")
    return export


def write_export(export: DataExport) -> None:
    """Collect, seal and store; under the lease of the row."""
    plain = archive(export.participant)
    name = media.store(SHELF).put(export.participant.data_key.seal(plain, export.place))
    try:
        export.finish(WorkStatus.DONE, file=name, size=len(plain))
    except Exception:
        media.store(SHELF).delete(name)
        raise


def read_export(export: DataExport) -> bytes:
    """Raises MediaGone."""
    return export.participant.data_key.unseal(media.store(SHELF).get(export.file), export.place)


def discard_exports(exports: models.QuerySet) -> int:
    discarded = 0
    for export in exports:
        if export.file:
            media.store(SHELF).delete(export.file)
        export.delete()
        discarded += 1
    return discarded


def archive(participant: Participant) -> bytes:
    """A ZIP: one JSON file per room, media still held, and a summary for people."""
    collected = {name: room.export(participant) for name, room in registry.rooms.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("summary.txt", summary(participant, collected))
        for name, data in collected.items():
            file.writestr(f"{name}.json", json.dumps(data, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False))
        for name, room in registry.rooms.items():
            for path, content in room.export_files(participant):
                file.writestr(f"media/{name}/{path}", content)
    return buffer.getvalue()


def summary(participant: Participant, collected: dict[str, dict]) -> str:
    lines = [
        f"What {participant.study.name} holds about you, on {timezone.now():%Y-%m-%d %H:%M} UTC",
        f"Questions: {participant.study.contact_email}",
        "",
    ]
    for name, data in collected.items():
        lines.append(f"{name}.json")
        lines += [f"  {key}: {len(value)}" for key, value in data.items() if isinstance(value, list)]
    return "\n".join([*lines, "", "Photos and recordings that are still held are in the folder media.", ""])


@transaction.atomic
def ask_for_erasure(participant: Participant) -> ErasureRequest:
    Participant.objects.select_for_update().get(pk=participant.pk)
    pending = participant.erasure_requests.pending().first()
    if pending:
        return pending
    request = participant.erasure_requests.create(due_at=timezone.now() + ErasureRequest.DELAY)
    audit.record(actor=participant.user, action="erasure.asked", subject=f"people.Participant/{participant.pk}")
    return request


@transaction.atomic
def cancel_erasure(participant: Participant) -> None:
    if not participant.erasure_requests.pending().update(cancelled_at=timezone.now()):
        raise NoErasurePending()
    audit.record(actor=participant.user, action="erasure.cancelled", subject=f"people.Participant/{participant.pk}")


@transaction.atomic
def erase(participant: Participant) -> None:
    """Remove everything about this person but an empty row for the trial's counts.

    Repeating it is harmless. Raises SomethingLeft, and then nothing is erased but files.
    """
    participant = Participant.objects.select_for_update().get(pk=participant.pk)
    for room in registry.from_the_top():
        room.erase(participant)
    if left := sorted(rows_left(participant)):
        raise SomethingLeft(", ".join(left))
    participant.data_key.destroy()
    participant.erasure_requests.pending().update(done_at=timezone.now())
    audit.record(
        actor="system",
        action="erasure.done",
        subject=f"people.Participant/{participant.pk}",
        rooms=sorted(registry.rooms),
    )


def personal_models() -> dict[str, str]:
    """ "app.Model" -> lookup path to the participant, for every model with a foreign key to one."""
    found = {}
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if field.concrete and field.is_relation and field.related_model is Participant:
                found[f"{model._meta.app_label}.{model.__name__}"] = field.name
    return found


def rows_left(participant: Participant) -> Iterator[str]:
    kept = {label for room in registry.rooms.values() for label in room.keeps}
    for label, path in personal_models().items():
        if label not in kept and apps.get_model(label)._base_manager.filter(**{path: participant}).exists():
            yield label


def export_person(participant: Participant) -> dict:
    """What this room itself holds."""
    user = participant.user
    return {
        "account": {"email": user.email if user.has_mail else None, "joined_at": participant.joined_at},
        "profile": {
            name: getattr(participant, name)
            for name in ("language", "zone", "country", "site", "birth_year", "sex", "gender", "status")
        },
        "consents": list(
            participant.consents.values(
                "scope", "given", "given_at", "document_version", "language", "text_digest", "how"
            )
        ),
        "devices": list(user.auth_token_set.values("id", "name", "created", "expiry")),
        "erasure_requests": list(participant.erasure_requests.values("asked_at", "due_at", "cancelled_at")),
        "exports": list(participant.exports.values("queued_at", "finished_at")),
    }


def erase_person(participant: Participant) -> None:
    discard_exports(participant.exports.all())
    participant.consents.all().delete()
    participant.follow_ups.all().delete()  # every room has just done more than they ask for
    participant.codes.update(used_by=None)
    if user := participant.user:
        IdempotencyRecord.objects.filter(owner=str(user.pk)).delete()
        user.delete()
    Participant.objects.filter(pk=participant.pk).update(
        user=None,
        care_team=None,
        status=Participant.Status.ERASED,
        site="",
        language="en",
        zone="UTC",
        country="",
        birth_year=None,
        sex="",
        gender="",
    )
    participant.refresh_from_db()
