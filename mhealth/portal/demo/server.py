"""The demo's own server: its own SQLite file and media folder, staff without a second factor."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

LOGIN_HINT = "the demo server runs without a second factor for staff: never run it with real people"


class NotStarted(Exception):
    """The server did not answer; the message says where its log is."""


def environment(folder: Path) -> dict[str, str]:
    """The demo's settings, over whatever the shell has: nothing of a real deployment is touched."""
    return os.environ | {
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "MEDIA_STORE_URL": f"file://{folder / 'media'}",
        "CELERY_BROKER_URL": "",
        "CACHE_URL": "",
        "DEMO_MODE": "1",
        "HTTPS": "0",
        "STAFF_SECOND_FACTOR": "0",
        "LOG_LEVEL": "WARNING",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
    }


def manage(folder: Path, *command: str) -> str:
    """Run manage.py under the demo's settings and return what it printed. Raises CalledProcessError."""
    command = (sys.executable, "manage.py", *command)
    return subprocess.run(command, env=environment(folder), check=True, stdout=subprocess.PIPE, text=True).stdout


def free_port(wanted: int) -> int:
    """The wanted port of the loopback address, or any free one if it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return probe.getsockname()[1]
    raise NotStarted("no free port on 127.0.0.1")


@contextlib.contextmanager
def running(folder: Path, port: int) -> Iterator[str]:
    """Start the web process, wait until it is ready, yield its address, and stop it."""
    base, log = f"http://127.0.0.1:{port}", folder / "server.log"
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "mhealth.wsgi",
        "--no-control-socket",
        "--bind",
        f"127.0.0.1:{port}",
        "--threads",
        "8",
    ]
    with open(log, "wb") as output:
        server = subprocess.Popen(command, env=environment(folder), stdout=output, stderr=output)
    try:
        _wait(server, f"{base}/api/v1/health/live", log)
        yield base
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def _wait(server: subprocess.Popen, url: str, log: Path) -> None:
    for _ in range(200):
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return
        time.sleep(0.2)
    raise NotStarted(f"the server did not start; its log is {log}")
