"""Laws that every normaliser keeps, on text that nobody thought of."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hintd.core.fields import Field, Kind
from hintd.core.model import Value
from hintd.core.normalize import canonical, same
from hintd.core.rules import Rules

KINDS = [pytest.param(Field(kind.value, kind, kind.value, ("X__c",)), id=kind.value) for kind in Kind]
RULES = [
    pytest.param(Rules(), id="us"),
    pytest.param(
        Rules("GB", "CA", (("man", "Male"), ("male", "Man"), ("not listed", "X"), ("x", "Y"))), id="elsewhere"
    ),
]
LIKELY = st.sampled_from((
    "Dr.", "dr", "CA", "California", "us-ca", "ON", "Ontario", "US", "USA", "U.S.A.", "Male", "man", "10002",
    "10002-1234", "4155550101", "1-800-FLOWERS", "+442079460958;ext=12", "1956-04-24", "1956-04-24T10:00:00Z",
    "2026-11-22T10:15:00.000+0000", "\u0130stanbul", "stra\u00dfe",
))  # fmt: skip
PHONISH = st.text("0123456789 +-()x#&;=ext.\u0664\uff11", max_size=24)
VALUES: st.SearchStrategy[Value] = st.one_of(st.none(), st.text(max_size=30), LIKELY, PHONISH)

few = settings(max_examples=100, deadline=None)


def values_of(field: Field) -> st.SearchStrategy[Value]:
    return st.one_of(st.none(), st.booleans()) if field.kind is Kind.FLAG else VALUES


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("field", KINDS)
@given(data=st.data())
@few
def test_canonical_form_is_its_own(field: Field, rules: Rules, data: st.DataObject) -> None:
    once = canonical(field, data.draw(values_of(field)), rules)
    assert canonical(field, once, rules) == once


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("field", KINDS)
@given(data=st.data())
@few
def test_a_value_is_the_same_as_itself_and_as_its_canonical_form(
    field: Field, rules: Rules, data: st.DataObject
) -> None:
    value = data.draw(values_of(field))
    assert same(field, value, value, rules)
    assert same(field, value, canonical(field, value, rules), rules)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("field", KINDS)
@given(data=st.data())
@few
def test_sameness_has_no_direction(field: Field, rules: Rules, data: st.DataObject) -> None:
    a, b = data.draw(values_of(field)), data.draw(values_of(field))
    assert same(field, a, b, rules) == same(field, b, a, rules)


@pytest.mark.parametrize("field", KINDS)
@given(data=st.data())
@few
def test_outer_white_space_never_counts(field: Field, data: st.DataObject) -> None:
    value = data.draw(values_of(field))
    padded = f"  {value}\t" if isinstance(value, str) else value
    assert same(field, value, padded, Rules())
