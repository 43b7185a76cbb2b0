"""The crisis card: where a person finds a human being now. Works without a session."""

import json
from datetime import date
from pathlib import Path

from mhealth.safety.models import CrisisResource

# Plain words for every language the project ships; a study in another language shows the English ones.
NOTICES = {
    "en": (
        "Nobody is watching your messages, answers or check-ins live. "
        "If you or somebody else is in danger, call the emergency number now."
    ),
    "de": (
        "Niemand liest Ihre Nachrichten, Antworten oder Check-ins in diesem Augenblick mit. "
        "Wenn Sie oder jemand anderes in Gefahr ist, rufen Sie jetzt den Notruf."
    ),
    "es": (
        "Nadie está leyendo en este momento sus mensajes, respuestas o registros. "
        "Si usted u otra persona está en peligro, llame ahora al número de emergencias."
    ),
}


def crisis_card(country: str, language: str) -> dict:
    """The resources of a country in a language, falling back to its other languages and to any country's.

    An empty list would leave somebody alone: what applies everywhere is always added.
    """
    country, language = country.upper(), language.lower()[:2]
    local = list(CrisisResource.objects.filter(country=country)) if country else []
    spoken = [r for r in local if r.language == language]
    everywhere = list(CrisisResource.objects.filter(country=""))
    shown = (spoken or local) + ([r for r in everywhere if r.language == language] or everywhere)
    notice_language = language if language in NOTICES else "en"
    return {
        "country": country if local else "",
        "language": notice_language,
        "notice": NOTICES[notice_language],
        "resources": sorted(shown, key=lambda r: (not r.emergency, r.country == "", r.order, r.slug)),
    }


def load_crisis_resources(folder: Path) -> list[CrisisResource]:
    """Load every country file of `folder`; rows that are there already stay as the operators left them."""
    loaded = []
    for path in sorted(Path(folder).glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        for resource in content["resources"]:
            key = {"slug": resource["slug"], "country": content["country"], "language": resource["language"]}
            rest = {name: value for name, value in resource.items() if name not in key}
            row, _ = CrisisResource.objects.get_or_create(
                **key, defaults=rest | {"review_by": date.fromisoformat(content["review_by"])}
            )
            loaded.append(row)
    return loaded
