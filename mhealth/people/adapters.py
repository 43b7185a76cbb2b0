"""allauth for staff: nobody signs up on the web, and one-time secrets are sealed at rest."""

import base64

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter

from mhealth.platform import crypto


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request) -> bool:
        return False


class MFAAdapter(DefaultMFAAdapter):
    CONTEXT = "mfa_authenticator/secret"

    def encrypt(self, text: str) -> str:
        return base64.b64encode(crypto.wrap(text.encode(), self.CONTEXT)).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return crypto.unwrap(base64.b64decode(encrypted_text), self.CONTEXT).decode()
