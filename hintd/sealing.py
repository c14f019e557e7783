"""Sealing of what must not be readable at rest (README chapter "Privacy"): bodies with patients' values and secrets.

Two forms under the same keys.  Stored secrets use MultiFernet, which any Fernet tool can open in an emergency.  Bodies
use AES-256-GCM, fifteen times faster for the 6 kB of a webhook.  A body starts with one version byte and four bytes
that name the key, so that old bodies open after a rotation.
"""

from __future__ import annotations

import hashlib
import os
from base64 import urlsafe_b64decode
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_NONCE = 12
_HEAD = 5


class CannotUnseal(Exception):
    """None of the keys opens it: the key was removed too early, or the bytes are not ours."""


class Keys:
    """Encryption keys, newest first: the newest seals, all of them unseal.

    Each key is 32 bytes in URL-safe base64, as ``Fernet.generate_key()`` makes them.  Raises ValueError otherwise.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("at least one encryption key is needed")
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise ValueError("an encryption key must be 32 bytes in URL-safe base64") from error
        raw = [hashlib.sha256(b"hintd body" + urlsafe_b64decode(key)).digest() for key in keys]
        self._bodies = {hashlib.sha256(key).digest()[:4]: AESGCM(key) for key in raw}
        self._newest = next(iter(self._bodies))

    def seal(self, body: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        head = _VERSION + self._newest
        return head + nonce + self._bodies[self._newest].encrypt(nonce, body, head)

    def unseal(self, sealed: bytes) -> bytes:
        """Raises CannotUnseal."""
        head, nonce = sealed[:_HEAD], sealed[_HEAD : _HEAD + _NONCE]
        key = self._bodies.get(head[1:])
        if head[:1] != _VERSION or key is None:
            raise CannotUnseal("sealed with a key that is not configured")
        try:
            return key.decrypt(nonce, sealed[_HEAD + _NONCE :], head)
        except (InvalidTag, ValueError) as error:
            raise CannotUnseal("the sealed bytes were changed") from error

    def seal_secret(self, secret: bytes) -> bytes:
        return self._fernet.encrypt(secret)

    def unseal_secret(self, sealed: bytes) -> bytes:
        """Raises CannotUnseal."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            raise CannotUnseal("none of the configured keys opens it") from error
