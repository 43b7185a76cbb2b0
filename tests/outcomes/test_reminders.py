"""Reminders: the day before and when due, once each, only to those who want them, in neutral words."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core import mail

from mhealth.outcomes import reminders, services
from tests import factories
from tests.outcomes.instruments import answers

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def occasion(ada, loaded):
    return plan(ada)


def plan(person, start: date | None = None):
    return services.plan(
        participant=person,
        instrument_slug="dass21",
        schedule=[{"name": "baseline", "day": 0}],
        start_date=start or (datetime.now(UTC) - timedelta(days=2)).date(),
    )[0]


def test_a_person_is_reminded_the_day_before_and_at_the_due_time_once_each(occasion, ada):
    at = occasion.due_at
    sent = [reminders.send_due_reminders(now) for now in (at - 25 * HOUR, at - 23 * HOUR, at - HOUR, at, at + HOUR)]
    assert sent == [0, 1, 0, 1, 0]
    assert [message.to for message in mail.outbox] == [[ada.user.email]] * 2


def test_who_has_answered_is_left_in_peace(occasion):
    services.answer(occasion=occasion, answers=answers(), answered_at=datetime.now(UTC))
    assert reminders.send_due_reminders(occasion.due_at) == 0


def test_who_withdrew_consent_to_contact_or_left_is_not_written_to(occasion, ada, ben, loaded):
    plan(ben)
    factories.consent(ada, "contact", given=False)
    assert reminders.send_due_reminders(occasion.due_at) == 1
    assert [message.to for message in mail.outbox] == [[ben.user.email]]


def test_a_reminder_says_nothing_about_the_study_or_the_person(occasion, ada):
    reminders.send_due_reminders(occasion.due_at)
    text = (mail.outbox[0].subject + mail.outbox[0].body).lower()
    assert "waiting for you" in text
    for word in ("dass", "depress", "anxiety", "stress", "mental", "study", "question", "ada", "calm"):
        assert word not in text


def test_a_reminder_comes_in_the_persons_language(team, loaded):
    occasion = plan(factories.participant(team, "greta", language="de"))
    reminders.send_due_reminders(occasion.due_at)
    assert mail.outbox[0].subject == "Eine Erinnerung Ihrer App"


def test_a_mail_server_that_is_away_is_tried_again(occasion, settings):
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # nobody listens there
    assert reminders.send_due_reminders(occasion.due_at) == 0
    settings.EMAIL_BACKEND = working
    assert reminders.send_due_reminders(occasion.due_at) == 1


def test_after_closing_nobody_is_reminded(occasion):
    assert reminders.send_due_reminders(occasion.closes_at) == 0
    assert reminders.send_due_reminders(occasion.closes_at - 4 * HOUR) == 1
