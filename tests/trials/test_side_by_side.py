"""One person of a masked trial, as a researcher, a clinician and an unblinded manager see her at the same moment."""

import csv
import uuid

import pytest
from django.core.management import call_command
from django.urls import reverse

from interventions import services as interventions
from mhealth.trials import services
from tests import factories as people
from tests.interventions import factories as content
from tests.trials.test_admin import desk  # noqa: F401 (a fixture)

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene(carol, eve, finn, ada, tom, study):
    """Ada in an arm, with a decision made; Tom asked to be told her arm, and Tess agreed."""
    content.shelf(carol, [eve, finn])
    trial = content.running_trial(study)
    enrolment = content.enrolled_in(ada, trial, "fixed_sequence")
    decision = interventions.decide(participant=ada, moment=f"asked:{uuid.uuid4()}")
    asked = services.ask_to_unblind(trial=trial, by=tom, reason="in hospital", enrolment=enrolment)
    tess = people.member("tess", "trial_manager", study)
    services.decide_unblinding(request=asked, by=tess, approve=True)
    return trial, enrolment, decision, asked, tess


def telling(decision) -> list[str]:
    """What would tell the arm or how it chose: policy, seed, headings of scores and probabilities."""
    return ["fixed sequence", "fixed_sequence", str(decision.record["choice"]["seed"]), "Probability", "Candidates"]


def test_in_the_admin_the_manager_reads_the_trace_the_clinician_what_was_offered_the_researcher_nothing(
    desk,  # noqa: F811
    scene,
    tom,
    carol,
    rae,
):
    _, _, decision, _, tess = scene
    url = reverse("admin:interventions_decision_change", args=[decision.pk])
    seen = {user: desk(user).get(url, follow=True).content.decode() for user in (tom, carol, rae, tess)}
    assert all(word in seen[tom] for word in telling(decision) if word != "fixed_sequence")
    assert decision.version.title in seen[carol]
    for user in (carol, rae, tess):
        assert not [word for word in telling(decision) if word in seen[user]], user
    for user in (rae, tess):
        assert decision.version.title not in seen[user]


def test_by_the_api_the_arm_is_told_to_the_manager_who_asked_and_to_nobody_else(phone, scene, ada, tom, carol, rae):
    trial, enrolment, decision, asked, tess = scene
    request = f"/api/v1/trials/{trial.slug}/unblinding-requests/{asked.pk}/"
    assert phone(tom).get(request).json()["arm"] == enrolment.read_arm().name
    assert phone(tess).get(request).json()["arm"] is None
    for user in (carol, rae, ada):
        assert phone(user).get(request).status_code == 403
    listed = phone(tom).get(f"/api/v1/trials/{trial.slug}/enrolments/").content.decode()
    assert str(ada.pk) in listed
    assert not [word for word in telling(decision) if word in listed]


def test_in_an_export_the_researcher_sees_a_letter_in_place_of_the_arm(scene, rae, tmp_path):
    trial, enrolment, decision, _, _ = scene
    call_command(
        "export_trial", trial.slug, out=tmp_path / "package", by=rae.email, reason="interim look", formats=["csv"]
    )
    files = {path.name: path.read_text() for path in tmp_path.rglob("*.csv")}
    (row,) = csv.DictReader(files["people.csv"].splitlines())
    assert row["arm"] == trial.labels()[enrolment.read_arm().pk]
    assert row["arm"] in "AB"
    for name, text in files.items():
        if name != "codebook.csv":
            assert not [word for word in telling(decision) if word in text], name
