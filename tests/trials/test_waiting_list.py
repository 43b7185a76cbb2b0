"""What people of the open-label arms are offered when they ask for something."""

import uuid

import pytest

from interventions import services as interventions
from mhealth.trials.models import Enrolment
from tests.interventions import factories as content
from tests.trials import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("policy", "later"), [("waiting_list", "offered"), ("usual_care", "nothing_now")])
def test_a_waiting_list_is_offered_activities_from_its_cross_over_day_and_usual_care_never(
    carol, eve, finn, ada, study, policy, later
):
    content.shelf(carol, [eve, finn])
    trial = content.running_trial(study, policies=(policy, "personalised"))
    assert trial.open_label
    enrolment = content.enrolled_in(ada, trial, policy)
    for days, outcome in ((0, "nothing_now"), (55, "nothing_now"), (56, later)):
        Enrolment.objects.filter(pk=enrolment.pk).update(allocated_at=factories.local_days_ago(ada, days))
        assert interventions.decide(participant=ada, moment=f"asked:{uuid.uuid4()}").outcome == outcome


def test_the_personalised_arm_beside_a_waiting_list_is_offered_something_at_once(carol, eve, finn, ada, study):
    content.shelf(carol, [eve, finn])
    trial = content.running_trial(study, policies=("waiting_list", "personalised"))
    content.enrolled_in(ada, trial, "personalised")
    assert interventions.decide(participant=ada, moment=f"asked:{uuid.uuid4()}").outcome == "offered"
