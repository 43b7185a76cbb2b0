"""Push messages through Firebase Cloud Messaging, HTTP v1.

https://firebase.google.com/docs/cloud-messaging/send/v1-api: one POST per device to
{FCM_URL}/v1/projects/{project}/messages:send with an OAuth 2 bearer token, bought with a JWT that the key of the
service account signs (RFC 7523). Off unless FCM_SERVICE_ACCOUNT names that account's JSON file.
"""

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from functools import cache
from http.client import HTTPException

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from django.conf import settings
from django.core.cache import cache as kept

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
TIMEOUT_S = 10
TOKEN_LIFE_S = 3600
DEAD = {"UNREGISTERED", "SENDER_ID_MISMATCH"}  # FcmError codes of a token that will never work again


class DeadToken(Exception):
    """The phone has uninstalled the app, or the token is another sender's."""


def configured() -> bool:
    return bool(settings.FCM_SERVICE_ACCOUNT)


def check_account() -> str:
    """The project that messages go through. Raises OSError, ValueError, KeyError or TypeError when it is wrong."""
    account = _account(str(settings.FCM_SERVICE_ACCOUNT))
    _assertion(account)
    return account["project_id"]


def send(*, token: str, title: str, body: str) -> None:
    """Push one message. Raises DeadToken, or OSError when it may work later."""
    account = _account(str(settings.FCM_SERVICE_ACCOUNT))
    message = {"message": {"token": token, "notification": {"title": title, "body": body}}}
    request = urllib.request.Request(  # noqa: S310 (the address is the operator's own setting)
        f"{settings.FCM_URL}/v1/projects/{account['project_id']}/messages:send",
        data=json.dumps(message).encode(),
        headers={"Authorization": f"Bearer {_access_token(account)}", "Content-Type": "application/json"},
    )
    try:
        _open(request)
    except urllib.error.HTTPError as refused:
        with refused:
            if _error_code(refused) in DEAD:
                raise DeadToken() from None  # the answer may name the token
            raise OSError(f"push service answered {refused.code}") from None


def _error_code(refused: urllib.error.HTTPError) -> str:
    try:
        details = json.load(refused)["error"].get("details", [])
        return next((detail["errorCode"] for detail in details if "errorCode" in detail), "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


@cache
def _account(path: str) -> dict:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _access_token(account: dict) -> str:
    name = f"fcm/{account['client_email']}"
    token = kept.get(name)
    if token is None:
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": _assertion(account)}
        request = urllib.request.Request(account["token_uri"], urllib.parse.urlencode(form).encode())  # noqa: S310
        token = _open(request)["access_token"]
        kept.set(name, token, TOKEN_LIFE_S - 300)
    return token


def _assertion(account: dict) -> str:
    now = int(time.time())
    claims = {
        "iss": account["client_email"],
        "scope": SCOPE,
        "aud": account["token_uri"],
        "iat": now,
        "exp": now + TOKEN_LIFE_S,
    }
    signed = f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part(claims)}"
    key = serialization.load_pem_private_key(account["private_key"].encode(), password=None)
    return f"{signed}.{_base64(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _part(data: dict) -> str:
    return _base64(json.dumps(data, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _open(request: urllib.request.Request) -> dict:
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return json.load(answer)
    except (HTTPException, ValueError) as garbled:  # not the protocol, or not JSON: a proxy in between
        raise OSError("the push service gave no answer that can be read") from garbled
