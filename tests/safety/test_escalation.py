"""Alerts go to the person on duty first, then wider, until somebody acts."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from mhealth.people.models import User
from mhealth.platform import embedded
from mhealth.safety import escalation, services, tasks
from mhealth.safety.models import CrisisResource, Duty, RiskEvent
from tests import factories

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def on_duty(study, dan):
    now = timezone.now()
    start, end = now - timedelta(hours=1), now + timedelta(days=9)
    return Duty.objects.create(study=study, clinician=dan, starts_at=start, ends_at=end)


def recipients() -> list[set[str]]:
    return [set(message.to) for message in mail.outbox]


def test_a_severe_event_calls_duty_then_the_team_then_the_study_again_and_again(ada, carol, dan, on_duty, raised):
    event = raised(ada)
    start = event.next_alert_at
    for minutes in (0, 1, 31, 32, 61, 100, 122):
        escalation.send_due_alerts(start + minutes * MINUTE)
    assert recipients() == [
        {dan.email},
        {dan.email, carol.email},
        {carol.email, ada.study.contact_email},
        {carol.email, ada.study.contact_email},
    ]


def test_acknowledging_alone_does_not_silence_the_alarm_but_acting_does(ada, carol, on_duty, raised):
    event = raised(ada)
    event = services.move(event=event, to_state="acknowledged", user=carol)
    assert escalation.send_due_alerts(event.act_by) == 1
    services.move(event=event, to_state="action", user=carol)
    assert escalation.send_due_alerts(event.act_by + timedelta(days=2)) == 0


def test_with_nobody_on_duty_the_care_team_is_called_at_once(ada, carol, raised):
    raised(ada)
    tasks.send_alerts()
    assert recipients() == [{carol.email}]


def test_with_no_care_team_either_the_study_is_called(ada, raised):
    ada.care_team = None
    ada.save()
    raised(ada)
    tasks.send_alerts()
    assert recipients() == [{ada.study.contact_email}]


def test_a_band_alone_wakes_nobody_until_its_time_is_up(ada, carol, raised):
    event = raised(ada, severity="routine", rule="dass21.band")
    assert escalation.send_due_alerts() == 0
    assert escalation.send_due_alerts(event.act_by + MINUTE) == 1


def test_an_alert_says_nothing_about_whom_or_what(ada, raised):
    raised(ada, evidence={"item_21": 3})
    tasks.send_alerts()
    text = mail.outbox[0].subject + mail.outbox[0].body
    assert "severe" in text
    for private in (ada.user.email, ada.user.first_name, str(ada.pk), "item_21", "dass21"):
        assert private not in text


def test_a_mail_server_that_is_away_delays_an_alert_and_drops_none(ada, carol, raised, settings):
    event = raised(ada)
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # nobody listens there
    assert escalation.send_due_alerts(event.next_alert_at) == 0
    settings.EMAIL_BACKEND = working
    assert escalation.send_due_alerts(event.next_alert_at + 3 * MINUTE) == 1
    assert recipients() == [{carol.email}]


class SomebodyActsMeanwhile(BaseEmailBackend):
    """A mail server so slow that a clinician acts while it takes the alert."""

    def send_messages(self, messages) -> int:
        for state in ("acknowledged", "action"):
            services.move(event=RiskEvent.objects.get(), to_state=state, user=User.objects.get(first_name="Carol"))
        return len(messages)


def test_who_acts_while_the_alert_goes_out_is_not_called_again(ada, carol, raised, settings):
    event = raised(ada)
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = f"{__name__}.SomebodyActsMeanwhile"
    assert escalation.send_due_alerts(event.next_alert_at) == 1
    settings.EMAIL_BACKEND = working
    event.refresh_from_db()
    assert (event.state, event.next_alert_at) == ("action", None)
    assert escalation.send_due_alerts(event.act_by + timedelta(days=1)) == 0


def test_raising_an_event_hints_the_alert_after_commit(ada, carol, raised, django_capture_on_commit_callbacks):
    embedded.run_pending()
    with django_capture_on_commit_callbacks(execute=True):
        raised(ada)
    embedded.run_pending()
    assert recipients() == [{carol.email}]


def test_uncovered_hours_are_found_between_before_and_after_duties(study, dan):
    monday = datetime(2026, 11, 23, tzinfo=UTC)
    hour = timedelta(hours=1)
    for start, end in ((2, 5), (4, 6), (8, 9)):
        Duty.objects.create(study=study, clinician=dan, starts_at=monday + start * hour, ends_at=monday + end * hour)
    other = factories.study("other")
    Duty.objects.create(study=other, clinician=dan, starts_at=monday, ends_at=monday + 10 * hour)
    gaps = Duty.objects.uncovered(study, monday, monday + 10 * hour)
    assert [((a - monday) / hour, (b - monday) / hour) for a, b in gaps] == [(0, 2), (6, 8), (9, 10)]
    assert Duty.objects.uncovered(other, monday, monday + 10 * hour) == []


def test_operators_hear_of_rota_gaps_and_of_resources_to_review(study, ola, rae, dan):
    CrisisResource.objects.create(slug="old", language="en", name="Old line", review_by="2020-01-01")
    CrisisResource.objects.create(slug="new", language="en", name="New line", review_by="2999-01-01")
    tasks.warn_operators()
    assert recipients() == [{ola.email}]
    assert "nobody is on call" in mail.outbox[0].body
    assert "old (en)" in mail.outbox[0].body
    assert "new (en)" not in mail.outbox[0].body


def test_a_covered_week_and_reviewed_resources_leave_operators_in_peace(study, ola, on_duty):
    tasks.warn_operators()
    assert mail.outbox == []
    on_duty.delete()
    tasks.warn_operators()
    assert len(mail.outbox) == 1
