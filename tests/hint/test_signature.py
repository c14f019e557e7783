import hashlib
import hmac

import pytest

from hintd.hint.signature import is_signed, sign

SECRET = b"a signature key for tests"
BODY = '{"type":"patient.updated","object":{"last_name":"Müller"}}'.encode()


def test_signature_is_the_published_form() -> None:
    expected = "sha256=" + hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()
    assert sign(SECRET, BODY) == expected


def test_own_signature_is_accepted() -> None:
    assert is_signed(SECRET, BODY, sign(SECRET, BODY))


def test_case_of_the_hex_digits_does_not_matter() -> None:
    assert is_signed(SECRET, BODY, sign(SECRET, BODY).upper())


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("sha256=", id="without digest"),
        pytest.param(sign(SECRET, BODY).removeprefix("sha256="), id="without the prefix"),
        pytest.param(sign(SECRET, BODY)[:-1], id="cut"),
        pytest.param(sign(SECRET, BODY) + "0", id="too long"),
        pytest.param(sign(b"another key", BODY), id="another key"),
        pytest.param(sign(SECRET, BODY + b"\n"), id="another body"),
        pytest.param(sign(SECRET, BODY).replace("sha256", "sha1"), id="another algorithm"),
        pytest.param("sha256=ü\udcff", id="not ASCII"),
    ],
)
def test_anything_else_is_not_a_signature(header: str | None) -> None:
    assert not is_signed(SECRET, BODY, header)


def test_one_changed_byte_breaks_the_signature() -> None:
    assert not is_signed(SECRET, BODY.replace(b": ", b":") + b" ", sign(SECRET, BODY))
