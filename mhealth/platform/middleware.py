"""Around every request: an id that logs and errors share, limits on bodies, and clear answers to faults."""

import re
import uuid

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError

from mhealth.platform import problems

_GIVEN = re.compile(r"[A-Za-z0-9-]{8,64}")
# Ours: no script or style but from our own files, nothing framed, nothing sent elsewhere.
STRICT = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# Swagger UI sets style attributes; unfold's Alpine.js evaluates attributes and sets styles.
LOOSER = {
    "/api/docs/": f"{STRICT}; style-src 'self' 'unsafe-inline'",
    "/admin/": f"{STRICT}; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval'",
}


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
            return problems.of(problems.TryAgainLater())
        return None


class BodyLimit:
    """Refuse a large JSON body by its header: REST framework's parser would read it all. Uploads have other limits."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request):
        declared = request.META.get("CONTENT_LENGTH") or "0"
        is_json = request.content_type == "application/json"
        if is_json and declared.isdigit() and int(declared) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return problems.of(problems.BodyTooLarge())
        return self.get_response(request)


class ContentSecurityPolicy:
    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        looser = (policy for prefix, policy in LOOSER.items() if request.path.startswith(prefix))
        response.headers.setdefault("Content-Security-Policy", next(looser, STRICT))
        return response


class NotKept:
    """Answers of the API stay in no cache, on the phone or on the way, unless a view says otherwise."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        if request.path.startswith("/api/v1/"):
            response.headers.setdefault("Cache-Control", "private, no-store")
        return response
