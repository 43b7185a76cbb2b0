"""Reminders on the phone, against a push service that the test starts on this machine."""

import base64
import json
import threading
import urllib.parse
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.core import mail

from mhealth.outcomes import checks, push, reminders
from mhealth.people.models import Device
from mhealth.platform.health import Missing
from tests.outcomes.test_reminders import plan

pytestmark = pytest.mark.django_db
DEAD = {"error": {"code": 404, "details": [{"errorCode": "UNREGISTERED"}]}}


class Service(BaseHTTPRequestHandler):
    """Sells a bearer token for a JWT, and answers each phone's token as `answers` says."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/token":
            self.server.assertions.append(urllib.parse.parse_qs(body)["assertion"][0])
            return self.reply(200, {"access_token": "bearer-1", "expires_in": 3600})
        self.server.sent.append((self.path, self.headers["Authorization"], json.loads(body)["message"]))
        status, answer = self.server.answers.get(json.loads(body)["message"]["token"], (200, {"name": "1"}))
        return self.reply(status, answer)

    def reply(self, status: int, body: dict) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_args) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def service(settings, tmp_path, key):
    server = HTTPServer(("127.0.0.1", 0), Service)
    server.sent, server.assertions, server.answers = [], [], {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {"project_id": "calm", "client_email": "push@calm", "private_key": pem, "token_uri": f"{url}/token"}
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account))
    settings.FCM_SERVICE_ACCOUNT, settings.FCM_URL = str(file), url
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def phone_of(person, token: str) -> Device:
    device, _ = Device.objects.create(user=person.user, expiry=timedelta(days=30))
    Device.objects.filter(pk=device.pk).update(push_token=token)
    return device


def part(assertion: str, index: int) -> bytes:
    text = assertion.split(".")[index]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_a_reminder_goes_to_the_phones_in_neutral_words_and_not_by_mail_too(ada, loaded, service, key):
    occasion = plan(ada)
    phone_of(ada, "phone-1")
    phone_of(ada, "phone-2")
    phone_of(ada, "")
    assert reminders.send_due_reminders(occasion.due_at) == 1
    assert sorted(message["token"] for _, _, message in service.sent) == ["phone-1", "phone-2"]
    assert {(path, bearer) for path, bearer, _ in service.sent} == {
        ("/v1/projects/calm/messages:send", "Bearer bearer-1")
    }
    assert mail.outbox == []
    (assertion,) = service.assertions  # the bearer token is kept
    key.public_key().verify(
        part(assertion, 2), assertion.rpartition(".")[0].encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    assert json.loads(part(assertion, 1))["iss"] == "push@calm"
    for _, _, message in service.sent:
        assert message.keys() == {"token", "notification"}
        words = json.dumps(message["notification"]).lower()
        assert "waiting for you" in words
        for telling in ("dass", "depress", "mental", "study", "trial", "baseline", "ada", str(ada.pk)):
            assert telling not in words


def test_a_dead_token_is_forgotten_and_the_person_gets_a_mail(ada, loaded, service):
    occasion, device = plan(ada), phone_of(ada, "gone")
    service.answers["gone"] = (404, DEAD)
    assert reminders.send_due_reminders(occasion.due_at) == 1
    device.refresh_from_db()
    assert device.push_token == ""
    assert [message.to for message in mail.outbox] == [[ada.user.email]]


def test_a_service_that_is_away_loses_no_token_and_is_tried_again_where_there_is_no_mail(
    ada, loaded, service, monkeypatch
):
    monkeypatch.setattr(type(ada.user), "has_mail", False)
    occasion, device = plan(ada), phone_of(ada, "busy")
    service.answers["busy"] = (503, {"error": {"code": 503}})
    assert reminders.send_due_reminders(occasion.due_at) == 0
    device.refresh_from_db()
    assert device.push_token == "busy"
    service.answers.clear()
    assert reminders.send_due_reminders(occasion.due_at) == 1


def test_without_a_service_account_nothing_is_pushed(ada, loaded, service, settings):
    settings.FCM_SERVICE_ACCOUNT = ""
    phone_of(ada, "phone-1")
    assert not push.configured()
    assert reminders.send_due_reminders(plan(ada).due_at) == 1
    assert service.sent == []
    assert len(mail.outbox) == 1


def test_at_night_nobody_is_reminded_and_in_the_morning_they_are(ada, loaded):
    ada.zone = "Europe/Berlin"
    ada.save()
    due = plan(ada).due_at
    night = [due + timedelta(hours=hours) for hours in (3, 8, 13)]  # 21:00, 02:00 and 07:00 there
    assert [reminders.send_due_reminders(at) for at in night] == [0, 0, 0]
    assert reminders.send_due_reminders(due + timedelta(hours=14)) == 1


def test_the_doctor_says_whether_the_service_account_can_be_used(service, settings, tmp_path):
    assert checks.check_push() == "as calm"
    (tmp_path / "broken.json").write_text("{}")
    settings.FCM_SERVICE_ACCOUNT = str(tmp_path / "broken.json")
    with pytest.raises(Missing, match="KeyError"):
        checks.check_push()
    settings.FCM_SERVICE_ACCOUNT = ""
    assert checks.check_push() == "off: reminders go by mail"
