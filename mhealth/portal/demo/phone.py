"""A client that speaks HTTP to the running server and remembers what it asked and what came back."""

import http.client
import json
import mimetypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart


@dataclass(frozen=True)
class Answer:
    """One exchange that really took place."""

    method: str
    path: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body) if self.body else None

    def __str__(self) -> str:
        """Without the query: the token of a signed link is nobody else's business."""
        return f"{self.method} {self.path.partition('?')[0]} → {self.status}"


class Refused(Exception):
    """The server answered with an error where the story needs a success."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        problem = answer.json if "json" in answer.headers.get("content-type", "") else {}
        super().__init__(f"{answer}: {problem.get('detail', '')} {problem.get('errors', '')}")


class Phone:
    """`base` is like http://127.0.0.1:8000; `said` is called with every answer that is part of the story."""

    def __init__(self, base: str, said: Callable[[Answer], None] = lambda answer: None, language: str = "en") -> None:
        self.address = urlparse(base)
        self.token = ""
        self.language = language
        self.said = said

    def get(self, path: str, *, quiet: bool = False) -> Answer:
        return self._ask("GET", path, quiet=quiet)

    def send(self, method: str, path: str, content: dict | list | None = None, **headers: str) -> Answer:
        body = b"" if content is None else json.dumps(content).encode()
        return self._ask(method, path, body, {"Content-Type": "application/json"} | headers)

    def upload(self, path: str, fields: dict[str, str], files: dict[str, Path]) -> Answer:
        parts = fields | {name: _file(file) for name, file in files.items()}
        return self._ask("POST", path, encode_multipart(BOUNDARY, parts), {"Content-Type": MULTIPART_CONTENT})

    def wait(self, path: str, ready: Callable[[Answer], bool], patience_s: float = 60) -> Answer:
        """Ask until `ready`, as a phone does after Retry-After; only the last answer is told."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            answer = self.get(path, quiet=True)
            if ready(answer):
                self.said(answer)
                return answer
            time.sleep(0.3)
        raise TimeoutError(f"GET {path}: not ready after {patience_s:.0f} s")

    def _ask(
        self, method: str, path: str, body: bytes = b"", headers: dict | None = None, quiet: bool = False
    ) -> Answer:
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=60)
        sent = {"Accept": "application/json", "Accept-Language": self.language} | (headers or {})
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, path, body or None, sent)
            response = connection.getresponse()
            answer = Answer(
                method, path, response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
            )
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(answer)
        if not quiet:
            self.said(answer)
        return answer


def _file(path: Path) -> SimpleUploadedFile:
    return SimpleUploadedFile(
        path.name, path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    )
