"""Sealed bodies and secrets: opened by any configured key, never by another, never after a change."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from hintd.sealing import CannotUnseal, Keys

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
BODY = b'{"last_name": "Sumner"}'


@pytest.mark.parametrize("form", ["body", "secret"])
def test_what_is_sealed_opens_after_a_rotation_and_not_without_its_key(form: str) -> None:
    def pair(keys: Keys):
        return (keys.seal, keys.unseal) if form == "body" else (keys.seal_secret, keys.unseal_secret)

    sealed = pair(Keys([OLD]))[0](BODY)
    assert b"Sumner" not in sealed
    assert pair(Keys([NEW, OLD]))[1](sealed) == BODY
    with pytest.raises(CannotUnseal):
        pair(Keys([OTHER]))[1](sealed)


def test_the_newest_key_seals() -> None:
    assert Keys([NEW]).unseal(Keys([NEW, OLD]).seal(BODY)) == BODY


def test_the_same_body_is_never_sealed_alike() -> None:
    keys = Keys([NEW])
    assert keys.seal(BODY) != keys.seal(BODY)


@pytest.mark.parametrize("at", [0, 1, 5, 20, -1], ids=["version", "key", "nonce", "body", "tag"])
def test_changed_bytes_do_not_open(at: int) -> None:
    sealed = bytearray(Keys([NEW]).seal(BODY))
    sealed[at] ^= 1
    with pytest.raises(CannotUnseal):
        Keys([NEW]).unseal(bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"x" * 40], ids=["nothing", "a stump", "nonsense"])
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(CannotUnseal):
        Keys([NEW]).unseal(sealed)


@pytest.mark.parametrize("keys", [[], ["short"], [NEW, "%%%"]], ids=["none", "too short", "one of two is bad"])
def test_bad_keys_are_refused(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="key"):
        Keys(keys)
