"""FHIR R4: an instrument as Questionnaire, answers as QuestionnaireResponse (out and in), scores as Observation.

No complete LOINC coding of the DASS-21 was found, so scales, answers and bands have code systems of our own; the
three DASS-21 scores carry SNOMED CT codes as well. Two of those (depression, stress) stand in two public FHIR
implementations, the third (anxiety) in one; none was compared with a SNOMED CT release.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from django.utils.dateparse import parse_datetime

from mhealth.outcomes.models import InstrumentVersion, Response, ScaleScore

MEDIA_TYPE = "application/fhir+json"
OURS = "urn:mhealth:fhir"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
SURVEY = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "survey"}
ABSENT = {"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "not-performed"}
SNOMED_CODES = {
    ("dass21", "depression"): ("416954004", "Depression anxiety stress scales depression score"),
    ("dass21", "anxiety"): ("416619008", "Depression anxiety stress scales anxiety score"),
    ("dass21", "stress"): ("416767005", "Depression anxiety stress scales stress score"),
}
FINISHED = ("completed", "amended")

Resource = dict[str, object]
"""A JSON object with `resourceType`."""


class NotTheseAnswers(Exception):
    """A resource that cannot be read as answers to this questionnaire. `path` leads to the fault."""

    def __init__(self, says: str, *path: str | int) -> None:
        super().__init__(says)
        self.path = path


@dataclass(frozen=True)
class Given:
    """What a QuestionnaireResponse says: answers in item order, None where there is none."""

    answers: list[int | None]
    answered_at: datetime
    language: str


def system(version: InstrumentVersion, of: str) -> str:
    """of: "scales", "answers" or "bands"."""
    return _system(version.instrument.slug, of)


def _system(slug: str, of: str) -> str:
    return f"{OURS}:CodeSystem:{slug}-{of}"


def canonical(version: InstrumentVersion) -> str:
    return f"{OURS}:Questionnaire:{version.instrument.slug}"


def questionnaire(version: InstrumentVersion, language: str) -> Resource:
    """The instrument, unmodified, in one of its languages; what of its wording is not sure is marked."""
    text, slug = version.texts[language], version.instrument.slug
    options = [_option(version, option) for option in text["options"]]
    items = [
        {"linkId": f"q{item['number']}", "text": item["text"], "type": "choice", "answerOption": options}
        | _unchecked(item.get("checked", True))
        for item in sorted(text["items"], key=lambda item: item["number"])
    ]
    instructions = {"linkId": "instructions", "text": text["instructions"], "type": "display"}
    marks = not_validated(version, language)
    return {
        "resourceType": "Questionnaire",
        "id": f"{slug}-{version.version}",
        "language": language,
        "url": canonical(version),
        "version": version.version,
        "name": slug.title(),
        "title": text["title"],
        "status": "active",
        "subjectType": ["Patient"],
        "copyright": text.get("licence") or version.licence,
        **({"extension": marks} if marks else {}),
        "item": [instructions | _unchecked(text.get("instructions_checked", True)), *items],
    }


def not_validated(version: InstrumentVersion, language: str) -> list[Resource]:
    """The extension of what is in, or answers, a translation without a validation reference; none for other texts."""
    if language not in version.texts or version.is_validated(language):
        return []
    return [{"url": f"{OURS}:translation-not-validated", "valueBoolean": True}]


def _unchecked(checked: bool) -> Resource:
    """Of words that could not be compared with the published form."""
    return {} if checked else {"extension": [{"url": f"{OURS}:wording-not-checked", "valueBoolean": True}]}


def _option(version: InstrumentVersion, option: Mapping) -> Resource:
    coding = _answer(version.instrument.slug, option["value"])
    weight = {"extension": [{"url": ORDINAL, "valueDecimal": option["value"]}]}
    return {"valueCoding": weight | coding | {"display": option["label"]}}


def _answer(slug: str, value: int) -> dict:
    return {"system": _system(slug, "answers"), "code": str(value)}


@lru_cache(maxsize=1024)
def _answered(slug: str, number: int, value: int) -> dict:
    """An item with its answer. An export says the few there are a million times: nobody may change what this gives."""
    return {"linkId": f"q{number}", "answer": [{"valueCoding": _answer(slug, value)}]}


def code_systems(version: InstrumentVersion) -> Iterator[Resource]:
    """The codes of our own that the other resources use."""
    text = version.texts.get("en") or next(iter(version.texts.values()), {})
    labels = {option["value"]: option["label"] for option in text.get("options", [])}
    rules, name = version.rules, version.instrument.name
    values = [(str(value), labels.get(value, str(value))) for value in range(rules.minimum, rules.maximum + 1)]
    bands = dict.fromkeys(band for scale in rules.scales for band, _ in scale.bands)
    yield _code_system(version, "scales", f"Scales of {name}", [(s.slug, f"{name} {s.slug}") for s in rules.scales])
    yield _code_system(version, "answers", f"Answers to items of {name}", values)
    if bands:
        yield _code_system(version, "bands", f"Severity bands of {name}", [(band, band) for band in bands])


def _code_system(version: InstrumentVersion, of: str, title: str, codes: list[tuple[str, str]]) -> Resource:
    return {
        "resourceType": "CodeSystem",
        "id": f"{version.instrument.slug}-{of}",
        "url": system(version, of),
        "version": version.version,
        "title": title,
        "status": "active",
        "caseSensitive": True,
        "content": "complete",
        "count": len(codes),
        "concept": [{"code": code, "display": words} for code, words in codes],
    }


def questionnaire_response(
    version: InstrumentVersion, answers: list[int | None], *, resource_id: str, subject: dict, **more: object
) -> Resource:
    """Items without an answer are left out. more: `authored`, `language`, `extension`."""
    slug = version.instrument.slug
    items = [_answered(slug, number, value) for number, value in enumerate(answers, start=1) if value is not None]
    return {
        "resourceType": "QuestionnaireResponse",
        "id": resource_id,
        "questionnaire": f"{canonical(version)}|{version.version}",
        "status": "completed",
        "subject": subject,
        **more,
        **({"item": items} if items else {}),
    }


def observation(
    version: InstrumentVersion, score: ScaleScore, *, response_id: str, subject: dict, extension: list = (), **more
) -> Resource:
    """One scale. A scale that could not be scored has no value, and says why. more: `effectiveDateTime`."""
    said = [*extension, {"url": f"{OURS}:missing-items", "valueInteger": score.n_missing}]
    return {
        "resourceType": "Observation",
        "id": f"{response_id}-{score.scale}",
        "extension": [*said, {"url": f"{OURS}:prorated", "valueBoolean": score.prorated}],
        "status": "final",
        "category": [{"coding": [SURVEY]}],
        "code": _code(version.instrument.slug, score.scale),
        "subject": subject,
        **more,
        **_value(version, score),
        "derivedFrom": [{"reference": f"QuestionnaireResponse/{response_id}"}],
    }


@lru_cache(maxsize=1024)
def _code(slug: str, scale: str) -> dict:
    coding = [{"system": _system(slug, "scales"), "code": scale}]
    if known := SNOMED_CODES.get((slug, scale)):
        coding.append({"system": SNOMED, "code": known[0], "display": known[1]})
    return {"coding": coding}


def _value(version: InstrumentVersion, score: ScaleScore) -> Resource:
    if score.value is None:
        return {"dataAbsentReason": {"coding": [ABSENT], "text": "Too many items unanswered"}}
    value = {"value": score.value, "unit": "score", "system": UCUM, "code": "{score}"}
    band = [{"coding": [{"system": system(version, "bands"), "code": score.band}]}] if score.band else None
    return {"valueQuantity": value} | ({"interpretation": band} if band else {})


def of_person(response: Response) -> Resource:
    """A person's own answers, with the moment they were given."""
    said = [{"url": f"{OURS}:in-window", "valueBoolean": response.in_window}]
    said += not_validated(response.occasion.version, response.language)
    return questionnaire_response(
        response.occasion.version,
        response.answers,
        resource_id=str(response.occasion_id),
        subject={"reference": f"Patient/{response.participant.pk}"},
        language=response.language,
        extension=said,
        authored=response.answered_at.isoformat(),
    )


def scores_of_person(response: Response) -> Iterator[Resource]:
    for score in response.scores.all():
        yield observation(
            response.occasion.version,
            score,
            response_id=str(response.occasion_id),
            subject={"reference": f"Patient/{response.participant.pk}"},
            effectiveDateTime=response.answered_at.isoformat(),
        )


def searchset(resources: list[Resource]) -> Resource:
    entries = [{"resource": each, "search": {"mode": "match"}} for each in resources]
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    return bundle | ({"entry": entries} if entries else {})


def read(resource: object, version: InstrumentVersion) -> Given:
    """The answers of a QuestionnaireResponse. Raises NotTheseAnswers."""
    if not isinstance(resource, dict) or resource.get("resourceType") != "QuestionnaireResponse":
        raise NotTheseAnswers("A QuestionnaireResponse is needed.", "resourceType")
    known = (canonical(version), f"{canonical(version)}|{version.version}")
    if resource.get("questionnaire") not in known:
        raise NotTheseAnswers(f"This occasion asks for {known[1]}.", "questionnaire")
    if resource.get("status") not in FINISHED:
        raise NotTheseAnswers("Answers are taken when they are finished: completed or amended.", "status")
    answers: list[int | None] = [None] * version.rules.n_items
    for number, value in _items(resource.get("item", []), version, ("item",)):
        answers[number - 1] = value
    return Given(answers, _moment(resource.get("authored")), _language(resource.get("language", "")))


def _items(items: object, version: InstrumentVersion, path: tuple) -> Iterator[tuple[int, int]]:
    """(number, value) of every answered item, groups included."""
    if not isinstance(items, list):
        raise NotTheseAnswers("A list of items is needed.", *path)
    seen: set[object] = set()
    for place, item in enumerate(items):
        here = (*path, place)
        if not isinstance(item, dict) or not isinstance(item.get("linkId"), str) or item["linkId"] in seen:
            raise NotTheseAnswers("An item needs a linkId of its own.", *here)
        seen.add(item["linkId"])
        if "item" in item:
            yield from _items(item["item"], version, (*here, "item"))
        elif "answer" in item:
            yield _number(item["linkId"], version, here), _chosen(item["answer"], version, (*here, "answer"))


def _number(link_id: str, version: InstrumentVersion, path: tuple) -> int:
    numbers = {f"q{number}": number for number in range(1, version.rules.n_items + 1)}
    if link_id not in numbers:
        raise NotTheseAnswers("This questionnaire has no such item.", *path, "linkId")
    return numbers[link_id]


def _chosen(answer: object, version: InstrumentVersion, path: tuple) -> int:
    first = answer[0] if isinstance(answer, list) and len(answer) == 1 else None
    if not isinstance(first, dict):
        raise NotTheseAnswers("One answer is needed.", *path)
    coding, value = first.get("valueCoding"), first.get("valueInteger")
    if isinstance(coding, dict) and coding.get("system", system(version, "answers")) == system(version, "answers"):
        codes = {str(code): code for code in range(version.rules.minimum, version.rules.maximum + 1)}
        value = codes.get(coding.get("code")) if isinstance(coding.get("code"), str) else None
    if type(value) is not int or not version.rules.minimum <= value <= version.rules.maximum:
        span = f"{version.rules.minimum} to {version.rules.maximum}"
        raise NotTheseAnswers(f"A valueCoding of our answers or a valueInteger from {span} is needed.", *path, 0)
    return value


def _moment(text: object) -> datetime:
    try:
        moment = parse_datetime(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise NotTheseAnswers("When it was answered, with its offset: 2026-03-01T18:05:00+01:00.", "authored")
    return moment


def _language(code: object) -> str:
    """The main language of a BCP 47 code."""
    if not isinstance(code, str):
        raise NotTheseAnswers("A language code is needed.", "language")
    return code.partition("-")[0].lower()[:2]
