"""Instruments are data: read definitions and texts from a folder into versions that never change once used."""

import json
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from mhealth.outcomes import scoring
from mhealth.outcomes.models import Instrument, InstrumentVersion
from mhealth.people.models import User
from mhealth.platform import audit


class InvalidInstrument(Exception):
    """A definition that cannot be used, or one that changed under people who have answered it."""


def read_definition(folder: Path) -> dict:
    """Raises InvalidInstrument."""
    path = folder / "instrument.json"
    try:
        definition = json.loads(path.read_text(encoding="utf-8"))
        scoring.parse(definition)
    except (OSError, KeyError, TypeError, ValueError) as problem:
        raise InvalidInstrument(f"{path} cannot be used: {type(problem).__name__} {problem}") from problem
    # PostgreSQL does not keep the order of keys, and scores are shown in the order of the file.
    return definition | {"scale_order": list(definition["scales"])}


def read_texts(folder: Path, n_items: int) -> dict[str, dict]:
    """The language files beside a definition, by language code. Raises InvalidInstrument."""
    texts = {}
    for path in sorted(folder.glob("*.json")):
        if path.name == "instrument.json":
            continue
        text = json.loads(path.read_text(encoding="utf-8"))
        if len(text["items"]) != n_items:
            raise InvalidInstrument(f"{path} has {len(text['items'])} items, the instrument has {n_items}")
        texts[path.stem] = text
    if not texts:
        raise InvalidInstrument(f"{folder} has no text in any language")
    return texts


def newest_definition(folder: Path, slug: str) -> scoring.Instrument:
    """The newest version of an instrument in `folder`, for work without a database. Raises InvalidInstrument."""
    versions = sorted((folder / slug).glob("*/instrument.json"), key=lambda path: path.parent.name)
    if not versions:
        raise InvalidInstrument(f"no version of {slug} in {folder}")
    return scoring.parse(read_definition(versions[-1].parent))


@transaction.atomic
def load_instruments(folder: Path) -> list[InstrumentVersion]:
    """Load every <slug>/<version> of `folder`; loading again changes nothing. Raises InvalidInstrument.

    A version in use keeps its scoring and its wording for good; new languages may be added to it.
    """
    paths = sorted(Path(folder).glob("*/*/instrument.json"))
    return [_load(path.parent) for path in paths]


def _load(folder: Path) -> InstrumentVersion:
    definition = read_definition(folder)
    texts = read_texts(folder, definition["n_items"])
    instrument, _ = Instrument.objects.get_or_create(
        slug=definition["slug"], defaults={"name": definition.get("name", definition["slug"])}
    )
    content = {"definition": definition, "texts": texts, "licence": definition.get("licence", "")}
    version, made = InstrumentVersion.objects.get_or_create(
        instrument=instrument, version=str(definition["version"]), defaults=content
    )
    if not made:
        _refresh(version, content)
    return version


def _refresh(version: InstrumentVersion, content: dict) -> None:
    if version.in_use:
        kept = {language: content["texts"].get(language) for language in version.texts}
        if _rules_of(content["definition"]) != _rules_of(version.definition) or kept != version.texts:
            raise InvalidInstrument(f"{version} is in use and has changed: give it a new version")
    for name, value in content.items():
        setattr(version, name, value)
    version.save(update_fields=list(content))


def _rules_of(definition: dict) -> dict:
    """Without the note on what the norms were checked against: it changes no score."""
    return {name: value for name, value in definition.items() if name != "norms_checked"}


def unacknowledged():
    """Versions whose licence note no operator has acknowledged yet.

    With the columns of the first migration alone: `migrate` asks before it has made the later ones.
    """
    waiting = InstrumentVersion.objects.filter(licence_acknowledged_at=None).exclude(licence="")
    return waiting.select_related("instrument").only("version", "licence", "instrument__slug")


def operator_warnings() -> list[str]:
    return [f"licence of {version}, to be acknowledged in the admin: {version.licence}" for version in unacknowledged()]


@transaction.atomic
def acknowledge_licence(*, version: InstrumentVersion, user: User) -> None:
    version.licence_acknowledged_at, version.licence_acknowledged_by = timezone.now(), user
    version.save(update_fields=["licence_acknowledged_at", "licence_acknowledged_by"])
    audit.record(actor=user, action="instrument.licence", subject=f"outcomes.InstrumentVersion/{version.pk}")
