"""The signature of Hint's webhooks: HMAC-SHA256 over the raw body, keyed with the partner's webhook signature key.

Without I/O, and over bytes as received: a body that is decoded and encoded again need not be the same bytes.
"""

from __future__ import annotations

import hmac

HEADER = "X-Hint-Signature"
_PREFIX = "sha256="


def sign(secret: bytes, body: bytes) -> str:
    """The header's value for a body."""
    return _PREFIX + hmac.digest(secret, body, "sha256").hex()


def is_signed(secret: bytes, body: bytes, header: str | None) -> bool:
    """Whether ``header`` is the signature of ``body``, in a time that does not depend on where they differ."""
    if header is None:
        return False
    # compare_digest takes text only when it is ASCII, and a header may hold anything
    given = header.strip().lower().encode("utf-8", "surrogateescape")
    return hmac.compare_digest(sign(secret, body).encode(), given)
