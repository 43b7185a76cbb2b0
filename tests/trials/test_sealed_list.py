import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.utils import timezone

from mhealth.outcomes.models import InstrumentVersion
from mhealth.platform.models import AuditEvent
from mhealth.trials import checks, services
from mhealth.trials.models import Arm, Slot, Trial
from mhealth.trials.services.setup import SetupIncomplete, WrongState
from tests.trials import factories

pytestmark = pytest.mark.django_db


def test_a_sealed_list_verifies_row_by_row(draft):
    trial = services.seal_list(trial=draft)
    verification = services.verify_list(trial=trial)
    assert verification.holds
    assert verification.n_slots == 2 * 2 * 3 * 20  # sites, severities, sexes, slots


def test_the_verifier_finds_two_exchanged_arms(draft):
    trial = services.seal_list(trial=draft)
    stratum = trial.slots.filter(stratum="north|low|female")
    one = next(slot for slot in stratum if slot.arm_index() == 0)
    other = next(slot for slot in stratum if slot.arm_index() == 1)
    for slot, arm_index in ((one, 1), (other, 0)):
        slot.seal_arm(arm_index)
        slot.save()
    found = services.verify_list(trial=trial)
    assert found.differences == sorted(("north|low|female", slot.position) for slot in (one, other))
    assert not found.holds


def test_a_ciphertext_moved_to_another_slot_does_not_open_there(draft):
    trial = services.seal_list(trial=draft)
    first, second = trial.slots.filter(stratum="north|low|female").order_by("position")[:2]
    Slot.objects.filter(pk=second.pk).update(sealed_arm=first.sealed_arm)
    assert services.verify_list(trial=trial).differences == [("north|low|female", 1)]


def test_the_verifier_finds_a_missing_slot_and_one_taken_out_of_turn(ada, trial):
    enrolment = factories.allocated(ada, trial)
    assert services.verify_list(trial=trial).holds
    Slot.objects.filter(taken_by=enrolment).update(taken_by=None)
    Slot.objects.filter(stratum="north|high|female", position=3).update(taken_by=enrolment)
    assert services.verify_list(trial=trial).gaps == ["north|high|female"]
    Slot.objects.filter(stratum="south|low|male", position=19).delete()
    assert services.verify_list(trial=trial).differences == [("south|low|male", 19)]


def test_exchanged_arms_of_the_trial_break_the_commitment(draft):
    trial = services.seal_list(trial=draft)
    Arm.objects.filter(trial=trial, position=0).update(policy="fixed_sequence")
    assert not services.verify_list(trial=trial).commitment_holds


def test_the_commitment_is_in_the_audit_and_tells_no_arm(draft, tom):
    trial = services.seal_list(trial=draft, by=tom)
    event = AuditEvent.objects.get(action="trial.list_sealed")
    assert event.details == {
        "commitment": trial.commitment,
        "slots": 240,
        "questionnaires": {"dass21": "1"},
    }
    other = services.seal_list(trial=factories.trial(trial.study, "calm-2"))
    assert len(trial.commitment) == 64
    assert other.commitment != trial.commitment


def test_extending_keeps_every_slot_and_continues_the_same_list(draft):
    trial = services.seal_list(trial=draft)
    before = {(slot.stratum, slot.position): slot.arm_index() for slot in trial.slots.all()}
    trial = services.extend_list(trial=trial, slots_per_stratum=50)
    after = {(slot.stratum, slot.position): slot.arm_index() for slot in trial.slots.all()}
    assert len(after) == 12 * 50
    assert before.items() <= after.items()
    with pytest.raises(WrongState):
        services.extend_list(trial=trial, slots_per_stratum=50)


def test_a_list_is_sealed_once(draft):
    services.seal_list(trial=draft)
    seed = Trial.objects.get().seed()
    with pytest.raises(WrongState):
        services.seal_list(trial=draft)
    assert Trial.objects.get().seed() == seed


def test_after_sealing_the_design_and_the_arms_cannot_change(draft):
    draft.stratify_by = ["site"]
    draft.full_clean()
    draft.save()
    trial = services.seal_list(trial=draft)
    trial.title = "A better title"
    trial.full_clean()
    trial.stratify_by = ["sex"]
    with pytest.raises(ValidationError, match="strata by cannot change"):
        trial.full_clean()
    with pytest.raises(ValidationError, match="arms cannot change"):
        trial.arms.first().full_clean()


@pytest.mark.parametrize(
    ("field", "value", "label"),
    [
        ("schedule", [*factories.SCHEDULE, factories.SCHEDULE[2] | {"name": "week 9", "day": 63}], "questionnaires"),
        ("eligibility", [{"fact": "age", "at_least": 16}], "who may take part"),
        ("baseline_instrument", "sus", "baseline questionnaire"),
        ("instrument_versions", {"dass21": "2"}, "versions of the questionnaires"),
        ("slots_per_stratum", 30, "slots in each stratum"),
    ],
)
def test_after_sealing_who_may_enter_and_what_is_asked_cannot_change(draft, field, value, label):
    if field != "instrument_versions":
        setattr(draft, field, value)
        draft.full_clean()
    trial = services.seal_list(trial=Trial.objects.get())
    trial.full_clean()
    setattr(trial, field, value)
    with pytest.raises(ValidationError, match=f"the design is frozen: {label} cannot change"):
        trial.full_clean()


def test_a_new_version_of_a_questionnaire_is_for_the_trials_sealed_after_it(ada, ben, trial):
    """What people of one trial are asked does not change with what is loaded meanwhile."""
    asked = InstrumentVersion.objects.get()
    newer = InstrumentVersion.objects.create(
        instrument=asked.instrument, version="2", definition=asked.definition, loaded_at=timezone.now()
    )
    factories.allocated(ada, trial)
    assert set(ada.occasions.values_list("version", "name")) == {
        (asked.pk, name) for name in ("baseline", "week 2", "week 4")
    }
    later = factories.running(trial.study, slug="calm-2")
    assert later.instrument_versions == {"dass21": "2"}
    factories.allocated(ben, later)
    assert set(ben.occasions.values_list("version", flat=True)) == {newer.pk}


def test_a_baseline_by_another_version_does_not_count(ada, trial):
    asked = InstrumentVersion.objects.get()
    enrolment = factories.candidate(ada, trial)
    other = InstrumentVersion.objects.create(instrument=asked.instrument, version="0", definition=asked.definition)
    ada.occasions.update(version=other)
    with pytest.raises(services.enrolment.UnscorableBaseline):
        services.allocate(enrolment=enrolment)
    ada.occasions.update(version=asked)
    assert services.allocate(enrolment=enrolment).allocated_at


def test_a_locked_plan_cannot_change(draft):
    draft.analysis_plan = "ANCOVA and a mixed model."
    draft.save()
    trial = services.lock_plan(trial=draft)
    trial.full_clean()
    trial.analysis_plan = "Whatever is significant."
    with pytest.raises(ValidationError, match="locked"):
        trial.full_clean()
    with pytest.raises(WrongState):
        services.lock_plan(trial=trial)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"block_sizes": [3]}, "multiples of 2"),
        ({"arms": (("personalised", 1),)}, "two or more arms"),
        ({"severity_cuts": []}, "one or two cuts"),
        ({"schedule": factories.SCHEDULE[1:]}, "no baseline dass21"),
        ({"schedule": factories.SCHEDULE[:1]}, "no outcome"),
        ({"schedule": [*factories.SCHEDULE, factories.SCHEDULE[0]]}, "same name"),
        ({"eligibility": [{"fact": "star sign", "is": "leo"}]}, 'must name a "fact"'),
        ({"eligibility": [{"fact": "sex", "at_least": 3}]}, "not a number"),
    ],
)
def test_a_list_is_not_sealed_while_something_is_missing(study, fields, says):
    with pytest.raises(SetupIncomplete, match=says):
        services.seal_list(trial=factories.trial(study, **fields))
    assert not Slot.objects.exists()


def test_the_set_up_check_warns_of_thin_strata(study):
    thin = factories.trial(study, expected_people=60)  # twelve strata of five people; blocks of up to six
    assert any("5.0 people expected in each of 12, fewer than 12" in f.text for f in checks.findings(thin))
    wide = factories.trial(study, "wide", expected_people=60, stratify_by=["site"], slots_per_stratum=60)
    assert not any("Thin strata" in finding.text or "Few slots" in finding.text for finding in checks.findings(wide))


def test_labels_are_a_shuffle_that_stays(draft):
    trial = services.seal_list(trial=draft)
    assert sorted(trial.labels().values()) == ["A", "B"]
    assert Trial.objects.get().labels() == trial.labels()


def test_the_command_verifies_and_names_what_differs(draft, capsys):
    with pytest.raises(CommandError, match="not been sealed"):
        call_command("verify_allocation", "calm-1")
    trial = services.seal_list(trial=draft)
    call_command("verify_allocation", "calm-1")
    assert "240 slots are as the seed gives them" in capsys.readouterr().out
    trial.slots.filter(stratum="south|low|male", position=19).delete()
    with pytest.raises(CommandError, match=r"does not verify: slot south\|low\|male 19") as refused:
        call_command("verify_allocation", "calm-1")
    assert refused.value.returncode == 1
    with pytest.raises(CommandError, match="no trial nowhere"):
        call_command("verify_allocation", "nowhere")
