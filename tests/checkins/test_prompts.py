"""Prompts drawn at random teach as plain labels; what is said unasked, or after the estimate, as what it is."""

import pytest

from emotion.reliability import Reliability
from mhealth.checkins.models import CheckIn, Correction, PersonalReliability
from tests.checkins.test_analysis import URL, analysed, correct, handed_in, known_answers  # noqa: F401

pytestmark = pytest.mark.django_db


def ask(ada, probability):
    ada.study.settings = {"prompt_probability": probability}
    ada.study.save()


def learnt() -> Reliability:
    return Reliability.from_json(PersonalReliability.objects.get().state)


def test_the_phone_is_told_what_to_ask_until_it_is_answered(ada, phone):
    client = phone(ada)
    ask(ada, 1.0)
    seen = client.get(f"{URL}{handed_in(client).pk}/").json()
    assert (seen["prompt_asked"], seen["prompt_probability"]) == (True, 1.0)
    assert seen["prompt_question"] == "What did your face and voice express?"
    assert correct(client, seen["id"], "sadness").json()["prompt_question"] is None
    ask(ada, 0.0)
    seen = client.get(f"{URL}{handed_in(client).pk}/").json()
    assert (seen["prompt_asked"], seen["prompt_question"]) == (False, None)


def test_prompts_are_drawn_with_the_stated_probability(ada, phone):
    ask(ada, 0.5)
    drawn = [handed_in(phone(ada), self_report="{}").prompt_asked for _ in range(40)]
    assert 5 < sum(drawn) < 35  # fails by chance once in a million


def test_an_answer_to_a_prompt_teaches_how_this_person_is_misread(ada, phone):
    """The face says happiness whenever the person says sadness."""
    client = phone(ada)
    ask(ada, 1.0)
    before = analysed(client)["fused"]["probabilities"]["sadness"]
    for _ in range(6):
        correct(client, analysed(client)["id"], "sadness")
    assert set(learnt().readings) == {"face", "voice"}
    assert analysed(client)["fused"]["probabilities"]["sadness"] > before


def test_what_was_said_after_the_estimate_is_no_answer_to_the_prompt(ada, phone):
    client = phone(ada)
    ask(ada, 1.0)
    check_in = analysed(client)["id"]

    def put(prompted):
        body = {"labels": ["sadness"], "prompted": prompted}
        assert client.put(f"{URL}{check_in}/correction/", body, format="json").status_code == 200
        return learnt()

    asked, unasked = put(True), put(False)
    assert asked.accuracy("face") < unasked.accuracy("face")  # a plain label speaks against the face
    assert asked.readings
    assert not unasked.readings
    assert Correction.objects.get().prompted is False


def test_nobody_answers_a_prompt_that_was_not_drawn(ada, phone):
    client = phone(ada)
    ask(ada, 0.0)
    check_in = analysed(client)["id"]
    body = {"labels": ["sadness"], "prompted": True}
    refused = client.put(f"{URL}{check_in}/correction/", body, format="json")
    assert (refused.status_code, refused.json()["type"].rsplit(":")[-1]) == (409, "not-prompted")
    assert client.put(f"{URL}{check_in}/correction/", body | {"prompted": False}, format="json").status_code == 200


def test_contributions_are_stored_with_the_estimate(ada, phone):
    fused = analysed(phone(ada))["fused"]
    assert set(fused["contributions"]) == {"face", "voice"}
    assert CheckIn.objects.get().fused["contributions"] == fused["contributions"]
