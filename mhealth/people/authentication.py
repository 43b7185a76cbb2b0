"""The bearer token of a phone, with a clear answer when its session has ended.

REST framework imports this module while it loads, so it imports neither models nor problems.
"""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.models import get_token_model
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied

from mhealth.platform import row_security


class SessionExpired(AuthenticationFailed):
    default_code = "session-expired"
    default_detail = "Your session has ended. Please sign in again."
    title = "Session has ended"


class UnknownToken(AuthenticationFailed):
    default_code = "session-unknown"
    default_detail = "This device is not signed in. Please sign in."
    title = "Not signed in"


class AccountClosed(PermissionDenied):
    default_code = "account-closed"
    default_detail = "This account is closed. The study team can help you."
    title = "Account is closed"


class DeviceToken(TokenAuthentication):
    """`Authorization: Bearer …`. An expired row stays for a while, so that the phone learns why it is refused."""

    def authenticate_credentials(self, token: bytes) -> tuple:
        digest = hash_token(token.decode("latin-1"))  # latin-1: whatever a header holds is some token
        device = get_token_model().objects.filter(digest=digest).select_related("user").first()
        if device is None:
            raise UnknownToken()
        if device.has_expired:
            raise SessionExpired()
        device.renew()
        return self.validate_user(device)

    def validate_user(self, device) -> tuple:
        if not device.user.is_active:
            raise AccountClosed()
        row_security.act_for(device.user)
        return device.user, device


class DeviceTokenScheme(OpenApiAuthenticationExtension):
    target_class = DeviceToken
    name = "deviceToken"

    def get_security_definition(self, auto_schema) -> dict:
        return {"type": "http", "scheme": "bearer", "description": "The token that POST /api/v1/session/ returned."}
