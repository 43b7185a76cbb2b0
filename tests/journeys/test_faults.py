"""Nothing is lost: seeded faults against real PostgreSQL, Redis and worker processes. The counts are printed."""

import collections
import contextlib
import os
import random
import threading
import time
import uuid

import kombu.pools
import pytest
import redis
import requests
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from mhealth.celery import app
from mhealth.checkins import intake, services
from mhealth.checkins.models import CheckIn, Estimate, Part
from mhealth.platform.leases import WorkStatus
from tests.checkins import samples
from tests.journeys import processes, servers

pytestmark = pytest.mark.django_db(transaction=True)
CHECK_INS = int(os.environ.get("FAULT_CHECK_INS", "100"))


def hint_through(settings, url: str) -> None:
    """Hints of this process go this way from now on."""
    kombu.pools.reset()
    app._after_fork()  # forgets its pools
    settings.CELERY_BROKER_URL = app.conf.broker_url = url


@pytest.fixture
def broker(settings):
    """The real broker, which starts empty."""
    server = redis.Redis.from_url(processes.REDIS_URL)
    server.flushdb()
    hint_through(settings, processes.REDIS_URL)
    yield server
    hint_through(settings, "")
    server.flushdb()


def send_in(person, number: int):
    parts = [intake.photo(samples.photo()), intake.voice(samples.recording()), intake.words("text", f"line {number}")]
    return services.submit(
        participant=person, check_in_id=uuid.uuid4(), parts=parts, recorded_at=timezone.now(), zone="UTC"
    )[0]


def unfinished() -> int:
    return CheckIn.objects.exclude(status__in=[WorkStatus.DONE, WorkStatus.UNUSABLE, WorkStatus.QUARANTINED]).count()


def assert_nothing_lost_or_doubled(sent: int, say) -> None:
    statuses = collections.Counter(CheckIn.objects.values_list("status", flat=True))
    estimates = collections.Counter(Estimate.objects.values_list("check_in", "modality"))
    say(f"{sent} sent, {dict(statuses)}, {len(estimates)} estimates, {max(estimates.values())} of a kind")
    assert statuses == {WorkStatus.DONE: sent}
    assert set(estimates.values()) == {1}
    assert len(estimates) == 3 * sent


@pytest.mark.services
def test_killing_the_worker_over_and_over_loses_and_doubles_nothing(ada, broker, tmp_path, say):
    worker, beat = processes.worker(tmp_path), processes.beat(tmp_path)
    with processes.stopped_at_the_end(worker, beat):
        survive_kills(ada, worker, say)


def test_killing_the_server_over_and_over_loses_and_doubles_nothing(ada, tmp_path, say):
    """Embedded: the thread that does the work dies with the web process."""
    web = processes.web(tmp_path, processes.free_port(), CELERY_BROKER_URL="")
    with processes.stopped_at_the_end(web):
        survive_kills(ada, web, say)


def survive_kills(person, process: processes.Process, say) -> None:
    """Hand in the check-ins, kill -9 whoever works on them at seeded moments, wait for the rest."""
    rng = random.Random(20261121)
    kills = 0
    for number in range(CHECK_INS):
        send_in(person, number)
    deadline = time.monotonic() + 60 + 2 * CHECK_INS
    while unfinished() and time.monotonic() < deadline:
        time.sleep(rng.uniform(2.0, 5.0))
        if kills < CHECK_INS // 16:
            process.kill()
            process.start()
            kills += 1
    assert kills > 3
    processes.wait_until(lambda: not unfinished(), 60, "all check-ins finished")
    say(f"{kills} kills (-9)")
    assert_nothing_lost_or_doubled(CHECK_INS, say)


@pytest.mark.services
def test_a_flushed_and_an_absent_redis_lose_nothing(ada, broker, tmp_path, settings, say):
    wire = processes.Wire(processes.REDIS_URL, 6379)
    through = f"redis://127.0.0.1:{wire.port}/{processes.REDIS_URL.rsplit('/', 1)[1]}"
    hint_through(settings, through)
    worker, beat = (start(tmp_path, CELERY_BROKER_URL=through) for start in (processes.worker, processes.beat))
    with processes.stopped_at_the_end(worker, beat):
        first = send_in(ada, 0)
        processes.wait_until(lambda: CheckIn.objects.get(pk=first.pk).status == "done", 40, "the first check-in")
        for number in range(1, 10):
            send_in(ada, number)
        broker.flushdb()
        wire.cut()
        for number in range(10, 20):
            send_in(ada, number)  # accepted all the same
        time.sleep(3)
        wire.join()
        took = processes.wait_until(lambda: not unfinished(), 60, "all drained after Redis came back")
    say(f"drained {took:.1f} s after Redis came back")
    assert_nothing_lost_or_doubled(20, say)


@pytest.mark.services
def test_a_restart_of_postgresql_is_a_503_and_then_goes_on(ada, broker, phone, tmp_path):
    wire = processes.Wire(processes.database_url(), 5432)
    through = processes.database_url("127.0.0.1", wire.port)
    port = processes.free_port()
    web = processes.web(tmp_path, port, DATABASE_URL=through)
    worker, beat = (start(tmp_path, DATABASE_URL=through) for start in (processes.worker, processes.beat))
    url = f"http://127.0.0.1:{port}/api/v1/check-ins/"
    headers = {"Authorization": phone(ada)._credentials["HTTP_AUTHORIZATION"]}
    body = {"id": str(uuid.uuid4()), "recorded_at": timezone.now().isoformat(), "zone": "UTC", "text": "hello"}

    def post():
        return requests.post(url, data=body, files={"face": samples.photo()}, headers=headers, timeout=30)

    def web_answers() -> bool:
        try:
            return requests.get(url, headers=headers, timeout=5).status_code == 200
        except requests.RequestException:
            return False

    with processes.stopped_at_the_end(web, worker, beat):
        processes.wait_until(web_answers, 30, "the web process")
        wire.cut()
        away = post()
        assert (away.status_code, away.headers["Content-Type"]) == (503, "application/problem+json")
        assert away.headers["Retry-After"]
        assert not CheckIn.objects.exists()
        wire.join()
        processes.wait_until(web_answers, 30, "the web process again")
        assert post().status_code == 201
        processes.wait_until(lambda: CheckIn.objects.filter(status="done").exists(), 60, "the check-in done")
    assert Estimate.objects.count() == 2


@pytest.fixture
def own_redis(settings):
    with servers.running(servers.Redis, servers.redis_binary()) as server:
        yield server


@pytest.fixture
def own_postgres(transactional_db):
    """The rows of this test lie in a cluster of its own; before the test's database is emptied we are back there."""
    with servers.running(servers.PostgreSQL, servers.postgres_binary()) as server:
        usual = dict(connection.settings_dict)
        connection.close()
        connection.settings_dict.update(
            HOST="127.0.0.1", PORT=server.port, NAME="postgres", USER="postgres", PASSWORD=""
        )
        call_command("migrate", verbosity=0)
        yield server
        connection.close()
        connection.settings_dict.update(usual)


class Sender(threading.Thread):
    """A phone that checks in a few times a second, and repeats every upload until it is told that it is stored."""

    EVERY_S = 0.1

    def __init__(self, port: int, authorization: str) -> None:
        super().__init__(daemon=True)
        self.url = f"http://127.0.0.1:{port}/api/v1/check-ins/"
        self.headers = {"Authorization": authorization}
        self.stored: list[str] = []
        self.refusals: list[requests.Response] = []
        self.tries = collections.Counter()
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            self.send(str(uuid.uuid4()))
            time.sleep(self.EVERY_S)

    def send(self, check_in_id: str) -> None:
        body = {"id": check_in_id, "recorded_at": timezone.now().isoformat(), "zone": "UTC", "text": check_in_id}
        while True:
            answer = requests.post(
                self.url, data=body, files={"face": samples.photo()}, headers=self.headers, timeout=30
            )
            self.tries[answer.status_code] += 1
            if answer.status_code in (200, 201):
                self.stored.append(check_in_id)
                return
            self.refusals.append(answer)
            time.sleep(self.EVERY_S)

    def has_sent(self, more: int) -> None:
        """Wait until so many more are stored."""
        enough = len(self.stored) + more
        processes.wait_until(lambda: len(self.stored) >= enough, 60, f"{more} more check-ins stored")

    def stop(self) -> None:
        self.ended.set()
        self.join()


@contextlib.contextmanager
def study_at_work(tmp_path, authorization: str, **env: str):
    """Web, worker and beat as deployed, and a phone that sends."""
    port = processes.free_port()
    parts = [processes.web(tmp_path, port, **env), processes.worker(tmp_path, **env), processes.beat(tmp_path, **env)]
    sender = Sender(port, authorization)
    with processes.stopped_at_the_end(*parts):
        processes.wait_until(lambda: answers(sender), 40, "the web process")
        sender.start()
        try:
            yield sender
        finally:
            sender.ended.set()


def answers(sender: Sender) -> bool:
    try:
        return requests.get(sender.url, headers=sender.headers, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def done() -> int:
    return CheckIn.objects.filter(status=WorkStatus.DONE).count()


def assert_whole(sender: Sender, say) -> None:
    """Every check-in that the phone was told is stored is there once, whole and read; and no other is."""
    assert {str(pk) for pk in CheckIn.objects.values_list("pk", flat=True)} == set(sender.stored)
    assert collections.Counter(Part.objects.values_list("kind", flat=True)) == dict.fromkeys(
        ("face", "text"), len(sender.stored)
    )
    statuses = collections.Counter(CheckIn.objects.values_list("status", flat=True))
    estimates = collections.Counter(Estimate.objects.values_list("check_in", "modality"))
    say(f"{len(sender.stored)} sent, answers {dict(sender.tries)}, {dict(statuses)}, {len(estimates)} estimates")
    assert statuses == {WorkStatus.DONE: len(sender.stored)}
    assert set(estimates.values()) == {1}
    assert len(estimates) == 2 * len(sender.stored)


@pytest.mark.services
def test_a_redis_killed_while_check_ins_come_in_and_started_empty_loses_none(ada, own_redis, phone, tmp_path, say):
    """Down: the API goes on as if nothing were. Back, and empty: all that waits is found again within a minute."""
    authorization = phone(ada)._credentials["HTTP_AUTHORIZATION"]
    with study_at_work(tmp_path, authorization, CELERY_BROKER_URL=own_redis.url) as sender:
        processes.wait_until(lambda: done() >= 3, 40, "the first check-ins")
        own_redis.kill()
        sender.has_sent(15)
        assert not sender.refusals, "the phone noticed nothing"
        waiting = unfinished()
        assert waiting >= 10
        own_redis.start()
        assert own_redis.client.dbsize() < waiting, "it came back without what it held"
        sender.has_sent(5)
        sender.stop()
        took = processes.wait_until(lambda: not unfinished(), 60, "all drained after Redis came back")
    say(f"{waiting} waited while Redis was down; drained {took:.1f} s after the last was sent")
    assert set(sender.tries) == {201}
    assert_whole(sender, say)


@pytest.mark.services
def test_a_postgresql_killed_while_check_ins_come_in_is_a_503_and_then_goes_on(
    own_postgres, ada, broker, phone, tmp_path, say
):
    """Nobody restarts web, worker or beat: they go on by themselves, and no half row is left."""
    authorization = phone(ada)._credentials["HTTP_AUTHORIZATION"]
    with study_at_work(tmp_path, authorization) as sender:
        processes.wait_until(lambda: done() >= 3, 40, "the first check-ins")
        connection.close()
        own_postgres.kill()
        processes.wait_until(lambda: len(sender.refusals) >= 5, 30, "refusals while PostgreSQL is down")
        own_postgres.start()
        sender.has_sent(10)
        sender.stop()
        took = processes.wait_until(lambda: not unfinished(), 60, "all drained after PostgreSQL came back")
    say(f"drained {took:.1f} s after the last was sent")
    for refused in sender.refusals:
        assert (refused.status_code, refused.headers["Content-Type"]) == (503, "application/problem+json")
        assert refused.json()["type"] == "urn:mhealth:problem:try-again-later"
        assert int(refused.headers["Retry-After"]) > 0
    assert set(sender.tries) <= {200, 201, 503}
    assert_whole(sender, say)
