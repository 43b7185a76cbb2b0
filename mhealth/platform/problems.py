"""Every error as an RFC 9457 problem: a stable type, a sentence for people, a JSON pointer per field."""

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, JsonResponse
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework import exceptions, status
from rest_framework.response import Response

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:mhealth:problem:"
TITLES = {
    "authentication-failed": "Not signed in",
    "not-authenticated": "Not signed in",
    "permission-denied": "Not allowed",
    "not-found": "Not found",
    "method-not-allowed": "Method not allowed",
    "not-acceptable": "Not acceptable",
    "unsupported-media-type": "Unsupported media type",
    "throttled": "Too many requests",
    "parse-error": "Body cannot be read",
    "invalid": "Some values are not valid",
    "error": "Server error",
}


class Problem(exceptions.APIException):
    """An expected failure with its own type; subclasses set `default_code` (the type), status and title."""

    status_code = status.HTTP_409_CONFLICT
    title = "Conflict"
    headers: dict[str, str] = {}


class TryAgainLater(Problem):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "try-again-later"
    title = "Try again later"
    default_detail = "The service cannot store anything at the moment. Keep your data and try again."
    headers = {"Retry-After": "10"}


class ProblemHandler(ExceptionHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, OperationalError | InterfaceError):
            return TryAgainLater()
        if isinstance(exc, exceptions.ValidationError):
            exc.status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
        return super().convert_known_exceptions(exc)

    def get_response(self, exc: exceptions.APIException, data: dict) -> Response:
        response = super().get_response(exc, data)
        response.content_type = MEDIA_TYPE
        for name, value in getattr(exc, "headers", {}).items():
            response[name] = value
        return response


class ProblemFormatter(ExceptionFormatter):
    def run(self) -> dict:
        errors = self.get_errors()
        invalid = isinstance(self.exc, exceptions.ValidationError)
        code = "invalid" if invalid else errors[0].code.replace("_", "-")
        body = {
            "type": TYPE_PREFIX + code,
            "title": getattr(self.exc, "title", None) or TITLES.get(code, "Request refused"),
            "status": self.exc.status_code,
            "detail": errors[0].detail,
        }
        if invalid:
            body["errors"] = [{"pointer": pointer(e.attr), "code": e.code, "detail": e.detail} for e in errors]
        return body | {"request_id": request_id()}


def pointer(attr: str | None) -> str:
    """The JSON pointer of a serializer's dotted attribute; "" is the whole body."""
    return "" if not attr or attr == "non_field_errors" else "/" + attr.replace(".", "/")


def request_id() -> str:
    return structlog.contextvars.get_contextvars().get("request_id", "")


def plain(status_code: int, code: str, detail: str, **headers: str) -> JsonResponse:
    """A problem outside of REST framework: unknown paths, faults in middleware."""
    body = {
        "type": TYPE_PREFIX + code,
        "title": TITLES.get(code, "Request refused"),
        "status": status_code,
        "detail": detail,
        "request_id": request_id(),
    }
    return JsonResponse(body, status=status_code, content_type=MEDIA_TYPE, headers=headers)


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    return plain(404, "not-found", "There is nothing at this address.")


def server_error(request: HttpRequest) -> JsonResponse:
    return plain(500, "error", "Something went wrong on our side. It has been recorded.")
