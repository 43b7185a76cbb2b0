"""Which language of some content a person gets: what the phone asks for, else their own, else the study's."""

from collections.abc import Collection, Iterable

from django.http import HttpRequest
from django.utils.translation.trans_real import parse_accept_lang_header


def accepted(request: HttpRequest) -> list[str]:
    """Primary subtags of Accept-Language, best first: "de-AT, en;q=0.5" gives de, en."""
    header = request.headers.get("Accept-Language", "").lower()
    return [tag.split("-")[0] for tag, weight in parse_accept_lang_header(header) if tag != "*" and weight > 0]


def choose(languages: Iterable[str], available: Collection[str]) -> str:
    """The first wanted language there is; else English, else whatever there is, else ""."""
    return first([*languages, "en"], available) or next(iter(sorted(available)), "")


def first(languages: Iterable[str], available: Collection[str]) -> str:
    """The first wanted language there is; "" where there is none of them."""
    shorts = (language.lower().split("-")[0] for language in languages)
    return next((short for short in shorts if short in available), "")


def wanted(request: HttpRequest, participant) -> list[str]:
    """Languages for this person, best first."""
    return [*accepted(request), participant.language, participant.study.language]
