"""Record ids of 15 and 18 characters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hintd.core.salesforce_id import contact_id, to_18

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_check_letters_of_a_real_id() -> None:
    assert to_18("0032X00002QU10J") == "0032X00002QU10JQAT"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("0032X00002QU10JQAU", id="wrong-check-letter"),
        pytest.param("0032x00002qu10jQAT", id="case-lost"),
        pytest.param("0032X00002QU10", id="too-short"),
        pytest.param("0032X00002QU10JQ", id="sixteen"),
        pytest.param("0032X00002QU-0J", id="not-base-62"),
        pytest.param("\u0660\u06602X00002QU10J", id="digits-of-another-script"),
        pytest.param("Copyright 2026 salesforce.com", id="footer"),
        pytest.param("", id="empty"),
    ],
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert to_18(text) is None


def test_only_contacts_are_contact_ids() -> None:
    assert contact_id(" 0032X00002QU10J ") == "0032X00002QU10JQAT"
    assert contact_id("0012X00002QU10J") is None
    assert contact_id("Name") is None


@given(st.text(BASE62, min_size=15, max_size=15))
@settings(max_examples=100, deadline=None)
def test_eighteen_characters_stay_as_they_are(bare: str) -> None:
    full = to_18(bare)
    assert full is not None
    assert full.startswith(bare)
    assert to_18(full) == full
