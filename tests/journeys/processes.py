"""Real processes on loopback: worker, beat, web, and a wire to a service that can be cut."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse

from django.conf import settings
from django.db import connection

REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/13")


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """What a deployment sets: the test database, the broker, short leases so that recovery can be watched."""
    return (
        os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": database_url(),
            "CELERY_BROKER_URL": REDIS_URL,
            "MEDIA_STORE_URL": settings.MEDIA_STORE_URL,
            "LEASE_S": "4",
            "SWEEP_AFTER_S": "4",
            "SWEEP_EVERY_S": "1",
            "CHECKIN_READER": "tests.journeys.fixed_reader.read",
            "WORKER_WARM_UP": "",
            "LOG_LEVEL": "WARNING",
            "TMPDIR": str(tmp_path),
        }
        | more
    )


def database_url(host: str = "", port: int | str = "") -> str:
    at = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{at['NAME']}"
    password = f":{at['PASSWORD']}" if at["PASSWORD"] else ""
    return f"postgresql://{at['USER']}{password}@{host or at['HOST']}:{port or at['PORT'] or 5432}/{at['NAME']}"


class Process:
    """One of the product's commands, in a process group of its own, so that kill -9 takes all of it."""

    def __init__(self, log: Path, env: dict[str, str], *command: str) -> None:
        self.log, self.env, self.command = log, env, [sys.executable, "-m", *command]
        self.start()

    def start(self) -> None:
        with open(self.log, "ab") as output:
            self.popen = subprocess.Popen(
                self.command, env=self.env, stdout=output, stderr=output, start_new_session=True
            )

    def kill(self) -> None:
        """kill -9 of the whole group: no handler runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


def worker(tmp_path: Path, **more: str) -> Process:
    return Process(
        tmp_path / "worker.log",
        environment(tmp_path, **more),
        *("celery", "-A", "mhealth", "worker", "--concurrency", "1", "--loglevel", "warning"),
        *("--queues", "media,decide,export,notify,training", "--without-gossip", "--without-mingle"),
    )


def beat(tmp_path: Path, **more: str) -> Process:
    return Process(
        tmp_path / "beat.log",
        environment(tmp_path, **more),
        *("celery", "-A", "mhealth", "beat", "--max-interval", "1", "--schedule", str(tmp_path / "schedule")),
    )


def web(tmp_path: Path, port: int, **more: str) -> Process:
    return Process(
        tmp_path / "web.log",
        environment(tmp_path, **more),
        *("gunicorn", "mhealth.wsgi", "--no-control-socket", "--bind", f"127.0.0.1:{port}", "--threads", "4"),
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Wire:
    """A loopback port that leads to a service until it is cut; cutting drops what is connected, as a restart does."""

    def __init__(self, url: str, default_port: int) -> None:
        at = urlparse(url)
        self.target = (at.hostname, at.port or default_port)
        self.port = free_port()
        self.pairs: list[socket.socket] = []
        self.join()

    def join(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def cut(self) -> None:
        # shutdown wakes the thread that waits in accept; close alone would leave the port half open
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self.pairs:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(self.target)
            except OSError:
                return
            self.pairs += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def wait_until(true: Callable[[], bool], patience_s: float, what: str) -> float:
    """Seconds it took; fails with `what` when patience ends."""
    start = time.monotonic()
    while time.monotonic() - start < patience_s:
        if true():
            return time.monotonic() - start
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {patience_s} s")


@contextlib.contextmanager
def stopped_at_the_end(*processes: Process) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
