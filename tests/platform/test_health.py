"""Live, ready, metrics and the doctor."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
from django.core.management import call_command
from django.db import OperationalError

from mhealth.platform import health
from mhealth.platform.models import DataKey

pytestmark = pytest.mark.django_db


def test_a_whole_service_is_live_and_ready_without_a_session(phone):
    assert phone().get("/api/v1/health/live").json() == {"status": "live"}
    assert phone().get("/api/v1/health/ready").json() == {"status": "ready"}


def test_ready_names_a_media_store_that_cannot_be_written(phone, settings, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    settings.MEDIA_STORE_URL = f"file://{tmp_path / 'file'}"
    answer = phone().get("/api/v1/health/ready")
    assert (answer.status_code, answer.json()["detail"]) == (503, "Missing: media store.")
    assert answer["Retry-After"]


def test_ready_names_a_broker_that_does_not_answer(phone, settings):
    from celery import current_app

    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    before = current_app.conf.broker_url
    current_app.conf.broker_url = settings.CELERY_BROKER_URL
    try:
        assert phone().get("/api/v1/health/ready").json()["detail"] == "Missing: broker."
    finally:
        current_app.conf.broker_url = before


def test_ready_names_a_database_that_is_away(phone, monkeypatch):
    def away(*_args, **_kwargs):
        raise OperationalError("connection refused")

    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.cursor", away)
    answer = phone().get("/api/v1/health/ready")
    assert answer.status_code == 503
    assert "database" in answer.json()["detail"]
    assert phone().get("/api/v1/health/live").status_code == 200


def test_a_master_key_that_does_not_open_what_is_stored_is_named(phone, settings):
    DataKey.make()
    settings.MASTER_KEY = b"x" * 32
    assert phone().get("/api/v1/health/ready").json()["detail"] == "Missing: master key."


def test_metrics_answer_this_machine_or_the_holder_of_the_token(phone, settings):
    assert b"django_http_requests" in phone().get("/metrics").content
    assert phone().get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 404
    assert phone().get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 404
    settings.METRICS_TOKEN = "a long token"
    assert phone().get("/metrics").status_code == 404
    assert phone().get("/metrics", headers={"Authorization": "Bearer a long token"}).status_code == 200


@pytest.fixture
def checkpoints(settings, tmp_path):
    """Two whole checkpoints with their cards."""
    for name in health.MODELS:
        (tmp_path / f"{name}.safetensors").write_bytes(name.encode())
        card = {"version": f"{name}-1", "licence": "Apache-2.0", "sha256": hashlib.sha256(name.encode()).hexdigest()}
        (tmp_path / f"{name}.json").write_text(json.dumps(card))
    settings.EMOTION_CHECKPOINTS = str(tmp_path)
    return tmp_path


def test_the_doctor_names_models_with_their_licence(checkpoints, capsys):
    call_command("doctor")
    lines = capsys.readouterr().out.splitlines()
    assert any("face model" in line and "face-1, licence: Apache-2.0" in line for line in lines)
    assert all(line.startswith("ok") for line in lines)


@pytest.mark.parametrize("damage", ["gone", "changed", "no card"])
def test_the_doctor_exits_with_one_when_a_model_is_not_whole(checkpoints, capsys, damage):
    weights = checkpoints / "voice.safetensors"
    {
        "gone": weights.unlink,
        "changed": lambda: weights.write_bytes(b"x"),
        "no card": (checkpoints / "voice.json").unlink,
    }[damage]()
    with pytest.raises(SystemExit) as left:
        call_command("doctor")
    assert left.value.code == 1
    assert "MISSING  voice model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("SECRET_KEY", "", "SECRET_KEY is not set"),
        ("MASTER_KEY", "short", "MASTER_KEY must be 32 bytes in base64"),
        ("DATABASE_URL", "mysql://h/d", "DATABASE_URL must be sqlite:///… or postgresql://…"),
        ("DATABASE_URL", "nonsense", "DATABASE_URL must be"),
        ("DATABASE_URL", "postgresql://me:hunter2@host:port/db", "DATABASE_URL cannot be read"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_two(variable, value, named):
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "ENV_FILE": os.devnull,
        "SECRET_KEY": "s" * 60,
        "MASTER_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }
    ran = subprocess.run(
        [sys.executable, "manage.py", "check"], env=environment | {variable: value}, capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert named in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert not value or value not in ran.stderr
