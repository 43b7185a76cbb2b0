"""A translation that is not validated, and an item whose wording was not checked, are marked wherever they leave."""

import csv
import json

import pytest
from fhir.resources.R4B import get_fhir_model_class

from mhealth.outcomes import fhir
from mhealth.outcomes.models import InstrumentVersion, Response
from tests.outcomes import instruments

pytestmark = pytest.mark.django_db
NOT_VALIDATED = {"url": "urn:mhealth:fhir:translation-not-validated", "valueBoolean": True}
NOT_CHECKED = {"url": "urn:mhealth:fhir:wording-not-checked", "valueBoolean": True}


@pytest.fixture
def version(story) -> InstrumentVersion:
    """The DASS-21 of the story in English, and in a German that nobody validated, its second item not compared."""
    version = InstrumentVersion.objects.get()
    german = instruments.text("de", n_items=21, options=4, validated=False)
    german["items"] = [item | {"checked": item["number"] != 2} for item in german["items"]]
    version.texts |= {"de": german}
    version.save(update_fields=["texts"])
    return version


def test_a_questionnaire_marks_its_translation_and_its_unchecked_item(version):
    german, english = (fhir.questionnaire(version, language) for language in ("de", "en"))
    assert german["extension"] == [NOT_VALIDATED]
    assert {item["linkId"] for item in german["item"] if item.get("extension") == [NOT_CHECKED]} == {"q2"}
    assert "extension" not in english
    assert [item for item in english["item"] if "extension" in item] == []
    for resource in (german, english):
        get_fhir_model_class("Questionnaire").model_validate(resource)


def test_exported_answers_say_their_language_and_that_it_is_not_validated(version, export):
    Response.objects.filter(answered_at=Response.objects.latest("answered_at").answered_at).update(language="de")
    Response.objects.exclude(language="de").update(language="en")
    folder = export()
    answers = [json.loads(line) for line in (folder / "QuestionnaireResponse.ndjson").read_text().splitlines()]
    marked = {resource["language"]: NOT_VALIDATED in resource["extension"] for resource in answers}
    assert marked == {"de": True, "en": False}
    for resource in answers:
        get_fhir_model_class("QuestionnaireResponse").model_validate(resource)


def test_the_codebook_says_of_every_item_what_is_not_sure_of_its_words(version, export):
    with open(export() / "codebook.csv", encoding="utf-8", newline="") as file:
        wording = {row["column"]: row["wording"] for row in csv.DictReader(file)}
    assert wording["dass21_q1"] == "translation not validated: de"
    assert wording["dass21_q2"] == "translation not validated: de; wording not checked: de"
    assert wording["dass21_depression"] == ""
