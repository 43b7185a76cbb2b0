"""`Idempotency-Key`: a POST that a phone repeats is done once, and answered alike for a day.

Check-ins have ids made by the phone and need no key. Sessions and passwords are never stored.
"""

import hashlib
import re
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.settings import api_settings

from mhealth.platform import crypto, problems
from mhealth.platform.models import IdempotencyRecord

KEPT = timedelta(hours=24)
TWIN_GIVES_UP = timedelta(minutes=2)  # a first request that crashed may be tried again after this
KEY = re.compile(r"[\x21-\x7e]{1,128}")
WITHOUT = re.compile(r"/api/v1/(session|check-ins)/")
REPLAYED_HEADERS = ("Content-Type", "Content-Language", "Location", "Retry-After", "ETag")
NOT_KEPT = {401, 429}  # these answers depend on the moment, not on the request


class KeyMalformed(problems.Problem):
    status_code = 422
    default_code = "idempotency-key-malformed"
    title = "Idempotency-Key cannot be used"
    default_detail = "An Idempotency-Key is 1 to 128 visible ASCII characters."


class KeyReused(problems.Problem):
    status_code = 422
    default_code = "idempotency-key-reused"
    title = "Idempotency-Key was used for another request"
    default_detail = "This Idempotency-Key was used with another body. Please make a new one."


class TwinInFlight(problems.Problem):
    default_code = "twin-in-flight"
    title = "The same request is being handled"
    default_detail = "The same request is being handled at this moment. Please repeat it shortly."
    headers = {"Retry-After": "1"}


class Idempotency:
    """Middleware, so that every POST has it and no view can forget it."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        key = request.headers.get("Idempotency-Key")
        if key is None or request.method != "POST" or not _applies(request):
            return self.get_response(request)
        owner = _owner(request)
        if owner is None:
            return self.get_response(request)  # the view says who may call it
        if not KEY.fullmatch(key):
            return problems.of(KeyMalformed())
        try:
            record = _begin(owner, request, key)
        except problems.Problem as refused:
            return problems.of(refused)
        if record.status is not None:
            return _replay(record)
        return _keep(record, self.get_response(request))


def _applies(request: HttpRequest) -> bool:
    return request.path.startswith("/api/v1/") and not WITHOUT.match(request.path)


def _owner(request: HttpRequest) -> str | None:
    """The account behind the token; None if there is none, or none that may still be used."""
    try:
        signed_in = api_settings.DEFAULT_AUTHENTICATION_CLASSES[0]().authenticate(Request(request))
    except APIException:
        return None
    return str(signed_in[0].pk) if signed_in else None


def _begin(owner: str, request: HttpRequest, key: str) -> IdempotencyRecord:
    """The record of an earlier request to replay, or a new one without status. Raises KeyReused, TwinInFlight."""
    digest = hashlib.sha256(b"\0".join([request.get_full_path().encode(), request.body])).hexdigest()
    IdempotencyRecord.objects.filter(owner=owner, key=key, created_at__lt=timezone.now() - KEPT).delete()
    mine = {"owner": owner, "route": request.path, "key": key}
    for _ in range(2):  # a twin that failed takes its record away: between our two looks it may be gone
        try:
            with transaction.atomic():
                return IdempotencyRecord.objects.create(**mine, request_digest=digest)
        except IntegrityError:
            if twin := IdempotencyRecord.objects.filter(**mine).first():
                return _known(twin, digest)
    raise TwinInFlight()


def _known(record: IdempotencyRecord, digest: str) -> IdempotencyRecord:
    if record.request_digest != digest:
        raise KeyReused()
    if record.status is None:
        crashed = IdempotencyRecord.objects.filter(
            pk=record.pk, status=None, created_at__lt=timezone.now() - TWIN_GIVES_UP
        )
        if not crashed.update(created_at=timezone.now()):
            raise TwinInFlight()
    return record


def _context(record: IdempotencyRecord) -> str:
    return f"platform_idempotencyrecord/{record.pk}/body"


def _keep(record: IdempotencyRecord, response: HttpResponse) -> HttpResponse:
    if response.streaming or response.status_code >= 500 or response.status_code in NOT_KEPT:
        record.delete()
        return response
    record.status = response.status_code
    record.headers = {name: response[name] for name in REPLAYED_HEADERS if response.has_header(name)}
    record.body = crypto.wrap(response.content, _context(record))
    record.save(update_fields=["status", "headers", "body"])
    return response


def _replay(record: IdempotencyRecord) -> HttpResponse:
    response = HttpResponse(crypto.unwrap(record.body, _context(record)), status=record.status, headers=record.headers)
    response["Idempotency-Replayed"] = "true"
    return response


def forget_old_answers() -> None:
    IdempotencyRecord.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
