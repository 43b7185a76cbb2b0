"""allauth for staff pages and for the thin views of people: no sign-up, sealed one-time secrets."""

import base64

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter

from mhealth.people.models import Device, User
from mhealth.platform import crypto


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request) -> bool:
        return False

    def set_password(self, user: User, password: str) -> None:
        """A new password ends every session of a phone: whoever took one is out."""
        super().set_password(user, password)
        Device.objects.filter(user=user).delete()

    def add_message(self, request, *args: object, **kwargs: object) -> None:
        """Only pages show messages; an API answer would carry them as a cookie."""
        if not request.path.startswith("/api/"):
            super().add_message(request, *args, **kwargs)


class MFAAdapter(DefaultMFAAdapter):
    CONTEXT = "mfa_authenticator/secret"

    def encrypt(self, text: str) -> str:
        return base64.b64encode(crypto.wrap(text.encode(), self.CONTEXT)).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return crypto.unwrap(base64.b64decode(encrypted_text), self.CONTEXT).decode()
