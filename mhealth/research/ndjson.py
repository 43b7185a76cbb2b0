"""The same answers and scores as FHIR R4, one resource a line. No dates: days stand in extensions of ours."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from mhealth.outcomes import fhir
from mhealth.research.chunk import Answered
from mhealth.research.cohort import Cohort, Person

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
FILES = ("CodeSystem", "Questionnaire", "QuestionnaireResponse", "Observation")
EXTENSIONS = {
    "arm": "valueString",
    "occasion": "valueString",
    "day": "valueInteger",
    "day_from_consent": "valueInteger",
}


def write(cohort: Cohort, folder: Path) -> None:
    """<resource type>.ndjson of each type, empty where there is nothing."""
    with ExitStack() as files:
        out = {
            kind: files.enter_context(open(folder / f"{kind}.ndjson", "w", encoding="utf-8", newline="\n"))
            for kind in FILES
        }
        for resource in resources(cohort):
            out[resource["resourceType"]].write(encode(resource) + "\n")


def resources(cohort: Cohort) -> Iterator[fhir.Resource]:
    for version in cohort.versions:
        yield from fhir.code_systems(version)
        if version.texts:
            yield fhir.questionnaire(version, "en" if "en" in version.texts else next(iter(version.texts)))
    for person in cohort.people:
        for response in cohort.responses(person):
            yield from _answered(cohort, person, response)


def _answered(cohort: Cohort, person: Person, response: Answered) -> Iterator[fhir.Resource]:
    occasion = response.occasion
    version = occasion.version
    place = cohort.occasions(person).index(occasion) + 1
    subject = {"identifier": {"system": f"{fhir.OURS}:study:{cohort.trial.study.slug}", "value": person.code}}
    about = {"subject": subject, "extension": _extensions(person, response)}
    response_id = f"{person.code}-{place}-{version.instrument.slug}"[:64]
    spoken = {"language": response.language} if response.language else {}
    marked = about["extension"] + fhir.not_validated(version, response.language)
    answered = about | {"extension": marked} | spoken
    yield fhir.questionnaire_response(version, response.answers, resource_id=response_id, **answered)
    for score in response.scored.values():
        yield fhir.observation(version, score, response_id=response_id, **about)


def _extensions(person: Person, response: Answered) -> list[dict]:
    said = {"arm": person.arm, "occasion": response.occasion.name, **person.days(response.answered_at)}
    return [
        {"url": f"{fhir.OURS}:{name.replace('_', '-')}", EXTENSIONS[name]: value}
        for name, value in said.items()
        if value not in (None, "")
    ]
