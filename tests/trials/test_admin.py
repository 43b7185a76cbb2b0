import pytest
from django.contrib import admin
from django.urls import reverse

from mhealth.platform.models import AuditEvent
from mhealth.trials import services
from mhealth.trials.models import Enrolment, Slot, Trial
from mhealth.trials.services.enrolment import StratumExhausted
from tests import factories as people
from tests.trials import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, settings):
    """`desk(tom)` is the admin as that member of staff sees it."""
    settings.STAFF_SECOND_FACTOR = False

    def sit_down(user):
        client.logout()
        client.post("/accounts/login/", {"login": user.email, "password": "correct horse battery"})
        return client

    return sit_down


def step(desk, row, name: str, **fields):
    url = reverse(f"admin:trials_{row._meta.model_name}_{name}", args=[row.pk])
    return desk.post(url, {"_form_submitted": "true"} | fields)


def page(desk, trial) -> str:
    return desk.get(reverse("admin:trials_trial_change", args=[trial.pk])).content.decode()


def test_a_trial_goes_from_draft_to_closed_by_the_steps_that_its_state_allows(desk, tom, draft):
    desk = desk(tom)
    assert "Seal the list" in page(desk, draft)
    assert "Open enrolment" not in page(desk, draft)
    for name, status in [("seal", "ready"), ("verify", "ready"), ("start", "running"), ("close", "closed")]:
        assert step(desk, draft, name).status_code == 200
        assert Trial.objects.get().status == status
    step(desk, draft, "lock_plan")
    assert Trial.objects.get().plan_locked_at
    assert step(desk, draft, "seal").status_code == 403


def test_a_step_is_not_taken_by_following_a_link(desk, tom, draft):
    desk(tom).get(reverse("admin:trials_trial_seal", args=[draft.pk]))
    assert Trial.objects.get().status == "draft"


def test_the_page_says_what_the_set_up_lacks(desk, tom, study):
    trial = factories.trial(study, schedule=factories.SCHEDULE[:1], expected_people=60)
    shown = page(desk(tom), trial)
    assert "there would be no outcome" in shown
    assert "5.0 people expected in each of 12" in shown
    step(desk(tom), trial, "seal")
    assert Trial.objects.get().status == "draft"


def test_only_managers_of_the_study_see_the_trial(desk, tom, carol, trial):
    url = reverse("admin:trials_trial_change", args=[trial.pk])
    assert trial.title in desk(tom).get(url).content.decode()
    stranger = people.member("tess", "trial_manager", people.study("other"))
    assert desk(stranger).get(url).status_code == 302  # the admin's "does not exist"
    assert trial.title not in desk(stranger).get(reverse("admin:trials_trial_changelist")).content.decode()
    assert desk(carol).get(url).status_code == 403


def test_no_page_shows_a_slot_or_an_arm_of_a_person(desk, tom, ada, trial):
    enrolment = factories.allocated(ada, trial)
    assert not admin.site.is_registered(Slot)
    arm = enrolment.read_arm()
    shown = desk(tom).get(reverse("admin:trials_enrolment_change", args=[enrolment.pk])).content.decode()
    listed = desk(tom).get(reverse("admin:trials_enrolment_changelist")).content.decode()
    for text in (shown, listed):
        assert str(enrolment.participant) in text
        assert arm.name not in text
        assert enrolment.slot.stratum not in text
    assert Enrolment.objects.count() == 1


def test_block_sizes_are_shown_until_the_list_is_sealed(desk, tom, draft):
    assert "Block sizes" in page(desk(tom), draft)
    step(desk(tom), draft, "seal")
    assert "Block sizes" not in page(desk(tom), draft)


def test_a_manager_extends_a_list_that_ran_out(desk, tom, study, ada, ben):
    factories.load_dass21()
    trial = factories.running(study, slots_per_stratum=1)
    factories.allocated(ada, trial)
    waiting = factories.candidate(ben, trial)
    with pytest.raises(StratumExhausted):
        services.allocate(enrolment=waiting)
    assert Trial.objects.get().paused
    step(desk(tom), trial, "extend", slots_per_stratum=5)
    assert services.allocate(enrolment=waiting).slot.position == 1


def test_the_one_who_asked_does_not_approve(desk, tom, ada, trial, study):
    tess = people.member("tess", "trial_manager", study)
    enrolment = factories.allocated(ada, trial)
    asked = services.ask_to_unblind(trial=trial, by=tom, reason="in hospital", enrolment=enrolment)
    assert step(desk(tom), asked, "approve").status_code == 403
    step(desk(tess), asked, "approve")
    asked.refresh_from_db()
    assert (asked.status, asked.decided_by) == ("approved", tess)


def test_looking_through_who_is_in_a_trial_is_recorded_with_its_count_and_no_name(desk, tom, ada, ben, trial):
    enrolments = [factories.candidate(person, trial) for person in (ada, ben)]
    before = AuditEvent.objects.latest("pk").pk
    shown = desk(tom).get(reverse("admin:trials_enrolment_changelist")).content.decode()
    assert str(ada.pk)[:8] in shown
    listed = AuditEvent.objects.get(pk__gt=before)
    assert (listed.action, listed.subject, listed.details) == ("admin.listed", "trials.Enrolment", {"count": 2})
    desk(tom).get(reverse("admin:trials_enrolment_change", args=[enrolments[0].pk]))
    assert AuditEvent.objects.get(action="admin.read").subject == f"trials.Enrolment/{enrolments[0].pk}"
