"""Risk events: raised once per rule, red until a human closes them, every step on record."""

from datetime import timedelta

import pytest
from django.utils import timezone

from mhealth.platform import audit
from mhealth.platform.models import AuditEvent
from mhealth.safety import services
from mhealth.safety.models import RiskEvent, RiskMove

pytestmark = pytest.mark.django_db
WAY = ["acknowledged", "action", "contacted", "closed"]


def walk(event, user, *states):
    for state in states:
        event = services.move(event=event, to_state=state, user=user)
    return event


def test_an_event_has_a_clock_by_its_severity(ada, raised):
    before = timezone.now()
    clocks = {s: raised(ada, severity=s, rule=s).act_by - before for s in ("severe", "prompt", "routine")}
    assert {s: round(clock / timedelta(hours=1)) for s, clock in clocks.items()} == {
        "severe": 1,
        "prompt": 24,
        "routine": 168,
    }


def test_a_study_may_ask_for_faster_action_but_not_for_slower(ada, ben, study, raised):
    study.settings = {"risk": {"act_within_minutes": {"severe": 15, "prompt": 99999}}}
    study.save()
    ada.refresh_from_db()
    assert raised(ada).act_within() == timedelta(minutes=15)
    assert raised(ada, severity="prompt", rule="other").act_within() == timedelta(hours=24)


@pytest.mark.parametrize("slip", ["x", {"act_within_minutes": 5}, {"act_within_minutes": {"severe": "soon"}}])
def test_a_slip_in_the_settings_leaves_the_clock_as_it_is(ada, study, raised, slip):
    study.settings = {"risk": slip}
    study.save()
    assert raised(ada).act_within() == timedelta(hours=1)


def test_a_repeat_joins_the_unclosed_event_of_its_rule(ada, ben, raised):
    first = raised(ada)
    again = raised(ada, evidence={"item_21": 3, "week": 2})
    assert (again.pk, again.repeats, again.evidence["week"]) == (first.pk, 1, 2)
    assert raised(ben).pk != first.pk
    assert raised(ada, rule="dass21.worsening").pk != first.pk
    assert RiskEvent.objects.count() == 3


def test_after_closing_a_repeat_opens_a_new_event(ada, carol, raised):
    first = walk(raised(ada), carol, *WAY)
    assert not first.is_red
    assert raised(ada).pk != first.pk


def test_a_worse_repeat_raises_the_severity_and_starts_the_clock_again(ada, carol, raised):
    event = walk(raised(ada, severity="prompt"), carol, "acknowledged")
    worse = raised(ada, severity="severe")
    assert (worse.pk, worse.severity, worse.state) == (event.pk, "severe", "open")
    assert worse.act_by < event.act_by


def test_a_milder_repeat_leaves_severity_and_state_alone(ada, carol, raised):
    event = walk(raised(ada), carol, "acknowledged")
    milder = raised(ada, severity="prompt", evidence={"item_21": 2})
    assert (milder.severity, milder.state, milder.evidence) == ("severe", "acknowledged", {"item_21": 3})
    assert milder.act_by == event.act_by


def test_a_repeat_of_what_somebody_acknowledged_opens_it_again(ada, carol, raised):
    walk(raised(ada), carol, "acknowledged", "action")
    assert raised(ada).state == "open", "what they looked at is no longer all there is"


def test_a_routine_repeat_does_not_open_again_what_somebody_looked_at(ada, carol, raised):
    walk(raised(ada, severity="routine", rule="band"), carol, "acknowledged")
    assert raised(ada, severity="routine", rule="band").state == "acknowledged"


def test_an_event_is_red_until_a_human_has_walked_it_to_closed(ada, carol, raised):
    event = raised(ada)
    for state in WAY:
        assert event.is_red
        event = services.move(event=event, to_state=state, user=carol)
    assert not event.is_red
    assert event.closed_at is not None
    assert [move.to_state for move in RiskMove.objects.all()] == WAY


@pytest.mark.parametrize(
    ("way", "forbidden"),
    [
        ([], "closed"),
        ([], "action"),
        (["acknowledged"], "closed"),
        (["acknowledged"], "contacted"),
        (["acknowledged", "action"], "closed"),
        (WAY, "open"),
    ],
)
def test_no_step_can_be_left_out(ada, carol, raised, way, forbidden):
    event = walk(raised(ada), carol, *way)
    with pytest.raises(services.MoveNotAllowed):
        services.move(event=event, to_state=forbidden, user=carol)
    event.refresh_from_db()
    assert event.state == (way[-1] if way else "open")


@pytest.mark.parametrize("severity", ["severe", "prompt", "routine"])
def test_from_every_state_exactly_the_steps_of_the_protocol_are_possible(severity):
    allowed = {state: set(RiskEvent(severity=severity, state=state).allowed_moves()) for state in ["open", *WAY]}
    shortcut = {"closed"} if severity == "routine" else set()
    assert allowed == {
        "open": {"acknowledged"},
        "acknowledged": {"action"} | shortcut,
        "action": {"action", "contacted"} | shortcut,
        "contacted": {"closed"},
        "closed": set(),
    }


def test_a_routine_event_may_be_closed_once_somebody_has_looked(ada, carol, raised):
    event = walk(raised(ada, severity="routine", rule="band"), carol, "acknowledged", "closed")
    assert not event.is_red


def test_of_two_people_who_move_an_event_at_once_one_is_refused(ada, carol, raised):
    event = raised(ada)
    stale = RiskEvent.objects.get(pk=event.pk)
    services.move(event=event, to_state="acknowledged", user=carol)
    with pytest.raises(services.MoveNotAllowed):
        services.move(event=stale, to_state="acknowledged", user=carol)
    assert RiskMove.objects.count() == 1


def test_every_step_is_in_the_audit_chain_with_who(ada, carol, raised):
    event = walk(raised(ada), carol, "acknowledged", "action")
    trail = AuditEvent.objects.filter(subject=event.subject).values_list("action", "actor")
    assert list(trail) == [
        ("risk.open", "system"),
        ("risk.acknowledged", str(carol.pk)),
        ("risk.action", str(carol.pk)),
    ]
    assert audit.first_break() is None


def test_a_note_is_sealed_and_readable_on_the_step(ada, carol, raised):
    event = raised(ada)
    services.move(event=event, to_state="acknowledged", user=carol, note="called, no answer")
    step = RiskMove.objects.get()
    assert b"no answer" not in bytes(step.note_sealed)
    assert step.note == "called, no answer"


def test_the_gate_is_shut_by_an_unclosed_severe_event_only(ada, ben, carol, raised):
    raised(ada, severity="prompt", rule="other")
    assert services.open_severe(ada) is None
    event = raised(ada)
    assert services.open_severe(ada) == event
    assert services.open_severe(ben) is None
    walk(event, carol, *WAY[:3])
    assert services.open_severe(ada) == event, "contact confirmed is not closed"
    walk(RiskEvent.objects.get(pk=event.pk), carol, "closed")
    assert services.open_severe(ada) is None


def test_what_we_hold_on_a_person_is_exported_and_erased(ada, ben, carol, raised):
    from mhealth.people import registry

    event = raised(ada)
    services.move(event=event, to_state="acknowledged", user=carol, note="spoke with the GP")
    other = raised(ben)
    room = registry.rooms["safety"]
    exported = room.export(ada)["risk_events"]
    assert [row["id"] for row in exported] == [str(event.pk)]
    assert exported[0]["steps"][0]["note"] == "spoke with the GP"
    room.erase(ada)
    assert list(RiskEvent.objects.all()) == [other]
    assert not RiskMove.objects.exists()
