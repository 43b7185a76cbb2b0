"""AES-256-GCM at rest: one data key per person (or trial), wrapped by a master key from the environment.

Layout of sealed bytes: 1 byte version, 12 bytes nonce, ciphertext with its 16-byte tag.
The context (table, row, column) is associated data: a ciphertext copied to another place does not open.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

VERSION = b"\x01"
NONCE_BYTES = 12
KEY_BYTES = 32


class CannotOpen(Exception):
    """Wrong key, wrong context or changed bytes."""


class KeyDestroyed(Exception):
    """The key was destroyed on purpose: the person's data is erased."""


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def seal(key: bytes, plain: bytes, context: str) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return VERSION + nonce + AESGCM(key).encrypt(nonce, plain, context.encode())


def unseal(key: bytes, sealed: bytes, context: str) -> bytes:
    """Raises CannotOpen."""
    sealed = bytes(sealed)
    if sealed[:1] != VERSION:
        raise CannotOpen(context)
    nonce, body = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, body, context.encode())
    except (InvalidTag, ValueError) as problem:
        raise CannotOpen(context) from problem


def wrap(key: bytes, context: str) -> bytes:
    return seal(settings.MASTER_KEY, key, context)


def unwrap(wrapped: bytes, context: str) -> bytes:
    """Open with the present master key, else with an old one (rotation runs without downtime)."""
    for master in [settings.MASTER_KEY, *settings.MASTER_KEYS_OLD]:
        try:
            return unseal(master, wrapped, context)
        except CannotOpen:
            continue
    raise CannotOpen(context)
