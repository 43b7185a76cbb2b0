"""Questionnaires in FHIR R4: read an instrument, send answers, read scores."""

from datetime import UTC, datetime, timedelta

import pytest
from fhir.resources.R4B import get_fhir_model_class

from mhealth.outcomes.models import InstrumentVersion, Response
from mhealth.safety.models import RiskEvent
from tests.outcomes.test_questionnaires_api import plan, send

pytestmark = pytest.mark.django_db
URL = "/api/v1/fhir/"
FHIR = "application/fhir+json"
ANSWERS = [1] * 20 + [None]


def resource(row=ANSWERS, **changes) -> dict:
    items = [
        {"linkId": f"q{n}", "answer": [{"valueCoding": {"code": str(value)}}]}
        for n, value in enumerate(row, start=1)
        if value is not None
    ]
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "urn:mhealth:fhir:Questionnaire:dass21|1",
        "status": "completed",
        "authored": datetime.now(UTC).isoformat(),
        "item": items,
    } | changes


def put(client, occasion, body):
    return client.put(f"{URL}QuestionnaireResponse/{occasion.pk}/", body, format="json", headers={"Accept": FHIR})


def well_formed(answer) -> dict:
    body = answer.json()
    get_fhir_model_class(body["resourceType"]).model_validate(body)
    return body


def test_an_instrument_is_read_as_a_questionnaire_in_my_language(ada, ben, phone, loaded):
    plan(ada, 1)
    answer = phone(ada).get(f"{URL}Questionnaire/dass21/1/", headers={"Accept": FHIR, "Accept-Language": "de"})
    assert (answer.status_code, answer["Content-Type"], answer["Content-Language"]) == (200, FHIR, "de")
    body = well_formed(answer)
    assert (body["url"], body["version"]) == ("urn:mhealth:fhir:Questionnaire:dass21", "1")
    assert body["extension"] == [{"url": "urn:mhealth:fhir:translation-not-validated", "valueBoolean": True}]
    assert [item["type"] for item in body["item"]] == ["display"] + ["choice"] * 21
    assert body["item"][21]["text"] == "Statement 21 (de)"
    options = [each["valueCoding"] for each in body["item"][1]["answerOption"]]
    assert [(o["code"], o["extension"][0]["valueDecimal"]) for o in options] == [(str(n), n) for n in range(4)]
    assert phone(ben).get(f"{URL}Questionnaire/dass21/1/").status_code == 404, "ben is asked nothing"


def test_an_instrument_that_is_worded_in_no_language_is_not_there(ada, phone, loaded):
    plan(ada, 1)
    InstrumentVersion.objects.update(texts={})
    assert phone(ada).get(f"{URL}Questionnaire/dass21/1/").status_code == 404


def test_answers_sent_as_fhir_are_those_of_the_phone(ada, ben, phone, loaded):
    occasion = plan(ada, 1)
    stored = put(phone(ada), occasion, resource())
    assert stored.status_code == 201
    body = well_formed(stored)
    assert len(body["item"]) == 20
    assert Response.objects.get().answers == ANSWERS
    assert Response.objects.get().in_window
    assert put(phone(ada), occasion, resource()).status_code == 200, "the same answers again"
    assert send(phone(ada), occasion, ANSWERS).status_code == 200, "and through the other door"
    refused = put(phone(ada), occasion, resource([2] * 21))
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:mhealth:problem:answers-differ")
    read = phone(ada).get(f"{URL}QuestionnaireResponse/{occasion.pk}/")
    assert well_formed(read) == body
    assert put(phone(ben), occasion, resource()).status_code == 404
    assert phone(ben).get(f"{URL}QuestionnaireResponse/{occasion.pk}/").status_code == 404


def test_answers_that_are_read_back_can_be_sent_again(ada, phone, loaded):
    occasion = plan(ada, 1)
    put(phone(ada), occasion, resource())
    read = phone(ada).get(f"{URL}QuestionnaireResponse/{occasion.pk}/").json()
    assert put(phone(ada), occasion, read).status_code == 200
    assert Response.objects.count() == 1


def test_answers_sent_as_fhir_are_screened_and_judged_by_their_window(ada, phone, loaded):
    too_early = plan(ada, -10)
    kept = put(phone(ada), too_early, resource([0] * 20 + [3], language="de-AT"))
    assert (kept.status_code, kept.json()["type"]) == (409, "urn:mhealth:problem:occasion-not-open")
    assert kept.json()["stored"] is True
    read = phone(ada).get(f"{URL}QuestionnaireResponse/{too_early.pk}/").json()
    said = {each["url"].rpartition(":")[2]: each["valueBoolean"] for each in read["extension"]}
    assert said == {"in-window": False, "translation-not-validated": True}
    response = Response.objects.get()
    assert (response.why_out, response.language) == ("too_early", "de")
    assert RiskEvent.objects.get().participant == ada, "out of the window, and screened all the same"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"resourceType": "Patient"}, "/resourceType"),
        ({"questionnaire": "urn:mhealth:fhir:Questionnaire:dass21|2"}, "/questionnaire"),
        ({"status": "in-progress"}, "/status"),
        ({"authored": "2026-03-01"}, "/authored"),
        ({"authored": "2026-13-01T10:00:00Z"}, "/authored"),
        ({"item": {}}, "/item"),
        ({"item": [{"linkId": "q22", "answer": [{"valueInteger": 1}]}]}, "/item/0/linkId"),
        ({"item": [{"linkId": "q1", "answer": []}]}, "/item/0/answer"),
        ({"item": [{"linkId": "q1", "answer": [{"valueInteger": 4}]}]}, "/item/0/answer/0"),
        ({"item": [{"linkId": "q1", "answer": [{"valueInteger": True}]}]}, "/item/0/answer/0"),
        ({"item": [{"linkId": "q1", "answer": [{"valueCoding": {"system": "x", "code": "1"}}]}]}, "/item/0/answer/0"),
        ({"item": [{"linkId": "q1", "item": [{"linkId": "q2", "answer": 1}]}]}, "/item/0/item/0/answer"),
        ({"item": [{"linkId": "q1"}, {"linkId": "q1"}]}, "/item/1"),
    ],
)
def test_what_is_not_an_answer_is_refused_with_its_place(ada, phone, loaded, changes, pointer):
    refused = put(phone(ada), plan(ada, 1), resource(**changes))
    assert (refused.status_code, [error["pointer"] for error in refused.json()["errors"]]) == (422, [pointer])
    assert not Response.objects.exists()


def test_scores_are_observations_where_the_study_shows_scores(ada, ben, phone, loaded, study):
    occasion = plan(ada, 1)
    put(phone(ada), occasion, resource([1] * 18 + [None, None, 1]))  # two of anxiety are missing
    hidden = phone(ada).get(f"{URL}Observation/")
    assert (hidden.status_code, hidden.json()["type"]) == (403, "urn:mhealth:problem:scores-not-shown")
    study.settings = {"show_scores": True}
    study.save()
    shown = well_formed(phone(ada).get(f"{URL}Observation/"))
    found = {each["resource"]["code"]["coding"][0]["code"]: each["resource"] for each in shown["entry"]}
    assert found["depression"]["valueQuantity"]["value"] == 14
    assert found["depression"]["code"]["coding"][1]["code"] == "416954004"
    assert found["depression"]["derivedFrom"] == [{"reference": f"QuestionnaireResponse/{occasion.pk}"}]
    assert found["anxiety"]["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
    assert well_formed(phone(ada).get(f"{URL}Observation/?code=stress"))["total"] == 1
    assert well_formed(phone(ben).get(f"{URL}Observation/"))["total"] == 0


def test_answers_after_the_end_of_participation_are_refused_as_ever(ada, phone, loaded):
    occasion = plan(ada, 1)
    ada.status, ada.stopped_at = "stopped", datetime.now(UTC) - timedelta(hours=1)
    ada.save()
    refused = put(phone(ada), occasion, resource())
    assert (refused.status_code, Response.objects.count()) == (403, 0)
