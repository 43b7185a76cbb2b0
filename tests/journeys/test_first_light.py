"""The main job, door to door: the demo's story against a server, embedded and with PostgreSQL, Redis and a worker."""

import io
import re
import urllib.request

import pytest
from django.conf import settings
from rich.console import Console

from interventions.models import Decision
from mhealth.checkins.models import CheckIn, Part
from mhealth.outcomes.models import Response
from mhealth.people.models import CareTeam, Participant
from mhealth.people.services import make_enrolment_codes
from mhealth.portal.demo import study as demo
from mhealth.portal.demo.story import Cast, Story
from mhealth.trials.models import Enrolment
from tests.journeys import processes

pytestmark = pytest.mark.django_db(transaction=True)
REAL_MODELS = {"CHECKIN_READER": "mhealth.checkins.recognisers.read", "DEMO_MODE": "1"}
STEPS = [
    "POST /api/v1/session/ → 201",
    "POST /api/v1/me/consents/ → 201",
    "POST /api/v1/check-ins/ → 201",
    "POST /api/v1/check-ins/ → 200",
    "GET /api/v1/check-ins/ID/ → 200",
    "PUT /api/v1/check-ins/ID/correction/ → 200",
    "POST /api/v1/trials/demo-trial/enrolments/ → 201",
    "PUT /api/v1/questionnaires/ID/response/ → 201",
    "POST /api/v1/trials/demo-trial/enrolments/ID/allocation/ → 200",
    "GET /api/v1/recommendations/ → 200",
    "POST /api/v1/recommendations/ID/events/ → 201",
    "POST /api/v1/research/exports/ → 202",
    "GET /api/v1/research/exports/ID/ → 200",
]


def play(base: str) -> str:
    """Tell the story to a string."""
    loaded = demo.load()
    team = CareTeam.objects.get(study=loaded, name="North team")
    (code,) = make_enrolment_codes(study=loaded, site="north", care_team=team, count=1)
    staff = [(f"{name}@example.org", demo.PASSWORD) for name in ("tom", "rae")]
    cast = Cast(enrolment_code=code, manager=staff[0], researcher=staff[1], trial=demo.TRIAL["slug"])
    said = io.StringIO()
    media = settings.BASE_DIR / "fixtures" / "media"
    Story(base, cast, media / "astronaut.jpg", media / "librivox.wav", Console(file=said, width=200)).tell()
    return said.getvalue()


def up(base: str) -> bool:
    try:
        return urllib.request.urlopen(f"{base}/api/v1/health/live", timeout=5).status == 200
    except OSError:
        return False


def assert_the_main_job_was_done(story: str) -> None:
    told = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", story)
    missing = [step for step in STEPS if step not in told]
    assert not missing, story
    person = Participant.objects.latest("joined_at")
    check_ins = CheckIn.objects.filter(participant=person)
    assert [row.status for row in check_ins] == ["done", "done"]
    assert all(set(row.fused["weights"]) == {"face", "voice"} for row in check_ins)
    first, second = (row.fused["weights"]["face"] for row in check_ins.order_by("recorded_at"))
    assert first != second  # what the correction taught
    assert not Part.objects.filter(check_in__participant=person, deleted_at=None).exists()
    assert Response.objects.filter(occasion__participant=person).count() == 1
    assert Enrolment.objects.get(participant=person).status == "allocated"
    assert Decision.objects.filter(participant=person).exists()
    assert "why: " in story


def test_embedded_without_a_broker(transactional_db, tmp_path):
    port = processes.free_port()
    web = processes.web(tmp_path, port, CELERY_BROKER_URL="", STAFF_SECOND_FACTOR="0", **REAL_MODELS)
    base = f"http://127.0.0.1:{port}"
    with processes.stopped_at_the_end(web):
        processes.wait_until(lambda: up(base), 60, "the web process")
        assert_the_main_job_was_done(play(base))


@pytest.mark.services
def test_with_postgresql_redis_and_a_worker(transactional_db, tmp_path):
    port = processes.free_port()
    models = REAL_MODELS | {"WORKER_WARM_UP": "mhealth.checkins.recognisers.warm_up", "STAFF_SECOND_FACTOR": "0"}
    started = [
        processes.web(tmp_path, port, **models),
        processes.worker(tmp_path, **models),
        processes.beat(tmp_path, **models),
    ]
    base = f"http://127.0.0.1:{port}"
    with processes.stopped_at_the_end(*started):
        processes.wait_until(lambda: up(base), 60, "the web process")
        assert_the_main_job_was_done(play(base))
