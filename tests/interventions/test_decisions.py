import uuid
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from interventions import context, policies, services
from interventions.models import Decision, DecisionEvent, Version
from interventions.validation import State
from mhealth.checkins.models import Correction
from mhealth.people import rights
from mhealth.platform import embedded
from mhealth.platform.leases import WorkStatus
from mhealth.platform.models import DataKey
from mhealth.safety import services as safety
from mhealth.safety.models import RiskEvent
from tests.factories import consent
from tests.interventions import factories
from tests.trials import factories as trials

pytestmark = pytest.mark.django_db


def asked(person, **more) -> Decision:
    return services.decide(participant=person, moment=f"asked:{uuid.uuid4()}", **more)


def closed(decision: Decision) -> dict[str, list[str]]:
    return {c["activity"]: c["closed_by"] for c in decision.record["choice"]["candidates"]}


def test_one_check_in_makes_one_decision_however_often_and_by_whom_it_is_asked(
    shelf, ada, django_capture_on_commit_callbacks
):
    check_in = factories.checked_in(ada)
    with django_capture_on_commit_callbacks(execute=True):
        services.after_analysis(check_in.pk)
        services.after_analysis(check_in.pk)
    services.decide_due()
    embedded.run_pending()
    decision = ada.decisions.get()
    assert decision.status == WorkStatus.DONE
    record = decision.sealed_record
    again = services.decide(participant=ada, moment=f"check_in:{check_in.pk}", check_in=check_in)
    assert (again.pk, bytes(again.sealed_record)) == (decision.pk, bytes(record))


def test_the_sweep_finds_a_check_in_whose_decision_was_lost(shelf, ada, ben, django_capture_on_commit_callbacks):
    lost = factories.checked_in(ada)
    factories.checked_in(ben, late=True)
    factories.checked_in(ben, status=WorkStatus.UNUSABLE)
    factories.checked_in(ben, finished_at=timezone.now() - timedelta(days=2))
    with django_capture_on_commit_callbacks(execute=True):
        assert services.decide_due() == 1
        assert services.decide_due() == 0
    embedded.run_pending()
    assert Decision.objects.get().check_in == lost


def test_whoever_asks_gets_an_activity_and_an_after_check_in_moment_may_be_nothing_now(shelf, ada):
    assert asked(ada).record["choice"]["send_probability"] == 1
    probability = services.decide(participant=ada, moment="check_in:x").record["choice"]["send_probability"]
    assert 0.2 <= probability <= 0.8


def test_the_stored_law_is_the_sampling_law_and_names_what_was_chosen(shelf, ada):
    decision = asked(ada)
    choice = decision.record["choice"]
    law = dict(zip((c["activity"] for c in choice["candidates"]), choice["probabilities"], strict=True))
    assert sum(law.values()) == pytest.approx(1)
    assert min(law.values()) >= 0.18 / len(shelf)
    assert decision.version.activity.key == choice["activity"]
    assert choice["propensity"] == pytest.approx(law[choice["activity"]])


def test_without_a_model_clinicians_order_decides_and_says_so(shelf, ada):
    factories.checked_in(ada, factories.fused("sadness"))
    decision = asked(ada)
    choice = decision.record["choice"]
    assert (decision.record["policy"], choice["policy"]) == ("personalised", "clinician_order")
    # sadness first; the clinicians' own numbers break the tie, and put what does not fit last
    assert choice["inputs"]["order"] == ["one-pleasant-thing", "thought-record", "five-senses", "slow-breathing"]
    assert "clinician_order" in [reason["key"] for reason in decision.record["reasons"]["open"]]


@pytest.mark.parametrize("reading", [None, factories.fused(None)])
def test_an_emotion_that_says_nothing_leaves_the_order_that_clinicians_set(shelf, ada, reading):
    if reading:
        factories.checked_in(ada, reading)
    assert asked(ada).record["choice"]["inputs"]["order"] == list(factories.SHELF)


def test_an_old_check_in_is_not_used_and_a_fresh_one_is(shelf, ada):
    factories.checked_in(ada, factories.fused("fear"), minutes_ago=24 * 60)
    assert asked(ada).record["snapshot"]["source"] == "none"
    factories.checked_in(ada, factories.fused("fear"))
    assert asked(ada).record["snapshot"]["context"]["emotion"]["fear"] == pytest.approx(0.7)


def test_the_persons_own_word_counts_instead_of_the_estimate(shelf, ada):
    check_in = factories.checked_in(ada, factories.fused("happiness"))
    Correction.objects.create(check_in=check_in, labels=["sadness"])
    record = asked(ada).record
    assert record["snapshot"]["context"]["emotion"] == {"sadness": 1.0}
    assert record["reasons"]["shared"][0] == {"key": "emotion_corrected", "slots": {"emotion": "sadness"}}


def test_an_estimate_that_rests_on_a_withdrawn_scope_is_not_used(shelf, ada):
    factories.checked_in(ada, factories.fused("fear"))
    consent(ada, "voice", given=False)
    snapshot = asked(ada).record["snapshot"]
    assert (snapshot["source"], snapshot["context"]["emotion"]) == ("unreadable", None)


def test_an_uncertain_estimate_is_worded_as_uncertain(shelf, ada):
    factories.checked_in(ada, factories.fused("fear", p=0.2, abstained=True))
    assert asked(ada).record["reasons"]["shared"][0]["key"] == "emotion_uncertain"


def test_a_suspended_text_disappears_from_offers_at_once(shelf, ada, eve):
    kept = shelf["five-senses"]
    for key in set(shelf) - {kept.key}:
        services.suspend_activity(activity=shelf[key], user=eve)
    decision = asked(ada)
    assert decision.version.activity == kept
    assert closed(decision)["slow-breathing"] == ["validation"]
    services.suspend_activity(activity=kept, user=eve)
    assert asked(ada).outcome == Decision.Outcome.NOTHING_NOW


def test_an_open_severe_risk_event_leaves_grounding_alone(shelf, ada):
    before = {asked(ada).version.activity.key for _ in range(12)}
    event = safety.raise_event(participant=ada, source="test", severity="severe", rule="item-21", evidence={})
    decisions = [services.decide(participant=ada, moment=f"check_in:{n}") for n in range(5)]
    assert {d.version.activity.key for d in decisions} == {"five-senses"}
    assert closed(decisions[0])["slow-breathing"] == ["risk"]
    RiskEvent.objects.filter(pk=event.pk).update(state="closed")
    assert before | {asked(ada).version.activity.key for _ in range(12)} > {"five-senses"}


@pytest.mark.parametrize("severity", ["prompt", "routine"])
def test_a_risk_event_that_is_not_severe_closes_nothing(shelf, ada, severity):
    safety.raise_event(participant=ada, source="test", severity=severity, rule="r", evidence={})
    assert not any(closed(asked(ada)).values())


@pytest.mark.parametrize("emotion", ["fear", "sadness", "anger", "disgust"])
def test_an_emotion_changes_no_risk_event_and_no_gate(shelf, ada, emotion):
    factories.checked_in(ada, factories.fused(emotion, p=0.99))
    assert not any(closed(asked(ada)).values())
    assert not RiskEvent.objects.exists()


def test_scores_in_the_highest_band_close_what_they_speak_against(shelf, ada, study):
    trials.load_dass21()
    trial = factories.running_trial(study)
    assert closed(asked(ada))["thought-record"] == []
    factories.enrolled_in(ada, trial, "personalised")  # answers 1 to every item
    assert closed(asked(ada))["thought-record"] == []
    from mhealth.outcomes.models import ScaleScore

    ScaleScore.objects.filter(scale="depression").update(band="extremely severe")
    assert closed(asked(ada))["thought-record"] == ["contra_indication: extreme_distress"]


def test_what_was_done_today_is_not_offered_again_today(shelf, ada):
    decision = asked(ada)
    key = decision.version.activity.key
    services.record_event(decision=decision, event_id=uuid.uuid4(), kind="completed", at=timezone.now())
    assert closed(asked(ada))[key] == ["done_today"]
    tomorrow = timezone.now() + timedelta(days=1)
    assert closed(asked(ada, at=tomorrow))[key] == []


def test_the_frequency_cap_holds_back_what_nobody_asked_for(shelf, ada, study):
    study.settings = {"most_offers_per_day": 2, "send_probability": 0.8}
    study.save()
    now = timezone.now()
    for n in range(40):
        services.decide(participant=ada, moment=f"check_in:{n}", at=now)
    offered = ada.decisions.filter(outcome="offered")
    assert offered.count() == 2
    last = ada.decisions.exclude(outcome="offered").order_by("-created_at").first()
    assert set(closed(last).values() and map(tuple, closed(last).values())) == {("frequency_cap",)}
    assert asked(ada).version is not None


def test_quiet_hours_hold_back_set_times_and_no_one_who_asks(shelf, ada):
    night = timezone.now().replace(hour=2, minute=0)
    set_time = services.decide(participant=ada, moment="scheduled:2026-01-01T02:00", at=night)
    assert set(map(tuple, closed(set_time).values())) == {("quiet_hours",)}
    assert asked(ada, at=night).version is not None


def test_set_times_are_asked_for_once_on_the_persons_own_clock(shelf, ada, study, django_capture_on_commit_callbacks):
    study.settings = {"decision_times": ["09:00"]}
    study.save()
    ada.zone = "America/New_York"
    ada.save()
    nine_in_new_york = timezone.now().replace(month=1, hour=14, minute=20)
    assert services.decide_due(nine_in_new_york - timedelta(hours=1)) == 0
    assert services.decide_due(nine_in_new_york) == 1
    assert services.decide_due(nine_in_new_york + timedelta(minutes=5)) == 0
    assert ada.decisions.get().moment.endswith("T09:00")


def test_people_get_texts_of_their_own_language_alone(carol, eve, finn, ada):
    shelf = factories.shelf(carol, [eve, finn])
    factories.publish(factories.draft(shelf["five-senses"], carol, "de"), carol, [eve, finn])
    ada.language = "de"
    ada.save()
    decision = asked(ada)
    assert decision.version.language == "de"
    assert closed(decision)["slow-breathing"] == ["language"]


def test_a_clinician_pins_excludes_and_pauses_for_their_own_people_alone(shelf, ada, carol, dan):
    pin = services.choose_for(participant=ada, by=carol, kind="pin", activity=shelf["thought-record"])
    assert asked(ada).version.activity.key == "thought-record"
    assert asked(ada).record["reasons"]["open"] == [{"key": "clinician_pin", "slots": {}}]
    services.end_choice(choice=pin, by=carol)
    services.choose_for(participant=ada, by=carol, kind="exclude", activity=shelf["thought-record"])
    assert closed(asked(ada))["thought-record"] == ["excluded_by_clinician"]
    services.choose_for(participant=ada, by=carol, kind="pause")
    assert asked(ada).version is None
    with pytest.raises(services.care.NotTheirClinician):
        services.choose_for(participant=ada, by=dan, kind="pause")


def test_a_clinicians_choice_in_a_trial_is_a_recorded_deviation(shelf, ada, carol, study):
    trial = factories.running_trial(study)
    enrolment = factories.enrolled_in(ada, trial, "personalised")
    services.choose_for(participant=ada, by=carol, kind="pause")
    assert enrolment.deviations.get().kind == "clinician_pause"


def test_a_contra_indication_that_a_clinician_names_closes_what_it_is_about(shelf, ada, carol):
    tag = shelf["slow-breathing"].contra_indications.get()
    services.choose_for(participant=ada, by=carol, kind="contra_indication", contra_indication=tag)
    assert closed(asked(ada))["slow-breathing"] == ["contra_indication: respiratory"]


def test_a_candidate_gets_no_activity_until_allocated_and_then_the_policy_of_the_arm(shelf, ada, ben, study):
    trial = factories.running_trial(study)
    trials.candidate(ada, trial)
    waiting = asked(ada)
    assert waiting.outcome == Decision.Outcome.NOTHING_NOW
    assert set(map(tuple, closed(waiting).values())) == {("arm",)}
    factories.enrolled_in(ben, trial, "fixed_sequence")
    assert asked(ben).record["choice"]["policy"] == "fixed_sequence"


def test_the_fixed_sequence_goes_on_when_an_activity_was_done_or_skipped(shelf, ada, study):
    factories.enrolled_in(ada, factories.running_trial(study), "fixed_sequence")
    seen = []
    for kind in ("completed", "skipped", "completed"):
        decision = asked(ada)
        seen.append(decision.version.activity.key)
        reason = "no_time" if kind == "skipped" else ""
        services.record_event(decision=decision, event_id=uuid.uuid4(), kind=kind, at=timezone.now(), reason=reason)
    assert seen == list(factories.SHELF)[:3]


def test_a_content_freeze_holds_texts_still_but_not_a_suspension(shelf, ada, carol, eve, finn, study):
    trial = factories.running_trial(study)
    freeze = services.freeze_content(trial=trial, by=carol)
    factories.enrolled_in(ada, trial, "personalised")
    late = factories.activity("five-senses", 9, key="later")
    late_text = factories.publish(factories.draft(late, carol), carol, [eve, finn])
    assert closed(asked(ada))["later"] == ["validation"]
    assert services.freeze_content(trial=trial).pk == freeze.pk
    assert late_text not in freeze.versions.all()
    services.suspend_activity(activity=shelf["slow-breathing"], user=eve)
    assert closed(asked(ada))["slow-breathing"] == ["validation"]


def test_nothing_published_and_nobody_there_are_answered_with_nothing_now(ada):
    decision = asked(ada)
    assert (decision.outcome, decision.record["choice"]["reason"]) == ("nothing_now", "no_eligible_activity")
    assert decision.record["reasons"]["shared"] == [{"key": "nothing_now", "slots": {}}]


def test_somebody_who_left_is_offered_nothing(shelf, ada):
    assert asked(ada).version is not None
    ada.status = "stopped"
    ada.save()
    assert set(map(tuple, closed(asked(ada)).values())) == {("consent",)}


def test_the_row_itself_tells_neither_policy_nor_probabilities_nor_context(shelf, ada):
    factories.checked_in(ada, factories.fused("fear"))
    decision = asked(ada)
    assert b"clinician_order" not in bytes(decision.sealed_record)
    columns = {f.name for f in Decision._meta.fields}
    assert not columns & {"policy", "arm", "model", "scores", "probabilities", "seed", "context"}
    other = Decision.objects.create(participant=ada, moment="asked:copied", sealed_record=decision.sealed_record)
    with pytest.raises(Exception, match="interventions_decision"):  # a copied record does not open elsewhere
        _ = other.record


def test_what_was_heard_of_a_decision_does_not_depend_on_the_order_of_events(shelf, ada):
    now = timezone.now()
    decision = asked(ada)
    said = [("mood_before", 3), ("shown", None), ("completed", None), ("mood_after", 6), ("rated", 4)]
    for minutes, (kind, value) in reversed(list(enumerate(said, start=1))):
        services.record_event(
            decision=decision, event_id=uuid.uuid4(), kind=kind, at=now + timedelta(minutes=minutes), value=value
        )
    heard = decision.heard_until(now + timedelta(hours=1))
    assert (heard.completed, heard.helpfulness, heard.mood_change) == (True, 4, pytest.approx(0.3))


def test_silence_is_unknown_and_a_window_that_passes_after_it_was_shown_is_not_completed(shelf, ada):
    now = timezone.now()
    decision = asked(ada)
    assert decision.heard_until(now + timedelta(days=9)).completed is None
    services.record_event(decision=decision, event_id=uuid.uuid4(), kind="shown", at=now)
    assert decision.heard_until(now + timedelta(hours=1)).completed is None
    assert decision.heard_until(now + timedelta(days=9)).completed is False
    late = DecisionEvent.objects.create(
        id=uuid.uuid4(), decision=decision, kind="completed", at=now + timedelta(days=3)
    )
    assert late.at > now + Decision.OUTCOME_WINDOW
    assert decision.heard_until(now + timedelta(days=9)).completed is False


def test_the_snapshot_survives_json(shelf, ada):
    factories.checked_in(ada)
    first = asked(ada)
    services.record_event(decision=first, event_id=uuid.uuid4(), kind="completed", at=timezone.now())
    snapshot = context.read(ada, None, timezone.now())
    assert context.Snapshot.from_dict(snapshot.to_dict()) == snapshot
    assert snapshot.history[0].activity == first.version.activity.key
    assert snapshot.context.dose_last_7_days == 1


def test_every_activity_keeps_a_chance_and_the_first_one_has_the_best(shelf, ada):
    factories.checked_in(ada, factories.fused("sadness"))
    drawn = Counter(asked(ada).version.activity.key for _ in range(60))
    assert drawn.most_common(1)[0][0] == "one-pleasant-thing"
    assert len(drawn) > 1


def test_erasing_a_person_leaves_a_decision_without_anything_of_them(shelf, ada):
    from mhealth.people import rights

    factories.checked_in(ada)
    decision = asked(ada)
    services.record_event(decision=decision, event_id=uuid.uuid4(), kind="shown", at=timezone.now())
    rights.erase(ada)
    left = Decision.objects.get(pk=decision.pk)
    assert (left.sealed_record, left.version, left.check_in, left.outcome) == (None, None, None, "")
    assert left.moment == f"erased:{left.pk.hex}" or left.moment == f"erased:{left.pk}"
    assert not DecisionEvent.objects.exists()
    assert DataKey.objects.get(pk=ada.data_key_id).wrapped is None


def test_a_person_gets_all_that_is_held_on_their_decisions(shelf, ada):
    from mhealth.people.registry import rooms

    factories.checked_in(ada, factories.fused("fear"))
    asked(ada)
    exported = rooms["interventions"].export(ada)["decisions"][0]
    assert exported["policy"] == "personalised"
    assert exported["made_from"]["emotion"]["fear"] == pytest.approx(0.7)


def test_bands_and_targets_decide_what_an_activity_was_made_for(shelf):
    breathing = shelf["slow-breathing"]
    assert policies.scales_met(breathing, {"anxiety": "moderate"}) == ["anxiety"]
    assert policies.scales_met(breathing, {"anxiety": "normal", "depression": "severe"}) == []


def test_versions_of_every_state_but_published_stay_out_of_offers(shelf, ada):
    version = Version.objects.get(activity=shelf["slow-breathing"])
    for state in State:
        Version.objects.filter(pk=version.pk).update(state=state)
        reasons = closed(asked(ada)).get("slow-breathing", ["not a candidate"])
        assert (reasons == []) == (state == State.PUBLISHED)


class OnlyThisPolicyFails(Exception):
    pass


@pytest.mark.parametrize("policy", ["personalised", "fixed_sequence"])
def test_a_fault_of_one_policy_says_nothing_of_the_arm_in_the_table(shelf, ada, monkeypatch, policy):
    def fails(**_kwargs):
        raise OnlyThisPolicyFails(policy)

    monkeypatch.setattr("interventions.policies.choose", fails)
    with pytest.raises(OnlyThisPolicyFails):
        asked(ada)
    row = Decision.objects.get()
    assert row.status == WorkStatus.QUEUED
    assert row.fault == "could not be decided: see the worker's log"


def test_a_decision_in_the_making_when_a_person_is_erased_is_not_stored(shelf, ada, monkeypatch):
    choose = policies.choose

    def erased_before(**kwargs):
        monkeypatch.undo()
        rights.erase(ada)
        return choose(**kwargs)

    monkeypatch.setattr("interventions.policies.choose", erased_before)
    decision = asked(ada)
    assert (decision.sealed_record, decision.version, decision.outcome) == (None, None, "")
