"""The bitmaps of the event header, on the schema captured from a real org and on published vectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hintd.salesforce.bitmap import marked_paths, read_bitmaps
from hintd.salesforce.layout import FieldLayout, Layout, read_layout
from tests.salesforce.change_events import INDEX, SCHEMA, bitmap

LAYOUT = read_layout(SCHEMA)
SMALL: Layout = (
    FieldLayout("ChangeEventHeader", "ComplexValueType"),
    FieldLayout("AccountId", "EntityId"),
    FieldLayout("Name", "PersonName", tuple(FieldLayout(n, "") for n in ("FirstName", "LastName"))),
    FieldLayout("Email", "Email"),
    FieldLayout("MailingAddress", "Address", tuple(FieldLayout(n, "") for n in ("Street", "City", "State"))),
    FieldLayout("Phone", "Phone"),
    FieldLayout("Birthdate", "DateOnly"),
    FieldLayout("LastModifiedDate", "DateTime"),
)


@pytest.mark.parametrize(
    ("bitmaps", "top", "nested"),
    [
        pytest.param(["0x400100"], {8, 22}, {}, id="captured from an Account event"),
        pytest.param(
            ["0x650004E0", "4-0x10", "7-0x06"],
            {5, 6, 7, 10, 24, 26, 29, 30},
            {4: {4}, 7: {1, 2}},
            id="the documentation's sample",
        ),
        pytest.param(["4-0x10"], set(), {4: {4}}, id="only a compound"),
        pytest.param(["0x0"], set(), {}, id="no bit set"),
        pytest.param([], set(), {}, id="empty list, as in a create"),
    ],
)
def test_bits_are_counted_from_the_lowest(bitmaps: list[str], top: set[int], nested: dict[int, set[int]]) -> None:
    assert read_bitmaps(bitmaps) == (top, nested)


@pytest.mark.parametrize(
    ("bitmaps", "paths"),
    [
        pytest.param(
            ["0x80", "2-0x02", "4-0x03"],
            {"LastModifiedDate", "Name.LastName", "MailingAddress.Street", "MailingAddress.City"},
            id="members of two compounds",
        ),
        pytest.param(["2-0x03"], {"Name.FirstName", "Name.LastName"}, id="all members"),
        pytest.param(["0x4"], {"Name.FirstName", "Name.LastName"}, id="a compound marked as a whole"),
        pytest.param(["0x4", "2-0x01"], {"Name.FirstName"}, id="a compound marked twice: its own bitmap is exact"),
        pytest.param(["0x10008", "2-0x08", "99-0x01"], {"Email"}, id="bits beyond the fields are ignored"),
    ],
)
def test_bitmaps_mark_fields_by_their_place_in_the_schema(bitmaps: list[str], paths: set[str]) -> None:
    assert marked_paths(SMALL, bitmaps) == paths


def test_a_type_defined_at_its_first_use_is_known_at_its_second() -> None:
    city_of_the_second_address = f"{INDEX['MailingAddress']}-0x02"

    assert marked_paths(LAYOUT, [city_of_the_second_address]) == {"MailingAddress.City"}


@pytest.mark.parametrize(
    "text", ["", "80", "0xZZ", "x-0x1", "2-3", pytest.param("0x1" + "0" * 1_000_000, id="too long")]
)
def test_text_that_is_no_bitmap_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_bitmaps([text])


@given(st.sets(st.sampled_from([f.name for f in LAYOUT if not f.members])))
def test_every_set_of_plain_fields_survives_the_bitmap(names: set[str]) -> None:
    assert marked_paths(LAYOUT, [bitmap(*names)]) == names
