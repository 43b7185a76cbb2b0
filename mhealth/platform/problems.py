"""Every error as an RFC 9457 problem: a stable type, a sentence for people, a JSON pointer per field."""

import sys

import structlog
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import get_language, gettext
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework import exceptions, status
from rest_framework.response import Response

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:mhealth:problem:"
# What the framework raises: our own words, so that each has a translation of ours.
WORDS = {
    "authentication-failed": ("Not signed in", "The token of this request cannot be read. Please sign in."),
    "not-authenticated": ("Not signed in", "Please sign in."),
    "permission-denied": ("Not allowed", "Your account may not do this."),
    "not-found": ("Not found", "There is nothing at this address."),
    "method-not-allowed": ("Method not allowed", "This address does not answer to this method."),
    "not-acceptable": ("Not acceptable", "The answer cannot be given in a form that the request accepts."),
    "unsupported-media-type": ("Unsupported media type", "The body is not of a type that this address takes."),
    "throttled": ("Too many requests", "Too many requests. Please wait a moment."),
    "parse-error": ("Body cannot be read", "The body of the request cannot be read."),
    "bad-request": ("Request cannot be read", "The request cannot be read."),
    "invalid": ("Some values are not valid", "Some values are not valid; each is named below."),
    "error": ("Server error", "Something went wrong on our side. It has been recorded."),
}
AWAY = (OperationalError, InterfaceError)


class Problem(exceptions.APIException):
    """An expected failure with its own type; subclasses set `default_code` (the type), status and title."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"
    title = "Conflict"
    headers: dict[str, str] = {}
    members: dict[str, object] = {}  # extension members, RFC 9457 section 3.2


class TryAgainLater(Problem):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "try-again-later"
    title = "Try again later"
    default_detail = "The service cannot store anything at the moment. Keep your data and try again."
    headers = {"Retry-After": "10"}


class BodyTooLarge(Problem):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "body-too-large"
    title = "Body is too large"
    default_detail = "The body of the request is too large."


class ProblemHandler(ExceptionHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, AWAY):
            return TryAgainLater()
        if isinstance(exc, RequestDataTooBig):
            return BodyTooLarge()
        if isinstance(exc, RecursionError):  # a body of a hundred thousand brackets
            return exceptions.ParseError()
        if isinstance(exc, exceptions.ValidationError):
            exc.status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
        return super().convert_known_exceptions(exc)

    def get_response(self, exc: exceptions.APIException, data: dict) -> Response:
        response = super().get_response(exc, data)
        response.content_type = MEDIA_TYPE
        response["Content-Language"] = data.pop("language")
        for name, value in getattr(exc, "headers", {}).items():
            response[name] = value
        return response


class ProblemFormatter(ExceptionFormatter):
    def run(self) -> dict:
        errors = self.get_errors()
        invalid = isinstance(self.exc, exceptions.ValidationError)
        code = "invalid" if invalid else errors[0].code.replace("_", "-")
        if code in WORDS and not isinstance(self.exc, Problem):
            title, detail = WORDS[code]
        else:
            title, detail = getattr(self.exc, "title", "Request refused"), errors[0].detail
        fields = [{"pointer": pointer(e.attr), "code": e.code, "detail": e.detail} for e in errors] if invalid else None
        return body(self.exc.status_code, code, title, detail, fields) | getattr(self.exc, "members", {})


def body(status_code: int, code: str, title: str, detail: str, errors: list[dict] | None = None) -> dict:
    """The members of a problem, in the language of the request where there is a translation.

    `language` is for the header: whoever sends the problem takes it out.
    """
    said, language = translated(detail)
    members = {"type": TYPE_PREFIX + code, "title": translated(title)[0], "status": status_code, "detail": said}
    if errors is not None:
        members["errors"] = errors
    return members | {"request_id": request_id(), "language": language}


def translated(text: str) -> tuple[str, str]:
    """The text in the language of the request if it is known there, and the language it is in."""
    found = gettext(text)
    return found, "en" if found == text else get_language()


def pointer(attr: str | None) -> str:
    """The JSON pointer of a serializer's dotted attribute; "" is the whole body."""
    return "" if not attr or attr == "non_field_errors" else "/" + attr.replace(".", "/")


def request_id() -> str:
    return structlog.contextvars.get_contextvars().get("request_id", "")


def plain(status_code: int, code: str, detail: str = "", **headers: str) -> JsonResponse:
    """A problem outside of REST framework: unknown paths, faults in middleware."""
    title, usual = WORDS.get(code, ("Request refused", ""))
    return _sent(body(status_code, code, title, detail or usual), headers)


def of(problem: Problem) -> JsonResponse:
    """The answer to a named problem outside of REST framework's views."""
    members = body(problem.status_code, problem.default_code, problem.title, str(problem.detail))
    return _sent(members | problem.members, problem.headers)


def _sent(members: dict, headers: dict[str, str]) -> JsonResponse:
    language = {"Content-Language": members.pop("language")}
    return JsonResponse(members, status=members["status"], content_type=MEDIA_TYPE, headers=language | headers)


def wants_page(request: HttpRequest) -> bool:
    """Whether a person in a browser asked, outside the API."""
    return not request.path.startswith("/api/") and "text/html" in request.headers.get("Accept", "")


def _page_or_problem(request: HttpRequest, answer: JsonResponse, members: tuple[str, str]) -> HttpResponse:
    if not wants_page(request):
        return answer
    title, detail = (translated(text)[0] for text in members)
    context = {"title": title, "detail": detail, "request_id": request_id()}
    return render(request, "problem.html", context, status=answer.status_code)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return of(BodyTooLarge())
    return _page_or_problem(request, plain(400, "bad-request"), WORDS["bad-request"])


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page_or_problem(request, plain(403, "permission-denied"), WORDS["permission-denied"])


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page_or_problem(request, plain(404, "not-found"), WORDS["not-found"])


def server_error(request: HttpRequest) -> HttpResponse:
    """Also called for faults in middleware, which no view's handler sees: a database that is away is 503 there too."""
    if isinstance(sys.exc_info()[1], AWAY):
        return of(TryAgainLater())
    return _page_or_problem(request, plain(500, "error"), WORDS["error"])


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return permission_denied(request, PermissionError(reason))
