"""What is written down about a request: enough to find a fault, nothing about a person."""

import logging

import pytest

from mhealth.people import views as people_views
from tests.factories import phone as sign_in_as

pytestmark = pytest.mark.django_db
CANARY = "ada@example.org slept badly"


@pytest.fixture
def written():
    """Lines as the console handler of the settings writes them."""
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    handler = Keep()
    [console] = [h for h in logging.getLogger().handlers if type(h) is logging.StreamHandler]
    handler.setFormatter(console.formatter)
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


def test_a_fault_is_logged_by_class_and_place_with_the_request_id_and_without_its_words(ada, monkeypatch, written):
    def fail(_request):
        try:
            raise KeyError(CANARY)
        except KeyError as cause:
            raise RuntimeError(CANARY) from cause

    monkeypatch.setattr(people_views, "me", fail)
    response = sign_in_as(ada).get("/api/v1/me/", {"note": CANARY})
    assert response.status_code == 500
    [line] = [line for line in written if "Server Error" in line]
    assert f"request_id={response['X-Request-Id']}" in line
    assert "RuntimeError at people/views.py" in line
    assert "KeyError at" in line
    assert "slept" not in line
    assert "example.org" not in line


def test_a_refused_sign_in_logs_no_address(phone, ada, written):
    logging.getLogger().setLevel(logging.DEBUG)
    phone().post("/api/v1/session/", {"email": "ada@example.org", "password": CANARY})
    phone().post("/api/v1/session/password-reset/", {"email": "ada@example.org"})
    text = "\n".join(written)
    assert "ada@example.org" not in text
    assert "slept" not in text
