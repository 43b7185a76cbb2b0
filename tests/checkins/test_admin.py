"""The staff pages of check-ins: what somebody does there leaves a trace."""

import uuid

import pytest
from django.urls import reverse

from mhealth.checkins.models import CheckIn
from mhealth.platform.models import AuditEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def quarantined(ada):
    return CheckIn.objects.create(
        id=uuid.uuid4(),
        participant=ada,
        recorded_at="2026-11-20T10:00Z",
        zone="UTC",
        digest="0" * 64,
        status="quarantined",
    )


def test_running_a_check_in_again_is_recorded_by_its_id(client, settings, quarantined, carol, dan):
    settings.STAFF_SECOND_FACTOR = False
    url = reverse("admin:checkins_checkin_changelist")
    body = {"action": "run_again", "_selected_action": [str(quarantined.pk)]}
    client.force_login(dan)
    client.post(url, body)
    assert CheckIn.objects.get().status == "quarantined", "of another team"
    assert not AuditEvent.objects.filter(action="checkin.run_again").exists()
    client.force_login(carol)
    client.post(url, body)
    assert CheckIn.objects.get().status == "queued"
    event = AuditEvent.objects.get(action="checkin.run_again")
    assert (event.actor, event.subject) == (str(carol.pk), f"checkins.CheckIn/{quarantined.pk}")
