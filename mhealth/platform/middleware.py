"""Around every request: an id that logs and errors share, and a clear answer when the database is away."""

import re
import uuid

import structlog
from django.db import InterfaceError, OperationalError

from mhealth.platform import problems

_GIVEN = re.compile(r"[A-Za-z0-9-]{8,64}")


class RequestId:
    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request):
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _GIVEN.fullmatch(given) else uuid.uuid4().hex
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
        response["X-Request-Id"] = request_id
        return response


class DatabaseAway:
    """503 with Retry-After instead of a fault; REST framework's own views do the same in ProblemHandler."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        if isinstance(exception, OperationalError | InterfaceError):
            away = problems.TryAgainLater
            return problems.plain(503, away.default_code, away.default_detail, **away.headers)
        return None
