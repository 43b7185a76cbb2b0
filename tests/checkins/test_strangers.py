"""A check-in with music in place of a voice: an estimate that names nothing, and a sentence that says what to do."""

import numpy as np
import pytest

from emotion.estimate import Estimate
from emotion.strangers import CODES, Guard
from mhealth.checkins import reasons, tasks
from mhealth.checkins.models import CheckIn
from tests.checkins import samples

pytestmark = pytest.mark.django_db
URL = "/api/v1/check-ins/"


def read(modality: str, data: bytes) -> Estimate:
    told = Guard(modality, np.array([1.0]), 0.0, 0.5).judge(np.array([[2.0]]))[0]
    return Estimate(np.full(7, 1 / 7), 0.1, f"{modality}-known", abstained=True, details={"stranger": told})


@pytest.mark.parametrize(("language", "word"), [("en", "music"), ("de", "Musik"), ("es", "música")])
def test_a_stranger_is_abstained_on_and_the_person_is_told_what_to_do(ada, phone, settings, language, word):
    settings.CHECKIN_READER = f"{__name__}.read"
    settings.AFTER_ANALYSIS = []
    client = phone(ada)
    answer = client.post(URL, samples.upload(voice=samples.recording()), format="multipart")
    tasks.analyse(check_in_id=str(CheckIn.objects.get(pk=answer.json()["id"]).pk))
    seen = client.get(f"{URL}{answer.json()['id']}/", headers={"accept-language": language}).json()
    (voice,) = seen["estimates"]
    assert voice["abstained"]
    assert seen["fused"]["abstained"]
    assert voice["reason"] == "not_speech"
    assert word in voice["advice"]


def test_every_code_of_a_stranger_has_advice():
    assert set(CODES.values()) <= set(reasons.ADVICE)
