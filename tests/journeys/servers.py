"""Servers of our own to kill and start again: Redis and PostgreSQL on free ports, with the binaries of this machine."""

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis

from tests.journeys.processes import free_port

PATIENCE_S = 30


class DoesNotStart(Exception):
    """The binary is there, and does not answer within the time."""


class Server:
    """A process that is killed (-9) and started on the same port; `account` is what it runs as where we are root."""

    account: str | None = None

    def __init__(self, folder: Path, command: list[str]) -> None:
        self.folder, self.command = folder, command

    def start(self) -> None:
        """Raises DoesNotStart."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            self.popen = self._run(self.command)
            while self.popen.poll() is None and time.monotonic() < until:
                if self.answers():
                    return
                time.sleep(0.1)
            self.kill()
            time.sleep(0.2)  # after a kill PostgreSQL refuses to start until the last of its children has gone
        raise DoesNotStart((self.folder / "server.log").read_text()[-2000:])

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def answers(self) -> bool:
        raise NotImplementedError

    def _run(self, command: list[str]) -> subprocess.Popen:
        as_whom = {"user": self.account, "group": self.account, "extra_groups": []} if self.account else {}
        with open(self.folder / "server.log", "ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **as_whom)


class Redis(Server):
    """It keeps nothing on disk: started again it is empty."""

    def __init__(self, folder: Path, binary: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url, socket_connect_timeout=1)
        keeps_nothing = ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
        super().__init__(folder, [binary, "--port", str(self.port), "--bind", "127.0.0.1", *keeps_nothing])

    def answers(self) -> bool:
        try:
            return self.client.ping()
        except redis.RedisError:
            return False


class PostgreSQL(Server):
    """A fresh cluster with its usual safety settings: what was committed outlives the kill."""

    def __init__(self, folder: Path, binary: str) -> None:
        self.port = free_port()
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            self.account = "postgres"
            shutil.chown(folder, self.account)
        data, where = str(folder / "data"), str(folder)
        options = [
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={where}",
            "-c",
            "shared_buffers=16MB",
        ]
        super().__init__(folder, [binary, "-D", data, "-p", str(self.port), *options])
        initdb = str(Path(binary).with_name("initdb"))
        made = self._run([initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions"])
        if made.wait() != 0:
            raise DoesNotStart((folder / "server.log").read_text()[-2000:])

    def answers(self) -> bool:
        try:
            psycopg2.connect(
                host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", connect_timeout=1
            ).close()
        except psycopg2.Error:
            return False
        return True


def redis_binary() -> str | None:
    return shutil.which("redis-server")


def postgres_binary() -> str | None:
    """On the path, or where Debian puts it; the newest."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: float(path.split("/")[4]))
    binary = shutil.which("postgres") or (found[-1] if found else None)
    return binary if binary and (os.getuid() or _has_account("postgres")) else None


def _has_account(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


@contextlib.contextmanager
def running(kind: type[Server], binary: str | None) -> Iterator[Server]:
    """A server of this kind; the test is skipped without its binary, or where it does not start and need not."""
    if binary is None:
        pytest.skip(f"no {kind.__name__} server is installed here that this account may run")
    folder = Path(tempfile.mkdtemp(prefix=f"{kind.__name__.lower()}-"))  # pytest's own folders are closed to others
    try:
        server = _started(kind, folder, binary)
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(kind: type[Server], folder: Path, binary: str) -> Server:
    try:
        server = kind(folder, binary)
        server.start()
    except DoesNotStart as fault:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"{binary} does not start here: {' '.join(str(fault).splitlines()[-1:])}")
    return server
